//! What an evaluation found, as it is written to JSON files. Everything but `timing` and `settings.threads` is the same
//! whenever the same bag, checkpoint and parameters are evaluated, on any number of threads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Of the JSON files; grows when a field changes its meaning.
pub const FORMAT: u32 = 1;

/// Several bags, and what they say together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub format: u32,
    pub bags: Vec<BagResult>,
    /// Every figure is the mean over the bags, each weighted by what it was taken over; the largest is the largest of all.
    pub combined: Accuracy,
}

/// What was found of one bag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BagResult {
    pub bag: String,
    /// What it was made of, as one word (see [`fingerprint`](super::fingerprint)); empty when nobody asked for it.
    pub inputs: String,
    pub settings: UsedSettings,
    pub recording: RecordingFound,
    pub accuracy: Accuracy,
    pub timing: Timing,
}

/// What the evaluation was made with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsedSettings {
    pub policy: String,
    pub seed: u64,
    pub threads: usize,
    pub joints: Vec<String>,
    pub actions_topic: String,
    pub action_rate_hz: f64,
    pub control_rate_hz: f64,
    pub action_horizon: usize,
    /// Actions from one observation to the next.
    pub actions_between: usize,
}

/// What the bag had.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecordingFound {
    pub duration_s: f64,
    pub messages: u64,
    pub images: u64,
    pub clock_resets: u64,
    /// Messages that could not be used, by topic.
    pub bad_messages: BTreeMap<String, BadMessages>,
    /// How much older than the joint state the frame of each camera was, in seconds.
    pub camera_age_s: BTreeMap<String, Spread>,
    /// Observations that the policy could not predict from, and why the first could not be.
    pub failed_predictions: u64,
    pub first_failure: Option<String>,
    pub notes: Vec<String>,
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BadMessages {
    pub count: u64,
    pub first_problem: String,
}

/// How well predictions fit what was recorded, in the robot's units: radians for joints, squared for mean squares.
/// Figures are none where there is nothing to take them over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    pub predictions: u64,
    /// Predicted actions at whose time something was recorded.
    pub compared_actions: u64,
    /// Mean square error over all compared actions and joints.
    pub mse: Option<f64>,
    /// Mean absolute error.
    pub mae: Option<f64>,
    /// Mean absolute error of each chunk's first action, and the largest of them.
    pub first_action_mae: Option<f64>,
    pub first_action_largest: Option<f64>,
    /// Of what moved in the recording by more than the stillness threshold since the observation, the share that was
    /// predicted to move to the same side.
    pub direction_agreement: Option<f64>,
    pub direction_count: u64,
    /// Mean absolute difference of one chunk from the next where both have an action for the same time.
    pub chunk_difference: Option<f64>,
    pub chunk_pairs: u64,
    /// Speed of the fastest joint from the last action of a chunk that is played to the first of the next, a second.
    pub seam_velocity: Option<f64>,
    pub seam_velocity_largest: Option<f64>,
    /// The same from action to action inside of chunks, to hold the blending against.
    pub inside_velocity: Option<f64>,
    /// Flow-matching loss in normalised units, over the times of the Euler steps, of chunks that were recorded whole.
    pub flow_matching_loss: Option<f64>,
    pub flow_matching_chunks: u64,
    pub flow_matching_loss_by_time: Vec<LossAtTime>,
    pub by_joint: Vec<JointAccuracy>,
    /// By place in the chunk, the action of the observation's moment first.
    pub by_step: Vec<StepAccuracy>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossAtTime {
    /// 1 is noise, 0 is the action.
    pub time: f64,
    pub loss: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JointAccuracy {
    pub joint: String,
    pub compared: u64,
    pub mse: Option<f64>,
    pub mae: Option<f64>,
    pub direction_agreement: Option<f64>,
    pub direction_count: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepAccuracy {
    pub compared: u64,
    pub mse: Option<f64>,
    pub mae: Option<f64>,
}

/// How fast the evaluation was, on this machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    pub wall_s: f64,
    /// From an observation to its chunk.
    pub chunk_ms: Spread,
    /// What a chunk's time goes into, in milliseconds.
    pub stages_ms: BTreeMap<String, Spread>,
    /// Decoded images a second of the time that reading took on its thread.
    pub images_read_per_s: Option<f64>,
    /// Had the policy run live at this speed: the share of the control ticks after the first chunk at which no chunk had
    /// an action for the robot, so that it held still.
    pub ticks_without_action: Option<f64>,
    /// Had it run live: the share of camera frames that no chunk would have been made from.
    pub frames_not_used: Option<f64>,
}

/// Figures of many values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub count: usize,
    pub mean: f64,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

impl Spread {
    /// Of values in any order; all zero without values.
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let percentile = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
            sorted.get(rank).copied().unwrap_or(0.0)
        };
        Self {
            count: sorted.len(),
            mean: sorted.iter().sum::<f64>() / sorted.len().max(1) as f64,
            p50: percentile(50),
            p99: percentile(99),
            max: sorted.last().copied().unwrap_or(0.0),
        }
    }
}

impl Report {
    pub fn new(bags: Vec<BagResult>) -> Self {
        let parts: Vec<&Accuracy> = bags.iter().map(|bag| &bag.accuracy).collect();
        Self {
            format: FORMAT,
            combined: Accuracy::combined(&parts),
            bags,
        }
    }
}

