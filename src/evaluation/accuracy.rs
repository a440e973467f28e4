//! Accuracy of predictions: its metrics, and their combination over bags.

use serde::{Deserialize, Serialize};

/// Metrics of predictions against recorded actions, in the robot's units: radians for joints, squared for mean squares.
/// A metric is `None` where nothing could be compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Chunks that were predicted.
    pub predictions: u64,
    /// Predicted actions with a recorded action at their time.
    pub compared_actions: u64,
    /// Mean square error over all compared actions and joints.
    pub mse: Option<f64>,
    /// Mean absolute error over all compared actions and joints.
    pub mae: Option<f64>,
    /// Mean absolute error of each chunk's first action.
    pub first_action_mae: Option<f64>,
    /// Largest absolute error of a chunk's first action.
    pub first_action_max: Option<f64>,
    /// Share of the recorded motions since the observation that were predicted in the same direction. Motions below the
    /// stillness threshold do not count.
    pub direction_agreement: Option<f64>,
    /// Motions that `direction_agreement` is taken over.
    pub direction_count: u64,
    /// Mean absolute difference of a chunk from the next one where both have an action for the same time.
    pub chunk_difference: Option<f64>,
    /// Pairs of successive chunks.
    pub chunk_pairs: u64,
    /// Mean speed per second of the fastest joint from the last executed action of a chunk to the first one of the next.
    pub transition_velocity: Option<f64>,
    /// Largest speed of a joint in such a chunk transition.
    pub transition_velocity_max: Option<f64>,
    /// Mean speed per second of the fastest joint from action to action within a chunk, to compare `transition_velocity` with.
    pub within_chunk_velocity: Option<f64>,
    /// Flow-matching loss in normalised units, averaged over the times of the Euler steps.
    pub flow_matching_loss: Option<f64>,
    /// Completely recorded chunks that the loss is taken over.
    pub flow_matching_chunks: u64,
    /// Flow-matching loss at the time of each Euler step.
    pub flow_matching_loss_by_time: Vec<LossAtTime>,
    /// Accuracy of each commanded joint.
    pub by_joint: Vec<JointAccuracy>,
    /// Errors by index of the action in its chunk, over all joints.
    pub by_step: Vec<Errors>,
}

/// Flow-matching loss at one time of the flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossAtTime {
    /// Time from 1 (noise) to 0 (action).
    pub time: f64,
    /// Mean loss at that time.
    pub loss: f64,
}

/// Errors of a part of the predictions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Errors {
    /// Compared actions.
    pub compared: u64,
    /// Mean square error.
    pub mse: Option<f64>,
    /// Mean absolute error.
    pub mae: Option<f64>,
}

/// Accuracy of one joint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JointAccuracy {
    /// Name of the joint.
    pub joint: String,
    /// Errors of the joint's predicted positions.
    #[serde(flatten)]
    pub errors: Errors,
    /// Share of the joint's recorded motions that were predicted in the same direction.
    pub direction_agreement: Option<f64>,
    /// Motions that `direction_agreement` is taken over.
    pub direction_count: u64,
}

/// One number about a whole evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// Name, which is the key in the JSON report.
    pub name: &'static str,
    /// Value; `None` where nothing could be compared.
    pub value: Option<f64>,
    /// Direction of improvement.
    pub better: Direction,
    /// Marks a metric that decides the comparison of two reports; the others explain it.
    pub decides: bool,
}

/// Direction in which a metric improves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Towards zero.
    Lower,
    /// Towards one.
    Higher,
}

impl Accuracy {
    /// Metrics of the whole evaluation, the most important ones first.
    pub fn metrics(&self) -> [Metric; 10] {
        use Direction::{Higher, Lower};
        let metric = |name, value, better, decides| Metric {
            name,
            value,
            better,
            decides,
        };
        [
            metric("mse", self.mse, Lower, true),
            metric("mae", self.mae, Lower, true),
            metric("first_action_mae", self.first_action_mae, Lower, true),
            metric("first_action_max", self.first_action_max, Lower, false),
            metric("direction_agreement", self.direction_agreement, Higher, true),
            metric("chunk_difference", self.chunk_difference, Lower, true),
            metric("transition_velocity", self.transition_velocity, Lower, true),
            metric(
                "transition_velocity_max",
                self.transition_velocity_max,
                Lower,
                false,
            ),
            metric("within_chunk_velocity", self.within_chunk_velocity, Lower, false),
            metric("flow_matching_loss", self.flow_matching_loss, Lower, true),
        ]
    }

