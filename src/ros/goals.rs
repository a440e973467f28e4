//! The goals of an action server and their states, as the ROS 2 design article "Actions" defines them.

use std::time::Duration;

/// Identifier that a client gives its goal.
pub type GoalId = [u8; 16];

/// Goals that are remembered after their end, for clients that ask for the result late.
const FINISHED: usize = 16;

/// State of a goal. The numbers are those of `action_msgs/GoalStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum GoalStatus {
    Executing = 2,
    Canceling = 3,
    Succeeded = 4,
    Canceled = 5,
    Aborted = 6,
}

/// Answer to a cancel request. The numbers are those of `action_msgs/srv/CancelGoal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum CancelCode {
    None = 0,
    UnknownGoal = 2,
    GoalTerminated = 3,
}

/// A goal: `R` is its result, `W` a request that waits for it.
#[derive(Debug)]
struct Goal<R, W> {
    id: GoalId,
    accepted_at: Duration,
    status: GoalStatus,
    result: Option<R>,
    waiting: Vec<W>,
}

/// Every goal that is under way, and the newest finished ones.
#[derive(Debug)]
pub struct Goals<R, W> {
    goals: Vec<Goal<R, W>>,
}

/// What a request for a result gets.
#[derive(Debug, PartialEq)]
pub enum ResultRequest<R, W> {
    /// The goal is finished.
    Finished(W, GoalStatus, R),
    /// No such goal is remembered.
    Unknown(W),
    /// The request waits for the end of the goal.
    Waits,
}

impl GoalStatus {
    fn is_final(self) -> bool {
        !matches!(self, Self::Executing | Self::Canceling)
    }
}

impl<R: Clone, W> Goals<R, W> {
    pub fn new() -> Self {
        Self { goals: Vec::new() }
    }

    /// Whether a goal of this identifier is remembered.
    pub fn has(&self, id: &GoalId) -> bool {
        self.goals.iter().any(|goal| goal.id == *id)
    }

    /// Adds a goal that is executed from now on.
    pub fn accept(&mut self, id: GoalId, now: Duration) {
        self.goals.push(Goal {
            id,
            accepted_at: now,
            status: GoalStatus::Executing,
            result: None,
            waiting: Vec::new(),
        });
    }

    /// Removes a goal.
    pub fn forget(&mut self, id: &GoalId) {
        self.goals.retain(|goal| goal.id != *id);
    }

    /// Marks the goals of a cancel request as canceling: the one with the identifier, and those that were accepted at `until` or
    /// before. An identifier of zeros is none, a time of 0 is none, and neither means every goal. Returns them with the times
    /// of their acceptance.
    pub fn cancel(&mut self, id: &GoalId, until: Duration) -> (CancelCode, Vec<(GoalId, Duration)>) {
        let has_id = *id != GoalId::default();
        let every = !has_id && until.is_zero();
        let only = has_id && until.is_zero();
        match self.goals.iter().find(|goal| goal.id == *id) {
            None if only => return (CancelCode::UnknownGoal, Vec::new()),
            Some(goal) if only && goal.status.is_final() => return (CancelCode::GoalTerminated, Vec::new()),
            _ => {}
        }
        let asked = |goal: &&mut Goal<R, W>| {
            every || goal.id == *id || (!until.is_zero() && goal.accepted_at <= until)
        };
        let active = self.goals.iter_mut().filter(|goal| !goal.status.is_final());
        let cancel = |goal: &mut Goal<R, W>| {
            goal.status = GoalStatus::Canceling;
            (goal.id, goal.accepted_at)
        };
        (CancelCode::None, active.filter(asked).map(cancel).collect())
    }

    /// Finishes a goal. Returns the requests that waited for it.
    pub fn finish(&mut self, id: &GoalId, status: GoalStatus, result: R) -> Vec<W> {
        let mut waiting = Vec::new();
        if let Some(goal) = self.goals.iter_mut().find(|goal| goal.id == *id) {
            goal.status = status;
            goal.result = Some(result);
            waiting = std::mem::take(&mut goal.waiting);
        }
        let finished = self.goals.iter().filter(|goal| goal.status.is_final()).count();
        let mut too_many = finished.saturating_sub(FINISHED);
        self.goals.retain(|goal| {
            let is_forgotten = goal.status.is_final() && too_many > 0;
            too_many -= usize::from(is_forgotten);
            !is_forgotten
        });
        waiting
    }

