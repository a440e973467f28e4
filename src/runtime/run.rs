//! A run: the policy on one task, from the acceptance of a goal to its end.
//!
//! A run gives the prompt, watches the node, and takes the prompt away when it ends: the robot is held then, until another
//! prompt comes. Everything that stops the node ends its run too.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::managed_policy::REST_PATIENCE;
use super::node_state::{GoalOver, NodeState};
use super::rest::RestDetector;
use super::run_report::{RunCounts, RunOutcome, RunProgress, RunStatus, Termination};
use super::run_request::{RunRefusal, RunRequest};
use crate::control::{Command, Hold, HoldReason, PlayerState};
use crate::locking::Locking;
use crate::observation::InputKind;

/// What a look at a run finds.
#[derive(Clone, Debug, PartialEq)]
pub enum RunLook {
    /// It goes on, or the robot is coming to rest.
    Going(Box<RunProgress>),
    /// It is over, and the robot at rest or on its next task.
    Over(RunOutcome),
}

/// A run.
#[derive(Debug)]
pub struct Run {
    state: Arc<NodeState>,
    request: RunRequest,
    /// Indices of the commanded joints in the measured positions.
    commanded: Arc<[usize]>,
    /// Number of its prompt.
    prompt_generation: u64,
    elapsed: Duration,
    /// Time of the newest look.
    newest: Option<Duration>,
    before: RunCounts,
    rest: Option<RestDetector>,
    held_since: Option<Instant>,
    end: Option<End>,
}

/// The end of a run whose robot may still be coming to rest.
#[derive(Clone, Debug)]
struct End {
    outcome: RunOutcome,
    at: Instant,
    /// Number of the empty prompt that holds the robot; none where it goes on with another prompt.
    held_by: Option<u64>,
}

impl Run {
    /// Begins a run: gives the node its prompt. `commanded` are the indices of the commanded joints in the measured positions.
    ///
    /// # Errors
    /// When the node must not move the robot now.
    pub fn begin(
        state: &Arc<NodeState>,
        request: RunRequest,
        commanded: &Arc<[usize]>,
    ) -> Result<Self, RunRefusal> {
        Self::check(state)?;
        let before = RunCounts::of(state);
        Ok(Self {
            prompt_generation: state.inputs.take_prompt(&request.prompt),
            state: Arc::clone(state),
            rest: request.success_rest.map(RestDetector::new),
            request,
            commanded: Arc::clone(commanded),
            elapsed: Duration::ZERO,
            newest: None,
            before,
            held_since: None,
            end: None,
        })
    }

    /// Whether a run can begin now.
    ///
    /// # Errors
    /// When the node must not move the robot now.
    pub fn check(state: &NodeState) -> Result<(), RunRefusal> {
        if !state.is_active.load(Ordering::Acquire) {
            return Err(RunRefusal::Inactive);
        }
        match state.command.get() {
            Command::Enabled => {}
            command => return Err(RunRefusal::NotEnabled(command)),
        }
        state
            .clock
            .report()
            .standstill()
            .map_or(Ok(()), |standstill| Err(RunRefusal::NoTime(standstill)))
    }

    /// Ends the run for a reason that it cannot see itself. Returns false where it has ended before, which counts then.
    pub fn end(&mut self, termination: Termination, message: impl Into<String>) -> bool {
        if self.end.is_some() {
            return false;
        }
        let message = message.into();
        let held_by = match termination {
            Termination::Replaced => None,
            _ => self.state.inputs.withdraw_prompt(self.prompt_generation),
        };
        if let Some(prompt_generation) = held_by {
            let detail = format!(
                "the run of ~/run_policy is over ({}: {message}); the next goal or prompt moves the robot",
                termination.code()
            );
            self.state.goal_over.set(Some(GoalOver {
                prompt_generation,
                detail,
            }));
        }
        self.end = Some(End {
            outcome: RunOutcome {
                termination,
                message,
                elapsed: self.elapsed,
                counts: self.counts(),
            },
            at: Instant::now(),
            held_by: held_by.filter(|_| !termination.hands_over()),
        });
        true
    }

    /// How it ended, whether the robot is at rest or not; none while it goes on.
    pub fn outcome(&self) -> Option<RunOutcome> {
        self.end.as_ref().map(|end| end.outcome.clone())
    }

    /// Looks at the node: ends the run where there is a reason to, and tells how far it is.
    pub fn look(&mut self) -> RunLook {
        if let Some(now) = self.state.clock.now() {
            // Simulated time may jump back, and a run does not become shorter by that.
            self.elapsed += self
                .newest
                .map_or(Duration::ZERO, |newest| now.saturating_sub(newest));
            self.newest = Some(now);
        }
        if self.end.is_none()
            && let Some((termination, message)) = self.reason_to_end()
        {
            self.end(termination, message);
        }
        match &self.end {
            Some(end) if self.is_at_rest(end) => RunLook::Over(end.outcome.clone()),
            _ => RunLook::Going(Box::new(self.progress())),
        }
    }

    fn counts(&self) -> RunCounts {
        RunCounts::of(&self.state).since(self.before)
    }

