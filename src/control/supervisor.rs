//! Supervision: whether the robot may move.

use std::time::{Duration, Instant};

use super::{Hold, HoldReason};

/// The role of a monitored input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputRole {
    /// Camera, by its name.
    Camera(String),
    /// Joint positions.
    JointStates,
    /// Any other input, by its description.
    Other(String),
}

/// An input that must not become old.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonitoredInput {
    /// Role of the input.
    pub input: InputRole,
    /// When its newest good message came, on the clock that is never set; only whether it changes counts. None before
    /// the first one.
    pub received: Option<Instant>,
    /// Whether the newest message has a value that is no finite number.
    pub is_not_finite: bool,
}

/// The inputs of the safety checks at one tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SafetyInputs {
    /// Inputs that must not become old.
    pub inputs: Vec<MonitoredInput>,
    /// Where the joints are, as last measured.
    pub measured: Option<Vec<f32>>,
    /// Why nothing finite came out of the newest observation, if so.
    pub not_finite: Option<String>,
    /// Why the limits of the robot's description are not known although it has some, if so.
    pub limits_problem: Option<String>,
    /// Who else publishes on the topics that move the robot, if anybody does.
    pub other_publishers: Option<String>,
    /// Why the policy's server is lost, while it is.
    pub server_lost: Option<String>,
    /// State set by the services `~/enable` and `~/stop`.
    pub command: Command,
    /// State set by the service `~/takeover`.
    pub takeover: Takeover,
    /// Whether the managed node is in another state than active.
    pub is_inactive: bool,
    /// Changes with every prompt that is given.
    pub prompt_generation: u64,
    /// How the run of an action goal ended, where nothing came since that may move the robot.
    pub goal_over: Option<String>,
}

/// The state that the services `~/enable` and `~/stop` leave the node in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Command {
    /// The node may move the robot.
    #[default]
    Enabled,
    /// The robot is held until enabled.
    Disabled,
    /// Until enabled again.
    Stopped,
}

/// The state that the service `~/takeover` leaves the node in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Takeover {
    /// Whether somebody else moves the robot.
    pub is_requested: bool,
    /// How often the robot was given back.
    pub releases: u64,
}

/// Limits of the supervision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SupervisionSettings {
    /// Longest age of an input; a silent one holds the robot.
    pub max_age: Duration,
    /// Longest time for which one prompt may move the robot; none for no limit.
    pub max_run_time: Option<Duration>,
}

/// Watches inputs and commands. It knows no clock: an input is as old as the time since its newest message changed.
#[derive(Debug, Default)]
pub(super) struct Supervisor {
    seen: Vec<(Option<Instant>, Duration)>,
    run: Option<Run>,
}

#[derive(Debug)]
struct Run {
    prompt_generation: u64,
    began: Duration,
}

impl Supervisor {
    /// The highest-priority reason to hold the robot at `now`, if any.
    pub fn hold(
        &mut self,
        now: Duration,
        safety_inputs: &SafetyInputs,
        settings: SupervisionSettings,
    ) -> Option<Hold> {
        let stale = self.stale(now, &safety_inputs.inputs, settings.max_age);
        if safety_inputs.is_inactive {
            self.run = None;
            return Some(Hold::new(
                HoldReason::Inactive,
                "the node is not active; the lifecycle transition activate lets it move the robot",
            ));
        }
        match safety_inputs.command {
            Command::Enabled => {}
            Command::Disabled => {
                self.run = None;
                return Some(Hold::new(
                    HoldReason::Disabled,
                    "the node is disabled; the service ~/enable lets it move the robot",
                ));
            }
            Command::Stopped => {
                self.run = None;
                return Some(Hold::new(
                    HoldReason::Stopped,
                    "the service ~/stop was called; ~/enable lets the node move the robot again",
                ));
            }
        }
        if let Some(others) = &safety_inputs.other_publishers {
            return Some(Hold::new(HoldReason::OtherPublisher, others.clone()));
        }
        if let Some(input) = safety_inputs.inputs.iter().find(|input| input.is_not_finite) {
            let detail = format!(
                "the newest message of {} has a value that is no finite number",
                input.input
            );
            return Some(Hold::new(HoldReason::NotFinite, detail));
        }
        if stale.is_some() {
            return stale;
        }
        if let Some(reason) = &safety_inputs.server_lost {
            return Some(Hold::new(HoldReason::ServerLost, reason.clone()));
        }
        let over = |detail: &String| Hold::new(HoldReason::GoalOver, detail.clone());
        self.run_over(now, safety_inputs.prompt_generation, settings.max_run_time)
            .or_else(|| safety_inputs.goal_over.as_ref().map(over))
    }

