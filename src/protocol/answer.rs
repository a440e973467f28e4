//! Answers to observations.

use std::time::Duration;

use super::array::Array;
use super::value::Value;

/// A chunk of actions, and how long it took.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Actions, `[horizon, action_dim]`.
    pub actions: Vec<f32>,
    /// Number of actions and values of one.
    pub shape: [usize; 2],
    /// Durations.
    pub timing: Timing,
}

/// Durations of an answer, all of them zero or none where a server does not tell them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timing {
    /// From the observation's arrival until the actions were there.
    pub server: Duration,
    /// From the previous observation's arrival until its answer was sent.
    pub previous_total: Option<Duration>,
    /// Time of the policy alone.
    pub policy: Duration,
}

/// Why a message is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer has {found} as actions, expected an array of numbers [horizon, action_dim]")]
pub struct AnswerError {
    /// What there is, in words.
    pub found: String,
}

fn milliseconds(duration: Duration) -> Value<'static> {
    Value::Float(duration.as_secs_f64() * 1e3)
}

impl Answer {
    /// The message of the answer: `actions`, `server_timing` and `policy_timing`, as openpi's server sends them.
    pub fn to_value(&self) -> Value<'static> {
        let Timing {
            server,
            previous_total,
            policy,
        } = self.timing;
        let previous = previous_total.map(|total| ("prev_total_ms", milliseconds(total)));
        let server = [("infer_ms", milliseconds(server))].into_iter().chain(previous);
        Value::map([
            (
                "actions",
                Array::of_f32(&self.actions, self.shape.to_vec()).into(),
            ),
            ("server_timing", Value::map(server)),
            ("policy_timing", Value::map([("infer_ms", milliseconds(policy))])),
        ])
    }

    /// The answer of a message.
    ///
    /// # Errors
    /// When it has no actions.
    pub fn from_value(value: &Value<'_>) -> Result<Self, AnswerError> {
        let actions = value.get("actions");
        let refused = || AnswerError {
            found: actions.map_or_else(|| "nothing".to_owned(), Value::kind),
        };
        let Some(Value::Array(array)) = actions else {
            return Err(refused());
        };
        let &[horizon, action_dim] = array.shape() else {
            return Err(refused());
        };
        if horizon == 0 || action_dim == 0 {
            return Err(refused());
        }
        let duration = |part: &str, name: &str| {
            let milliseconds = value.get(part)?.get(name)?.number()?;
            Duration::try_from_secs_f64(milliseconds / 1e3).ok()
        };
        Ok(Self {
            actions: array.to_f32(),
            shape: [horizon, action_dim],
            timing: Timing {
                server: duration("server_timing", "infer_ms").unwrap_or_default(),
                previous_total: duration("server_timing", "prev_total_ms"),
                policy: duration("policy_timing", "infer_ms").unwrap_or_default(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        for previous_total in [None, Some(Duration::from_millis(9))] {
            let answer = Answer {
                actions: vec![1.0, -2.0, 3.5, 4.0, 5.0, 6.0],
                shape: [3, 2],
                timing: Timing {
                    server: Duration::from_millis(7),
                    previous_total,
                    policy: Duration::from_millis(5),
                },
            };
            assert_eq!(Answer::from_value(&answer.to_value()), Ok(answer));
        }
    }

    #[test]
    fn an_answer_without_actions_of_two_dimensions_is_refused() {
        for actions in [
            Value::Nil,
            Array::of_f32(&[1.0], vec![1]).into(),
            Array::of_f32(&[1.0], vec![1, 1, 1]).into(),
            Array::of_f32(&[], vec![0, 3]).into(),
            Array::of_f32(&[], vec![3, 0]).into(),
        ] {
            let refused = Answer::from_value(&Value::map([("actions", actions)]));
            assert!(refused.unwrap_err().to_string().contains("[horizon, action_dim]"));
        }
        assert!(Answer::from_value(&Value::map([])).is_err());
    }

    #[test]
    fn durations_that_are_none_are_left_out() {
        let answer = Value::map([
            ("actions", Array::of_f32(&[1.0], vec![1, 1]).into()),
            (
                "server_timing",
                Value::map([("infer_ms", Value::Float(-1.0)), ("prev_total_ms", Value::Nil)]),
            ),
        ]);
        assert_eq!(Answer::from_value(&answer).unwrap().timing, Timing::default());
    }
}
