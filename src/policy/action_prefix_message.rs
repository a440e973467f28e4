//! Actions of the chunk before, as they travel with an observation to a server.

use std::num::NonZeroUsize;

use super::action_prefix::ActionPrefix;
use super::chunk::ActionChunk;
use crate::model::{Conditioning, Guidance, PrefixAttentionSchedule};
use crate::protocol::{Array, Value};

/// Name of the prefix in an observation. Only `pi0_server` knows it.
pub const ACTION_PREFIX: &str = "action_prefix";

/// Names of the ways in which a chunk goes on from the one before.
const INPAINTED: &str = "inpainted";
const TRAINED: &str = "trained";
const GUIDED: &str = "guided";

/// Largest bound of the guidance weight, as that of the node's parameter.
const LARGEST_WEIGHT: f64 = 100.0;

/// Why a message has no action prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the action prefix has {found} as {part}, expected {expected}")]
pub struct ActionPrefixError {
    part: &'static str,
    found: String,
    expected: String,
}

impl ActionPrefix {
    /// The prefix as a value: `actions` `[count, action_dim]`, `conditioning`, and `guidance` where they guide the chunk.
    pub fn to_value(&self) -> Value<'_> {
        let shape = vec![self.actions.horizon(), self.actions.action_dim()];
        let actions = ("actions", Array::of_f32(self.actions.values(), shape).into());
        let (name, guidance) = match &self.conditioning {
            Conditioning::Inpainted => (INPAINTED, None),
            Conditioning::Trained => (TRAINED, None),
            Conditioning::Guided {
                guidance,
                inference_delay,
            } => {
                let horizon = guidance.prefix_attention_horizon.map(NonZeroUsize::get);
                let weight = guidance.max_guidance_weight.map(f64::from);
                let guidance = Value::map([
                    ("inference_delay", (*inference_delay).into()),
                    ("prefix_attention_schedule", guidance.schedule.name().into()),
                    (
                        "prefix_attention_horizon",
                        horizon.map_or(Value::Nil, Value::from),
                    ),
                    ("max_guidance_weight", weight.map_or(Value::Nil, Value::from)),
                ]);
                (GUIDED, Some(guidance))
            }
        };
        let guidance = guidance.map(|value| ("guidance", value));
        Value::map(
            [actions, ("conditioning", name.into())]
                .into_iter()
                .chain(guidance),
        )
    }

    /// The prefix of an observation whose actions have `action_dim` values; none where it has none.
    ///
    /// # Errors
    /// When a part of it is missing or another than [`to_value`](Self::to_value) writes.
    pub fn from_observation(
        observation: &Value<'_>,
        action_dim: usize,
    ) -> Result<Option<Self>, ActionPrefixError> {
        let Some(prefix) = observation.get(ACTION_PREFIX) else {
            return Ok(None);
        };
        let fits = |shape: &[usize]| matches!(*shape, [count, dim] if count > 0 && dim == action_dim);
        let actions = match prefix.get("actions") {
            Some(Value::Array(array)) if fits(array.shape()) => ActionChunk::new(array.to_f32(), action_dim),
            other => {
                let expected = format!("an array of numbers [count, {action_dim}]");
                return Err(refused("actions", other, expected));
            }
        };
        let conditioning = prefix.get("conditioning");
        let conditioning = match conditioning.and_then(Value::text) {
            Some(INPAINTED) => Conditioning::Inpainted,
            Some(TRAINED) => Conditioning::Trained,
            Some(GUIDED) => guided(prefix.get("guidance").unwrap_or(&Value::Nil))?,
            _ => {
                let expected = [INPAINTED, TRAINED, GUIDED].join(", ");
                return Err(refused(
                    "conditioning",
                    conditioning,
                    format!("one of {expected}"),
                ));
            }
        };
        Ok(Some(Self {
            actions,
            conditioning,
        }))
    }
}

fn guided(value: &Value<'_>) -> Result<Conditioning, ActionPrefixError> {
    let part = |name| match value.get(name) {
        Some(Value::Nil) => None,
        other => other,
    };
    let delay = part("inference_delay");
    let schedule = part("prefix_attention_schedule");
    let horizon = part("prefix_attention_horizon");
    let weight = part("max_guidance_weight");
    Ok(Conditioning::Guided {
        inference_delay: delay
            .and_then(Value::count)
            .ok_or_else(|| refused("inference_delay", delay, "a number of actions"))?,
        guidance: Guidance {
            schedule: schedule
                .and_then(Value::text)
                .and_then(PrefixAttentionSchedule::from_name)
                .ok_or_else(|| {
                    let names = PrefixAttentionSchedule::ALL.map(PrefixAttentionSchedule::name);
                    let expected = format!("one of {}", names.join(", "));
                    refused("prefix_attention_schedule", schedule, expected)
                })?,
            prefix_attention_horizon: match horizon {
                None => None,
                Some(value) => Some(value.count().and_then(NonZeroUsize::new).ok_or_else(|| {
                    let expected = "a number of actions above 0, or nothing";
                    refused("prefix_attention_horizon", horizon, expected)
                })?),
            },
            max_guidance_weight: match weight {
                None => None,
                Some(value) => Some(
                    value
                        .number()
                        .filter(|weight| *weight > 0.0 && *weight <= LARGEST_WEIGHT)
                        .ok_or_else(|| {
                            let expected = format!("a number above 0 and up to {LARGEST_WEIGHT}, or nothing");
                            refused("max_guidance_weight", weight, expected)
                        })? as f32,
                ),
            },
        },
    })
}