    /// The robot moves for this prompt from `now` on, if it did not before.
    pub fn moves(&mut self, now: Duration, prompt_generation: u64) {
        if self
            .run
            .as_ref()
            .is_none_or(|run| run.prompt_generation != prompt_generation)
        {
            self.run = Some(Run {
                prompt_generation,
                began: now,
            });
        }
    }

    fn stale(&mut self, now: Duration, inputs: &[MonitoredInput], max_age: Duration) -> Option<Hold> {
        self.seen.resize(inputs.len(), (None, now));
        let mut stale: Option<(HoldReason, &InputRole)> = None;
        for (input, seen) in inputs.iter().zip(&mut self.seen) {
            if input.received != seen.0 {
                *seen = (input.received, now);
            }
            let age = now.saturating_sub(seen.1);
            if input.received.is_some() && age > max_age {
                let reason = input.input.stale();
                if stale.is_none_or(|(more_severe, _)| reason < more_severe) {
                    stale = Some((reason, &input.input));
                }
            }
        }
        stale.map(|(reason, input)| {
            let detail = format!(
                "no good message of {input} for more than {} ms",
                max_age.as_millis()
            );
            Hold::new(reason, detail)
        })
    }

    fn run_over(&self, now: Duration, prompt_generation: u64, longest: Option<Duration>) -> Option<Hold> {
        let run = self
            .run
            .as_ref()
            .filter(|run| run.prompt_generation == prompt_generation)?;
        let longest = longest.filter(|&longest| now.saturating_sub(run.began) >= longest)?;
        Some(Hold::new(
            HoldReason::RunTimeOver,
            format!(
                "the prompt has moved the robot for {} s; the next prompt, ~/reset, or ~/stop and ~/enable begin anew",
                longest.as_secs_f64()
            ),
        ))
    }
}

impl InputRole {
    fn stale(&self) -> HoldReason {
        match self {
            Self::Camera(_) => HoldReason::StaleCamera,
            Self::JointStates => HoldReason::StaleJointStates,
            Self::Other(_) => HoldReason::StaleInput,
        }
    }
}

impl std::fmt::Display for InputRole {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Camera(name) => write!(formatter, "camera {name}"),
            Self::JointStates => write!(formatter, "the joint states"),
            Self::Other(name) => write!(formatter, "{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_server_holds_the_position_until_it_is_there_again() {
        let settings = SupervisionSettings {
            max_age: Duration::from_millis(500),
            max_run_time: None,
        };
        let mut supervisor = Supervisor::default();
        let mut hold_with = |server_lost: Option<&str>| {
            let safety_inputs = SafetyInputs {
                server_lost: server_lost.map(str::to_owned),
                ..SafetyInputs::default()
            };
            supervisor.hold(Duration::from_secs(1), &safety_inputs, settings)
        };
        assert_eq!(hold_with(None), None);
        let hold = hold_with(Some("connection refused")).unwrap();
        assert_eq!(hold.to_string(), "SERVER_LOST: connection refused");
        assert!(!hold.reason.ends_with_a_chunk());
        assert_eq!(hold_with(None), None);
    }

    #[test]
    fn any_other_input_that_is_silent_holds_the_position_once_it_spoke() {
        let settings = SupervisionSettings {
            max_age: Duration::from_millis(500),
            max_run_time: None,
        };
        let mut supervisor = Supervisor::default();
        let mut hold_at = |milliseconds, received| {
            let safety_inputs = SafetyInputs {
                inputs: vec![MonitoredInput {
                    input: InputRole::Other("extra state /tcp".to_owned()),
                    received,
                    is_not_finite: false,
                }],
                ..SafetyInputs::default()
            };
            let hold = supervisor.hold(Duration::from_millis(milliseconds), &safety_inputs, settings);
            hold.map(|hold| hold.reason)
        };
        let came = Some(Instant::now());
        assert_eq!(hold_at(0, None), None);
        assert_eq!(hold_at(9000, None), None, "it is waited for, and nothing moves");
        assert_eq!(hold_at(10_000, came), None);
        assert_eq!(hold_at(10_500, came), None);
        assert_eq!(hold_at(10_501, came), Some(HoldReason::StaleInput));
        assert_eq!(
            hold_at(10_600, came.map(|came| came + Duration::from_millis(1))),
            None
        );
    }
}
