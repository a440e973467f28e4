//! The request of a run: what to do, and when it is done.

use std::time::Duration;

use super::rest::Rest;
use crate::control::Command;

/// Distance of a joint that counts as rest where a goal has none, in the robot's unit.
const DEFAULT_REST_TOLERANCE: f32 = 0.01;

/// The task of a run, and what ends it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRequest {
    pub(super) prompt: String,
    pub(super) max_duration: Option<Duration>,
    pub(super) success_rest: Option<Rest>,
}

/// Why a run does not begin.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RunRefusal {
    /// Prompt without a word.
    #[error("the prompt is empty, expected the task in words")]
    EmptyPrompt,
    /// Number that is no duration or distance.
    #[error("{name} is {found}, expected a finite number that is not negative")]
    Number {
        /// Name of the number in the goal.
        name: &'static str,
        /// Its value.
        found: f64,
    },
    /// Node that is not active.
    #[error("the node is not active: make the lifecycle transitions configure and activate first")]
    Inactive,
    /// Node that must not move the robot.
    #[error("the node is {}: call ~/enable with true first", state_name(*.0))]
    NotEnabled(Command),
    /// Simulated time that stands still, in words.
    #[error("there is no time: {0}")]
    NoTime(String),
}

fn state_name(command: Command) -> &'static str {
    match command {
        Command::Enabled => "enabled",
        Command::Disabled => "disabled",
        Command::Stopped => "stopped",
    }
}

impl RunRequest {
    /// A task, and its end by time (`max_duration_s`, 0 for none) or by rest of the commanded joints (`success_rest_s`, 0 for
    /// none, within `success_rest_tolerance` in the robot's unit, 0 for the default).
    ///
    /// # Errors
    /// When the prompt is empty, or a number is negative or not finite.
    pub fn new(
        prompt: String,
        max_duration_s: f64,
        success_rest_s: f64,
        success_rest_tolerance: f64,
    ) -> Result<Self, RunRefusal> {
        if prompt.trim().is_empty() {
            return Err(RunRefusal::EmptyPrompt);
        }
        let duration = |name, found| match Duration::try_from_secs_f64(found) {
            Ok(duration) => Ok((!duration.is_zero()).then_some(duration)),
            Err(_) => Err(RunRefusal::Number { name, found }),
        };
        let max_duration = duration("max_duration_s", max_duration_s)?;
        let success_rest = duration("success_rest_s", success_rest_s)?;
        if !(success_rest_tolerance.is_finite() && success_rest_tolerance >= 0.0) {
            return Err(RunRefusal::Number {
                name: "success_rest_tolerance",
                found: success_rest_tolerance,
            });
        }
        let tolerance = match success_rest_tolerance as f32 {
            0.0 => DEFAULT_REST_TOLERANCE,
            tolerance => tolerance,
        };
        Ok(Self {
            prompt,
            max_duration,
            success_rest: success_rest.map(|duration| Rest { duration, tolerance }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_without_a_task_or_with_numbers_that_are_no_durations_is_refused() {
        let request = |prompt: &str, duration, rest, tolerance| {
            RunRequest::new(prompt.to_owned(), duration, rest, tolerance).map(|_| ())
        };
        assert_eq!(request("wave", 1.5, 0.5, 0.1), Ok(()));
        assert_eq!(request(" ", 0.0, 0.0, 0.0), Err(RunRefusal::EmptyPrompt));
        for found in [-1.0, f64::INFINITY, 1e300] {
            let name = "max_duration_s";
            assert_eq!(
                request("wave", found, 0.0, 0.0),
                Err(RunRefusal::Number { name, found })
            );
            let name = "success_rest_s";
            assert_eq!(
                request("wave", 0.0, found, 0.0),
                Err(RunRefusal::Number { name, found })
            );
        }
        for number in [-0.1, f64::NAN] {
            let refused = request("wave", 0.0, 0.0, number).unwrap_err().to_string();
            assert!(refused.contains("success_rest_tolerance is"), "{refused}");
            assert!(request("wave", number, 0.0, 0.0).is_err());
        }
    }
}
