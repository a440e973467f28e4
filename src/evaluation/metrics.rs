//! How predictions fit what was recorded: sums that are added to chunk by chunk, always in the same order.

use super::result::{Accuracy, JointAccuracy, LossAtTime, StepAccuracy};
use crate::policy::ActionChunk;

/// What adds up for the figures of an evaluation. It does not grow with the recording.
#[derive(Debug)]
pub struct Metrics {
    joints: Vec<String>,
    horizon: usize,
    action_period_s: f64,
    /// A joint that moved by less than this counts as still, in the robot's units.
    still: f32,
    /// `[horizon][joints]`
    errors: Vec<Sum>,
    /// `[joints]`
    directions: Vec<Sum>,
    first_action_largest: Option<f64>,
    chunk_differences: Sum,
    blending: Sum,
    seam_largest: Option<f64>,
    inside: Sum,
    losses: Vec<[f64; 2]>,
    loss_chunks: u64,
    predictions: u64,
    /// The chunk before.
    previous: Option<ActionChunk>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    count: u64,
    absolute: f64,
    square: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.absolute += value.abs();
        self.square += value * value;
    }

    fn and(self, other: &Self) -> Self {
        Self {
            count: self.count + other.count,
            absolute: self.absolute + other.absolute,
            square: self.square + other.square,
        }
    }

    fn mean_absolute(self) -> Option<f64> {
        (self.count > 0).then(|| self.absolute / self.count as f64)
    }

    fn mean_square(self) -> Option<f64> {
        (self.count > 0).then(|| self.square / self.count as f64)
    }
}

impl Metrics {
    /// `still`: see [`Accuracy::direction_agreement`].
    pub fn new(joints: &[String], horizon: usize, action_period_s: f64, still: f32) -> Self {
        Self {
            joints: joints.to_vec(),
            horizon,
            action_period_s,
            still,
            errors: vec![Sum::default(); horizon * joints.len()],
            directions: vec![Sum::default(); joints.len()],
            first_action_largest: None,
            chunk_differences: Sum::default(),
            blending: Sum::default(),
            seam_largest: None,
            inside: Sum::default(),
            losses: Vec::new(),
            loss_chunks: 0,
            predictions: 0,
            previous: None,
        }
    }

    /// Adds a chunk that was predicted from `state`, and what was `recorded` at its actions' times. `since_previous`: how
    /// many actions after the chunk before it was observed; none when that one belongs to another time. Answers with the
    /// chunk's own mean square error.
    pub fn add(
        &mut self,
        state: &[f32],
        predicted: &ActionChunk,
        recorded: &[Option<Vec<f32>>],
        since_previous: Option<usize>,
    ) -> Option<f64> {
        self.predictions += 1;
        let joints = self.joints.len();
        let mut chunk = Sum::default();
        for (step, recorded) in recorded.iter().enumerate() {
            let Some(recorded) = recorded else { continue };
            let predicted = predicted.action(step);
            for joint in 0..joints {
                let error = f64::from(predicted[joint]) - f64::from(recorded[joint]);
                self.errors[step * joints + joint].add(error);
                chunk.add(error);
                if step == 0 {
                    self.first_action_largest = larger(self.first_action_largest, error.abs());
                }
                let moved = recorded[joint] - state[joint];
                if moved.abs() > self.still {
                    let same_side = (predicted[joint] - state[joint]) * moved > 0.0;
                    self.directions[joint].add(f64::from(u8::from(same_side)));
                }
            }
        }
        for step in 1..predicted.horizon() {
            let speed = fastest(
                predicted.action(step - 1),
                predicted.action(step),
                self.action_period_s,
            );
            self.inside.add(speed);
        }
        let previous = self.previous.take().zip(since_previous);
        if let Some((previous, actions)) = previous
            && (1..self.horizon).contains(&actions)
        {
            self.add_pair(&previous, predicted, actions);
        }
        self.previous = Some(predicted.clone());
        chunk.mean_square()
    }

    /// Adds a chunk's flow-matching loss: `[time, loss]` each.
    pub fn add_loss(&mut self, losses: &[[f64; 2]]) {
        self.loss_chunks += 1;
        self.losses.resize(losses.len(), [0.0, 0.0]);
        for (sum, [time, loss]) in self.losses.iter_mut().zip(losses) {
            *sum = [*time, sum[1] + loss];
        }
    }

    fn add_pair(&mut self, previous: &ActionChunk, next: &ActionChunk, actions: usize) {
        for step in actions..self.horizon {
            let pair = previous.action(step).iter().zip(next.action(step - actions));
            for (before, after) in pair {
                self.chunk_differences.add(f64::from(after - before));
            }
        }
        let speed = fastest(previous.action(actions - 1), next.action(0), self.action_period_s);
        self.blending.add(speed);
        self.seam_largest = larger(self.seam_largest, speed);
    }