    /// Combines the accuracies of several bags: every mean is weighted by what it was taken over. The joints are those of the
    /// first bag.
    pub fn combined(parts: &[&Self]) -> Self {
        let sum = |count: fn(&Self) -> u64| parts.iter().map(|part| count(part)).sum();
        let mean = |metric: fn(&Self) -> Option<f64>, weight: fn(&Self) -> u64| {
            weighted(parts.iter().map(|part| (metric(part), weight(part))))
        };
        let largest =
            |metric: fn(&Self) -> Option<f64>| parts.iter().filter_map(|part| metric(part)).reduce(f64::max);
        let actions: fn(&Self) -> u64 = |part| part.compared_actions;
        let pairs: fn(&Self) -> u64 = |part| part.chunk_pairs;
        let first: fn(&Self) -> u64 = |part| part.by_step.first().map_or(0, |step| step.compared);
        let joints = parts.first().map_or(0, |part| part.by_joint.len());
        let horizon = parts.iter().map(|part| part.by_step.len()).max().unwrap_or(0);
        Self {
            predictions: sum(|part| part.predictions),
            compared_actions: sum(actions),
            mse: mean(|part| part.mse, actions),
            mae: mean(|part| part.mae, actions),
            first_action_mae: mean(|part| part.first_action_mae, first),
            first_action_max: largest(|part| part.first_action_max),
            direction_agreement: mean(|part| part.direction_agreement, |part| part.direction_count),
            direction_count: sum(|part| part.direction_count),
            chunk_difference: mean(|part| part.chunk_difference, pairs),
            chunk_pairs: sum(pairs),
            transition_velocity: mean(|part| part.transition_velocity, pairs),
            transition_velocity_max: largest(|part| part.transition_velocity_max),
            within_chunk_velocity: mean(|part| part.within_chunk_velocity, |part| part.predictions),
            flow_matching_loss: mean(|part| part.flow_matching_loss, |part| part.flow_matching_chunks),
            flow_matching_chunks: sum(|part| part.flow_matching_chunks),
            flow_matching_loss_by_time: combined_losses(parts),
            by_joint: (0..joints)
                .map(|joint| JointAccuracy::combined(parts, joint))
                .collect(),
            by_step: (0..horizon)
                .map(|step| Errors::combined(parts.iter().filter_map(|part| part.by_step.get(step).copied())))
                .collect(),
        }
    }
}

impl JointAccuracy {
    fn combined(parts: &[&Accuracy], joint: usize) -> Self {
        let found: Vec<&Self> = parts.iter().filter_map(|part| part.by_joint.get(joint)).collect();
        let directions = found
            .iter()
            .map(|one| (one.direction_agreement, one.direction_count));
        Self {
            joint: found[0].joint.clone(),
            errors: Errors::combined(found.iter().map(|one| one.errors)),
            direction_agreement: weighted(directions),
            direction_count: found.iter().map(|one| one.direction_count).sum(),
        }
    }
}

impl Errors {
    fn combined(parts: impl Iterator<Item = Self> + Clone) -> Self {
        Self {
            compared: parts.clone().map(|part| part.compared).sum(),
            mse: weighted(parts.clone().map(|part| (part.mse, part.compared))),
            mae: weighted(parts.map(|part| (part.mae, part.compared))),
        }
    }
}

fn combined_losses(parts: &[&Accuracy]) -> Vec<LossAtTime> {
    let mut losses = parts.iter().map(|part| &part.flow_matching_loss_by_time);
    let Some(times) = losses.find(|losses| !losses.is_empty()) else {
        return Vec::new();
    };
    let loss_at = |(index, at): (usize, &LossAtTime)| {
        let losses = parts.iter().map(|part| {
            let loss = part.flow_matching_loss_by_time.get(index).map(|at| at.loss);
            (loss, part.flow_matching_chunks)
        });
        Some(LossAtTime {
            time: at.time,
            loss: weighted(losses)?,
        })
    };
    times.iter().enumerate().filter_map(loss_at).collect()
}

/// Weighted mean of the values that are there.
fn weighted(values: impl Iterator<Item = (Option<f64>, u64)>) -> Option<f64> {
    let (mut sum, mut weights) = (0.0, 0);
    for (value, weight) in values {
        if let Some(value) = value {
            sum += value * weight as f64;
            weights += weight;
        }
    }
    (weights > 0).then(|| sum / weights as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bags_count_by_what_their_metrics_were_taken_over() {
        let part = |mse, compared_actions, largest| Accuracy {
            compared_actions,
            mse: Some(mse),
            first_action_max: Some(largest),
            ..Accuracy::default()
        };
        let empty = Accuracy::default();
        let combined = Accuracy::combined(&[&part(1.0, 30, 0.5), &part(4.0, 10, 0.2), &empty]);
        assert_eq!((combined.mse, combined.compared_actions), (Some(1.75), 40));
        assert_eq!(combined.first_action_max, Some(0.5));
        assert_eq!(combined.transition_velocity, None);
    }

    #[test]
    fn every_metric_has_the_name_of_its_key_in_the_report() {
        let accuracy = serde_json::to_value(Accuracy::default()).unwrap();
        for metric in Accuracy::default().metrics() {
            assert!(accuracy.get(metric.name).is_some(), "{}", metric.name);
        }
    }
}
