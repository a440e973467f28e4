//! The action `~/run_policy`, a goal of which is a run of the policy on one task, and the service `~/success` that ends one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use r2r::Node;
use r2r::pi0_interfaces::action::RunPolicy;
use r2r::std_srvs::srv::Trigger;
use tokio::runtime::Handle;
use tokio::time::MissedTickBehavior;

use super::action_server::{ActionServer, GoalHandler};
use super::goals::{GoalId, GoalStatus};
use super::node_error::NodeError;
use super::service::serve;
use super::topic_names::Names;
use crate::observation::shortened;
use crate::parameters::SecondGoal;
use crate::runtime::{NodeState, Run, RunLook, RunOutcome, RunProgress, RunRefusal, RunRequest, Termination};

/// Name of the action.
pub(super) const ACTION: &str = "~/run_policy";

/// Period of the looks at the run.
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// Period of the feedback.
const FEEDBACK_PERIOD: Duration = Duration::from_millis(250);

/// Time without a subscription to the feedback after which the client is gone: a new client takes a while to be discovered.
const CLIENT_PATIENCE: Duration = Duration::from_secs(2);

/// The goals of a node, of which one at a time runs.
pub struct RunGoals {
    state: Arc<NodeState>,
    /// Indices of the commanded joints in the measured positions.
    commanded: Arc<[usize]>,
    server: Arc<ActionServer<RunPolicy::Action>>,
    current: Mutex<Option<CurrentGoal>>,
}

struct CurrentGoal {
    id: GoalId,
    run: Run,
    /// When feedback was published last.
    fed_back: Option<Instant>,
    /// When the client was last known to be there.
    client_seen: Instant,
}

/// Why a goal is rejected.
#[derive(Debug, thiserror::Error)]
enum Rejection {
    #[error(transparent)]
    Refused(#[from] RunRefusal),
    #[error("another goal runs, or its robot comes to rest, and second_goal is refuse")]
    Busy,
}

impl std::fmt::Debug for RunGoals {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RunGoals").finish_non_exhaustive()
    }
}

impl RunGoals {
    /// Serves the action and `~/success` from now on.
    ///
    /// # Errors
    /// When ROS 2 refuses a service or a publisher.
    pub fn serve(
        node: &mut Node,
        runtime: &Handle,
        names: &Names,
        state: &Arc<NodeState>,
        commanded: &Arc<[usize]>,
    ) -> Result<Arc<Self>, NodeError> {
        let action = names.resolve(ACTION);
        let server = ActionServer::new(node, &action)?;
        let goals = Arc::new(Self {
            state: Arc::clone(state),
            commanded: Arc::clone(commanded),
            server: Arc::clone(&server),
            current: Mutex::new(None),
        });
        server.serve(
            node,
            runtime,
            &action,
            Arc::clone(&goals) as Arc<dyn GoalHandler<_>>,
        )?;
        let succeeding = Arc::clone(&goals);
        serve::<Trigger::Service>(node, runtime, "~/success", move |_| succeeding.succeed())?;
        let looking = Arc::clone(&goals);
        runtime.spawn(async move {
            let mut interval = tokio::time::interval(LOOK_PERIOD);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                interval.tick().await;
                looking.look();
            }
        });
        Ok(goals)
    }

    /// Waits for the end of the run, for no longer than `patience`.
    pub fn wait_until_none_runs(&self, patience: Duration) {
        let started = Instant::now();
        while self.current.lock().is_some() && started.elapsed() < patience {
            std::thread::sleep(LOOK_PERIOD / 4);
        }
    }

    fn begin(&self, id: GoalId, goal: RunPolicy::Goal) -> Result<(), Rejection> {
        let RunPolicy::Goal {
            prompt,
            max_duration_s,
            success_rest_s,
            success_rest_tolerance,
        } = goal;
        let shown = shortened(&prompt);
        let request = RunRequest::new(prompt, max_duration_s, success_rest_s, success_rest_tolerance)?;
        Run::check(&self.state)?;
        let mut current = self.current.lock();
        if current.is_some() && self.state.settings.get().goals.second_goal == SecondGoal::Refuse {
            return Err(Rejection::Busy);
        }
        if let Some(mut replaced) = current.take() {
            replaced.run.end(Termination::Replaced, "another goal came");
            self.finish(&replaced.id, replaced.run.outcome());
        }
        *current = Some(CurrentGoal {
            id,
            run: Run::begin(&self.state, request, &self.commanded)?,
            fed_back: None,
            client_seen: Instant::now(),
        });
        tracing::info!("a goal of {ACTION} runs: {shown}");
        Ok(())
    }

    /// Ends the run as a success.
    fn succeed(&self) -> Trigger::Response {
        let mut current = self.current.lock();
        let success = match &mut *current {
            Some(current) => current.run.end(Termination::Completed, "~/success was called"),
            None => false,
        };
        let message = match success {
            true => "the run ends as a success",
            false => "no goal runs",
        };
        Trigger::Response {
            success,
            message: message.to_owned(),
        }
    }

    /// Looks at the run: publishes feedback, or the result.
    fn look(&self) {
        let mut current = self.current.lock();
        let Some(goal) = &mut *current else { return };
        self.look_for_client(goal);
        match goal.run.look() {
            RunLook::Going(progress) => {
                if goal
                    .fed_back
                    .is_none_or(|fed_back| fed_back.elapsed() >= FEEDBACK_PERIOD)
                {
                    goal.fed_back = Some(Instant::now());
                    self.server.publish_feedback(&goal.id, feedback(*progress));
                }
            }
            RunLook::Over(outcome) => {
                self.finish(&goal.id, Some(outcome));
                *current = None;
            }
        }
    }

    fn look_for_client(&self, goal: &mut CurrentGoal) {
        if !self.state.settings.get().goals.needs_client || self.server.has_client() {
            goal.client_seen = Instant::now();
        } else if goal.client_seen.elapsed() > CLIENT_PATIENCE {
            let message = "nobody is subscribed to the feedback any more, and goal_needs_client is set";
            goal.run.end(Termination::ClientGone, message);
        }
    }

    fn finish(&self, id: &GoalId, outcome: Option<RunOutcome>) {
        let Some(outcome) = outcome else { return };
        let RunOutcome {
            termination, message, ..
        } = &outcome;
        tracing::info!("the goal of {ACTION} is over, {}: {message}", termination.code());
        self.server.finish(id, status(*termination), result(outcome));
    }
}