    fn reason_to_end(&mut self) -> Option<(Termination, String)> {
        if !self.state.is_active.load(Ordering::Acquire) {
            return Some((
                Termination::NodeDeactivated,
                "the node is not active any more".to_owned(),
            ));
        }
        match self.state.command.get() {
            Command::Enabled => {}
            Command::Stopped => return Some((Termination::Stopped, "~/stop was called".to_owned())),
            Command::Disabled => {
                return Some((Termination::Stopped, "~/enable was called with false".to_owned()));
            }
        }
        let inputs = self.state.inputs.at_a_tick(Locking::Wait)?;
        if inputs.prompt_generation != self.prompt_generation {
            let message = "another prompt came on the prompt topic or in the parameter prompt";
            return Some((Termination::PromptChanged, message.to_owned()));
        }
        // A report of a tick that did not know the prompt yet is about what was before.
        let control = self.state.control.lock();
        let is_current = control.prompt_generation == self.prompt_generation;
        let (state, hold) = (control.state, control.hold.clone().filter(|_| is_current));
        drop(control);
        if let Some(rest) = &mut self.rest {
            let moves = is_current && state == PlayerState::Playing;
            let measured = inputs.measured.filter(|_| moves);
            let positions: Option<Vec<f32>> =
                measured.map(|all| self.commanded.iter().map(|&joint| all[joint]).collect());
            if rest.is_at_rest(self.elapsed, positions.as_deref()) {
                let seconds = rest.condition().duration.as_secs_f64();
                return Some((
                    Termination::Completed,
                    format!("the joints were at rest for {seconds} s"),
                ));
            }
        }
        if let Some(longest) = self
            .request
            .max_duration
            .filter(|&longest| self.elapsed >= longest)
        {
            return Some((
                Termination::Timeout,
                format!("{} s are over", longest.as_secs_f64()),
            ));
        }
        self.held(hold)
    }

    /// The end by a hold that lasts, of the robot or of simulated time.
    fn held(&mut self, hold: Option<Hold>) -> Option<(Termination, String)> {
        let standstill = self.state.clock.report().standstill();
        let reason = hold.as_ref().map(|hold| hold.reason);
        let Some(why) = standstill.or(hold.map(|hold| hold.to_string())) else {
            self.held_since = None;
            return None;
        };
        match reason {
            Some(HoldReason::RunTimeOver) => return Some((Termination::Timeout, why)),
            Some(reason) if reason.needs_somebody() => return Some((Termination::Held, why)),
            _ => {}
        }
        let held_for = self.held_since.get_or_insert_with(Instant::now).elapsed();
        let limit = self.state.settings.get().goals.hold_limit;
        let limit = limit.filter(|limit| held_for > *limit)?;
        let error = self.state.inference.lock().error.clone();
        let error = error.map_or_else(String::new, |error| {
            format!("; no chunk could be predicted: {error}")
        });
        let message = format!("held for more than {} s: {why}{error}", limit.as_secs_f64());
        Some((Termination::Held, message))
    }

    /// Whether the robot rests after the end of the run, or is not waited for.
    fn is_at_rest(&self, end: &End) -> bool {
        let Some(held_by) = end.held_by else {
            return true;
        };
        if end.at.elapsed() > REST_PATIENCE {
            tracing::warn!(
                "the robot may not be at rest after the run: control did not say so within {REST_PATIENCE:?}"
            );
            return true;
        }
        let control = self.state.control.lock();
        let since = control.standstill_since;
        control.prompt_generation >= held_by
            && since
                .zip(self.state.clock.now())
                .is_some_and(|(since, now)| since <= now)
    }

    fn progress(&self) -> RunProgress {
        let now = self.state.clock.now();
        let counts = self.counts();
        let observed_at = self.state.inference.lock().observed_at;
        let action_period = self.state.settings.get().action_period;
        let control = self.state.control.lock();
        let (state, plan) = (control.state, control.plan.clone());
        let hold = control
            .hold
            .clone()
            .filter(|_| control.prompt_generation == self.prompt_generation);
        drop(control);
        let ahead = plan.zip(now).map(|(plan, now)| plan.end().saturating_sub(now));
        let ahead = ahead
            .filter(|_| state == PlayerState::Playing)
            .unwrap_or_default();
        let inputs = self.state.inputs.report().into_iter();
        let inputs = inputs.filter(|input| input.kind != InputKind::Prompt);
        RunProgress {
            status: match state {
                _ if self.end.is_some() => RunStatus::Stopping,
                PlayerState::Playing => RunStatus::Playing,
                _ if counts.played_actions == 0.0 => RunStatus::Waiting,
                _ => RunStatus::Holding,
            },
            hold,
            elapsed: self.elapsed,
            counts,
            queued_actions: (ahead.as_secs_f64() / action_period.as_secs_f64()).ceil() as usize,
            chunk_age: (counts.chunks > 0)
                .then(|| Some(now?.saturating_sub(observed_at?)))
                .flatten(),
            input_ages: inputs.map(|input| (input.kind.to_string(), input.age)).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