fn refused(part: &'static str, value: Option<&Value<'_>>, expected: impl Into<String>) -> ActionPrefixError {
    let found = match value {
        None => "nothing".to_owned(),
        Some(Value::Integer(number)) => number.to_string(),
        Some(Value::Float(number)) => number.to_string(),
        Some(other) => other.kind(),
    };
    ActionPrefixError {
        part,
        found,
        expected: expected.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{DecodeLimits, decode, encode};

    fn prefix(conditioning: Conditioning) -> ActionPrefix {
        ActionPrefix {
            actions: ActionChunk::new(vec![0.1, -2.0, f32::MIN_POSITIVE, 1e9], 2),
            conditioning,
        }
    }

    /// What arrives of an observation with this value as prefix.
    fn received(value: Value<'_>) -> Result<Option<ActionPrefix>, ActionPrefixError> {
        let message = encode(&Value::map([(ACTION_PREFIX, value)]));
        let observation = decode(&message, DecodeLimits::default()).unwrap();
        ActionPrefix::from_observation(&observation, 2)
    }

    fn guidance_with(part: &'static str, value: Value<'static>) -> Value<'static> {
        let guidance = [
            ("inference_delay", Value::Integer(1)),
            ("prefix_attention_schedule", "linear".into()),
        ];
        let others = guidance.into_iter().filter(|(name, _)| *name != part);
        Value::map([
            ("actions", Array::of_f32(&[0.0; 4], vec![2, 2]).into()),
            ("conditioning", GUIDED.into()),
            ("guidance", Value::map(others.chain([(part, value)]))),
        ])
    }

    #[test]
    fn every_prefix_arrives_as_it_was_sent() {
        let guided = |guidance| Conditioning::Guided {
            guidance,
            inference_delay: 7,
        };
        let schedules = PrefixAttentionSchedule::ALL.map(|schedule| Guidance {
            schedule,
            prefix_attention_horizon: NonZeroUsize::new(12),
            max_guidance_weight: Some(0.1),
        });
        let guidances = schedules.into_iter().chain([Guidance::default()]);
        let others = [Conditioning::Inpainted, Conditioning::Trained];
        for conditioning in others.into_iter().chain(guidances.map(guided)) {
            let sent = prefix(conditioning);
            assert_eq!(received(sent.to_value()), Ok(Some(sent.clone())));
        }
    }

    #[test]
    fn an_observation_without_a_prefix_has_none() {
        assert_eq!(ActionPrefix::from_observation(&Value::map([]), 2), Ok(None));
    }

    #[test]
    fn a_part_that_is_none_is_named_with_what_is_expected() {
        for (part, value, found) in [
            ("inference_delay", Value::Integer(-1), "-1"),
            ("inference_delay", Value::Nil, "nothing"),
            ("prefix_attention_schedule", "cubic".into(), "a text"),
            ("prefix_attention_schedule", Value::Nil, "nothing"),
            ("prefix_attention_horizon", Value::Integer(0), "0"),
            ("prefix_attention_horizon", Value::Float(1.5), "1.5"),
            ("max_guidance_weight", Value::Float(f64::NAN), "NaN"),
            ("max_guidance_weight", Value::Float(-1.0), "-1"),
            ("max_guidance_weight", Value::Float(100.5), "100.5"),
        ] {
            let refused = received(guidance_with(part, value)).unwrap_err();
            assert_eq!((refused.part, refused.found.as_str()), (part, found));
        }
        let actions = |values: Value<'static>| received(Value::map([("actions", values)]));
        for wrong in [
            Array::of_f32(&[], vec![0, 2]).into(),
            Array::of_f32(&[0.0; 3], vec![1, 3]).into(),
            Array::of_f32(&[0.0; 2], vec![2]).into(),
            Value::Nil,
        ] {
            let refused = actions(wrong).unwrap_err().to_string();
            assert!(
                refused.contains("expected an array of numbers [count, 2]"),
                "{refused}"
            );
        }
        let conditioned = |name: Value<'static>| {
            let actions = Array::of_f32(&[0.0; 2], vec![1, 2]).into();
            received(Value::map([("actions", actions), ("conditioning", name)])).unwrap_err()
        };
        assert_eq!(conditioned("frozen".into()).part, "conditioning");
        assert_eq!(conditioned(GUIDED.into()).part, "inference_delay");
        assert!(received(Value::Nil).is_err());
    }
}