impl Accuracy {
    /// What several say together; the joints of the first.
    pub fn combined(parts: &[&Self]) -> Self {
        let sum = |count: fn(&Self) -> u64| parts.iter().map(|part| count(part)).sum();
        let mean = |figure: fn(&Self) -> Option<f64>, weight: fn(&Self) -> u64| {
            weighted(parts.iter().map(|part| (figure(part), weight(part))))
        };
        let largest =
            |figure: fn(&Self) -> Option<f64>| parts.iter().filter_map(|part| figure(part)).reduce(f64::max);
        let actions: fn(&Self) -> u64 = |part| part.compared_actions;
        let pairs: fn(&Self) -> u64 = |part| part.chunk_pairs;
        let first: fn(&Self) -> u64 = |part| part.by_step.first().map_or(0, |step| step.compared);
        let joints = parts.first().map_or(0, |part| part.by_joint.len());
        let horizon = parts.iter().map(|part| part.by_step.len()).max().unwrap_or(0);
        let times = parts
            .iter()
            .map(|part| &part.flow_matching_loss_by_time)
            .find(|times| !times.is_empty());
        Self {
            predictions: sum(|part| part.predictions),
            compared_actions: sum(actions),
            mse: mean(|part| part.mse, actions),
            mae: mean(|part| part.mae, actions),
            first_action_mae: mean(|part| part.first_action_mae, first),
            first_action_largest: largest(|part| part.first_action_largest),
            direction_agreement: mean(|part| part.direction_agreement, |part| part.direction_count),
            direction_count: sum(|part| part.direction_count),
            chunk_difference: mean(|part| part.chunk_difference, pairs),
            chunk_pairs: sum(pairs),
            seam_velocity: mean(|part| part.seam_velocity, pairs),
            seam_velocity_largest: largest(|part| part.seam_velocity_largest),
            inside_velocity: mean(|part| part.inside_velocity, |part| part.predictions),
            flow_matching_loss: mean(|part| part.flow_matching_loss, |part| part.flow_matching_chunks),
            flow_matching_chunks: sum(|part| part.flow_matching_chunks),
            flow_matching_loss_by_time: times
                .into_iter()
                .flatten()
                .enumerate()
                .filter_map(|(index, at)| {
                    let loss = weighted(parts.iter().map(|part| {
                        let loss = part.flow_matching_loss_by_time.get(index).map(|at| at.loss);
                        (loss, part.flow_matching_chunks)
                    }))?;
                    Some(LossAtTime { time: at.time, loss })
                })
                .collect(),
            by_joint: (0..joints)
                .map(|joint| {
                    let of = |part: &&Self| part.by_joint.get(joint).cloned();
                    let found: Vec<JointAccuracy> = parts.iter().filter_map(of).collect();
                    JointAccuracy {
                        joint: found[0].joint.clone(),
                        compared: found.iter().map(|one| one.compared).sum(),
                        mse: weighted(found.iter().map(|one| (one.mse, one.compared))),
                        mae: weighted(found.iter().map(|one| (one.mae, one.compared))),
                        direction_agreement: weighted(
                            found
                                .iter()
                                .map(|one| (one.direction_agreement, one.direction_count)),
                        ),
                        direction_count: found.iter().map(|one| one.direction_count).sum(),
                    }
                })
                .collect(),
            by_step: (0..horizon)
                .map(|step| {
                    let found: Vec<&StepAccuracy> =
                        parts.iter().filter_map(|part| part.by_step.get(step)).collect();
                    StepAccuracy {
                        compared: found.iter().map(|one| one.compared).sum(),
                        mse: weighted(found.iter().map(|one| (one.mse, one.compared))),
                        mae: weighted(found.iter().map(|one| (one.mae, one.compared))),
                    }
                })
                .collect(),
        }
    }
}

/// The mean of what there is.
fn weighted(figures: impl Iterator<Item = (Option<f64>, u64)>) -> Option<f64> {
    let (mut sum, mut weights) = (0.0, 0);
    for (figure, weight) in figures {
        if let Some(figure) = figure {
            sum += figure * weight as f64;
            weights += weight;
        }
    }
    (weights > 0).then(|| sum / weights as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bags_count_by_what_their_figures_were_taken_over() {
        let part = |mse, compared_actions, largest| Accuracy {
            compared_actions,
            mse: Some(mse),
            first_action_largest: Some(largest),
            ..Accuracy::default()
        };
        let empty = Accuracy::default();
        let combined = Accuracy::combined(&[&part(1.0, 30, 0.5), &part(4.0, 10, 0.2), &empty]);
        assert_eq!((combined.mse, combined.compared_actions), (Some(1.75), 40));
        assert_eq!(combined.first_action_largest, Some(0.5));
        assert_eq!(combined.seam_velocity, None);
    }

    #[test]
    fn a_spread_has_the_percentiles_of_its_values() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        let spread = Spread::of(&values);
        assert_eq!((spread.p50, spread.p99, spread.max), (100.0, 198.0, 200.0));
        assert_eq!(Spread::of(&[]), Spread::default());
    }
}