    /// Looks up the result that a request is for, or lets it wait.
    pub fn result(&mut self, id: &GoalId, request: W) -> ResultRequest<R, W> {
        let Some(goal) = self.goals.iter_mut().find(|goal| goal.id == *id) else {
            return ResultRequest::Unknown(request);
        };
        match &goal.result {
            Some(result) => ResultRequest::Finished(request, goal.status, result.clone()),
            None => {
                goal.waiting.push(request);
                ResultRequest::Waits
            }
        }
    }

    /// Identifier, time of acceptance and state of every goal, the oldest first.
    pub fn statuses(&self) -> impl Iterator<Item = (GoalId, Duration, GoalStatus)> {
        self.goals
            .iter()
            .map(|goal| (goal.id, goal.accepted_at, goal.status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: GoalId = [0; 16];

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Three goals, accepted after 1, 2 and 3 seconds; the first is finished.
    fn goals() -> Goals<&'static str, u32> {
        let mut goals = Goals::new();
        for id in 1..=3 {
            goals.accept([id; 16], seconds(id.into()));
        }
        goals.finish(&[1; 16], GoalStatus::Succeeded, "one");
        goals
    }

    fn cancelled(id: GoalId, until: u64) -> (CancelCode, Vec<u8>) {
        let (code, ids) = goals().cancel(&id, seconds(until));
        (code, ids.into_iter().map(|(id, _)| id[0]).collect())
    }

    #[test]
    fn a_cancel_request_names_a_goal_or_a_time_or_both_or_every_goal() {
        assert_eq!(cancelled([2; 16], 0), (CancelCode::None, vec![2]));
        assert_eq!(cancelled(NONE, 2), (CancelCode::None, vec![2]));
        assert_eq!(cancelled([3; 16], 2), (CancelCode::None, vec![2, 3]));
        assert_eq!(cancelled(NONE, 0), (CancelCode::None, vec![2, 3]));
        assert_eq!(cancelled([1; 16], 0), (CancelCode::GoalTerminated, vec![]));
        assert_eq!(cancelled([9; 16], 0), (CancelCode::UnknownGoal, vec![]));
    }

    #[test]
    fn a_cancelled_goal_is_canceling_until_it_is_finished() {
        let mut goals = goals();
        goals.cancel(&[2; 16], Duration::ZERO);
        let states = |goals: &Goals<_, _>| goals.statuses().map(|one| one.2).collect::<Vec<_>>();
        use GoalStatus::{Canceled, Canceling, Executing, Succeeded};
        assert_eq!(states(&goals), [Succeeded, Canceling, Executing]);
        goals.finish(&[2; 16], Canceled, "two");
        assert_eq!(states(&goals), [Succeeded, Canceled, Executing]);
    }

    #[test]
    fn a_request_waits_for_the_result_or_gets_it_at_once() {
        let mut goals = goals();
        let finished = ResultRequest::Finished(7, GoalStatus::Succeeded, "one");
        assert_eq!(goals.result(&[1; 16], 7), finished);
        assert_eq!(goals.result(&[9; 16], 7), ResultRequest::Unknown(7));
        assert_eq!(goals.result(&[2; 16], 7), ResultRequest::Waits);
        assert_eq!(goals.result(&[2; 16], 8), ResultRequest::Waits);
        assert_eq!(goals.finish(&[2; 16], GoalStatus::Aborted, "two"), [7, 8]);
    }

    #[test]
    fn only_the_newest_finished_goals_are_remembered_and_every_goal_that_goes_on() {
        let mut goals = Goals::<u8, ()>::new();
        goals.accept([200; 16], Duration::ZERO);
        for id in 1..=40 {
            goals.accept([id; 16], Duration::ZERO);
            goals.finish(&[id; 16], GoalStatus::Succeeded, id);
        }
        assert!(goals.has(&[200; 16]) && goals.has(&[40; 16]) && goals.has(&[25; 16]));
        assert!(!goals.has(&[24; 16]));
        assert_eq!(goals.statuses().count(), 1 + FINISHED);
    }
}