    /// The figures of all that was added.
    pub fn accuracy(&self) -> Accuracy {
        let joints = self.joints.len();
        let total = |sums: &[Sum]| sums.iter().fold(Sum::default(), Sum::and);
        let all = total(&self.errors);
        let first = total(&self.errors[..joints]);
        let directions = total(&self.directions);
        let losses = self.losses.iter().map(|[time, loss]| LossAtTime {
            time: *time,
            loss: loss / self.loss_chunks as f64,
        });
        let losses: Vec<LossAtTime> = losses.collect();
        Accuracy {
            predictions: self.predictions,
            compared_actions: all.count / joints as u64,
            mse: all.mean_square(),
            mae: all.mean_absolute(),
            first_action_mae: first.mean_absolute(),
            first_action_largest: self.first_action_largest,
            direction_agreement: directions.mean_absolute(),
            direction_count: directions.count,
            chunk_difference: self.chunk_differences.mean_absolute(),
            chunk_pairs: self.blending.count,
            seam_velocity: self.blending.mean_absolute(),
            seam_velocity_largest: self.seam_largest,
            inside_velocity: self.inside.mean_absolute(),
            flow_matching_loss: (!losses.is_empty())
                .then(|| losses.iter().map(|at| at.loss).sum::<f64>() / losses.len() as f64),
            flow_matching_chunks: self.loss_chunks,
            flow_matching_loss_by_time: losses,
            by_joint: self
                .joints
                .iter()
                .enumerate()
                .map(|(joint, name)| {
                    let of_joint = self.errors.iter().skip(joint).step_by(joints);
                    let errors = of_joint.fold(Sum::default(), Sum::and);
                    JointAccuracy {
                        joint: name.clone(),
                        compared: errors.count,
                        mse: errors.mean_square(),
                        mae: errors.mean_absolute(),
                        direction_agreement: self.directions[joint].mean_absolute(),
                        direction_count: self.directions[joint].count,
                    }
                })
                .collect(),
            by_step: self
                .errors
                .chunks_exact(joints)
                .map(|of_step| {
                    let errors = total(of_step);
                    StepAccuracy {
                        compared: errors.count / joints as u64,
                        mse: errors.mean_square(),
                        mae: errors.mean_absolute(),
                    }
                })
                .collect(),
        }
    }
}

fn larger(known: Option<f64>, value: f64) -> Option<f64> {
    Some(known.map_or(value, |known| known.max(value)))
}

/// The speed of the joint that moves fastest from one action to the next, a second.
fn fastest(from: &[f32], to: &[f32], period_s: f64) -> f64 {
    let distances = from.iter().zip(to).map(|(from, to)| f64::from(to - from).abs());
    distances.fold(0.0, f64::max) / period_s
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four actions of two joints, ten a second.
    fn metrics() -> Metrics {
        Metrics::new(&["waist".to_owned(), "elbow".to_owned()], 4, 0.1, 0.01)
    }

    fn chunk(first: f32) -> ActionChunk {
        let values = (0..4).flat_map(|step| [first + step as f32, 0.0]);
        ActionChunk::new(values.collect(), 2)
    }

    fn close(found: Option<f64>, expected: f64) {
        assert!(
            (found.unwrap() - expected).abs() < 1e-6,
            "{found:?}, expected {expected}"
        );
    }

    #[test]
    fn errors_are_taken_over_what_was_recorded_by_joint_and_by_step() {
        let mut metrics = metrics();
        let recorded = [Some(vec![0.0, 1.0]), None, Some(vec![2.0, -3.0]), None];
        close(metrics.add(&[0.0, 0.0], &chunk(0.0), &recorded, None), 2.5);
        let accuracy = metrics.accuracy();
        assert_eq!((accuracy.predictions, accuracy.compared_actions), (1, 2));
        close(accuracy.mse, 2.5);
        close(accuracy.mae, 1.0);
        close(accuracy.first_action_mae, 0.5);
        close(accuracy.first_action_largest, 1.0);
        close(accuracy.by_joint[0].mse, 0.0);
        close(accuracy.by_joint[1].mae, 2.0);
        close(accuracy.by_step[2].mse, 4.5);
        assert_eq!((accuracy.by_step[1].compared, accuracy.by_step[1].mse), (0, None));
    }

    #[test]
    fn direction_counts_only_joints_that_moved() {
        let mut metrics = metrics();
        // The waist moves as predicted, then against it; the elbow hardly moves.
        let recorded = [Some(vec![0.5, 0.005]), Some(vec![-0.5, 0.005])];
        metrics.add(&[-0.1, 0.0], &chunk(0.0), &recorded, None);
        let accuracy = metrics.accuracy();
        close(accuracy.direction_agreement, 0.5);
        assert_eq!(
            (accuracy.direction_count, accuracy.by_joint[1].direction_count),
            (2, 0)
        );
        assert_eq!(accuracy.by_joint[1].direction_agreement, None);
    }

    #[test]
    fn one_chunk_is_held_against_the_next_where_both_have_actions() {
        let mut metrics = metrics();
        metrics.add(&[0.0, 0.0], &chunk(0.0), &[], None);
        // Without a jump it would begin at 2; the waist is one further.
        metrics.add(&[0.0, 0.0], &chunk(3.0), &[], Some(2));
        let accuracy = metrics.accuracy();
        close(accuracy.chunk_difference, 0.5);
        close(accuracy.seam_velocity, 20.0);
        close(accuracy.inside_velocity, 10.0);
        assert_eq!(accuracy.chunk_pairs, 1);
    }

    #[test]
    fn chunks_with_a_gap_between_them_are_no_pair() {
        let mut metrics = metrics();
        metrics.add(&[0.0, 0.0], &chunk(0.0), &[], None);
        metrics.add(&[0.0, 0.0], &chunk(9.0), &[], None);
        metrics.add(&[0.0, 0.0], &chunk(9.0), &[], Some(4));
        let accuracy = metrics.accuracy();
        assert_eq!((accuracy.chunk_pairs, accuracy.seam_velocity), (0, None));
        assert_eq!((accuracy.mse, accuracy.direction_agreement), (None, None));
    }

    #[test]
    fn losses_are_means_by_time() {
        let mut metrics = metrics();
        metrics.add_loss(&[[1.0, 2.0], [0.5, 1.0]]);
        metrics.add_loss(&[[1.0, 4.0], [0.5, 1.0]]);
        let accuracy = metrics.accuracy();
        close(accuracy.flow_matching_loss, 2.0);
        assert_eq!(
            accuracy.flow_matching_loss_by_time[0],
            LossAtTime { time: 1.0, loss: 3.0 }
        );
    }
}