impl GoalHandler<RunPolicy::Action> for RunGoals {
    fn now(&self) -> Duration {
        self.state.clock.now().unwrap_or_default()
    }

    fn accept(&self, id: GoalId, goal: RunPolicy::Goal) -> bool {
        let begun = self.begin(id, goal);
        if let Err(rejection) = &begun {
            tracing::warn!("a goal of {ACTION} is rejected: {rejection}");
        }
        begun.is_ok()
    }

    fn cancel(&self, ids: &[GoalId]) {
        if let Some(current) = &mut *self.current.lock()
            && ids.contains(&current.id)
        {
            current.run.end(Termination::Cancelled, "the goal was cancelled");
        }
    }
}

/// State of the goal of a run that ended so.
fn status(termination: Termination) -> GoalStatus {
    match termination {
        Termination::Completed | Termination::Timeout => GoalStatus::Succeeded,
        Termination::Cancelled => GoalStatus::Canceled,
        Termination::Stopped
        | Termination::NodeDeactivated
        | Termination::Held
        | Termination::Replaced
        | Termination::PromptChanged
        | Termination::ClientGone => GoalStatus::Aborted,
    }
}

fn result(outcome: RunOutcome) -> RunPolicy::Result {
    RunPolicy::Result {
        success: outcome.termination == Termination::Completed,
        message: outcome.message,
        termination_reason: outcome.termination.code().to_owned(),
        elapsed_s: outcome.elapsed.as_secs_f64(),
        chunks: count(outcome.counts.chunks),
        refused_chunks: count(outcome.counts.refused_chunks),
        published_actions: outcome.counts.played_actions as u32,
    }
}

fn feedback(progress: RunProgress) -> RunPolicy::Feedback {
    let seconds = |age: Option<Duration>| age.map_or(-1.0, |age| age.as_secs_f64());
    let (hold, hold_detail) = progress.hold.map_or_else(Default::default, |hold| {
        (hold.reason.code().to_owned(), hold.detail)
    });
    let (input_names, input_ages): (Vec<String>, Vec<_>) = progress.input_ages.into_iter().unzip();
    RunPolicy::Feedback {
        published_actions: progress.counts.played_actions as u32,
        queue_depth: count(progress.queued_actions as u64),
        status: progress.status.code().to_owned(),
        hold,
        hold_detail,
        elapsed_s: progress.elapsed.as_secs_f64(),
        chunks: count(progress.counts.chunks),
        chunk_age_s: seconds(progress.chunk_age),
        input_names,
        input_ages_s: input_ages.into_iter().map(seconds).collect(),
    }
}

fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::RunStatus;

    /// The texts of the action's constants whose names begin so.
    fn constants(prefix: &str) -> Vec<&'static str> {
        let action = include_str!("../../pi0_interfaces/action/RunPolicy.action");
        let lines = action
            .lines()
            .filter_map(|line| line.strip_prefix("string ")?.strip_prefix(prefix));
        lines
            .map(|line| line.split_once('=').unwrap().1.trim_matches('"'))
            .collect()
    }

    #[test]
    fn the_action_has_a_constant_for_every_termination_and_status() {
        assert_eq!(constants("TERMINATION_"), Termination::ALL.map(Termination::code));
        assert_eq!(constants("STATUS_"), RunStatus::ALL.map(RunStatus::code));
    }
}
