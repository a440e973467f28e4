//! Accumulation of the accuracy, chunk by chunk and always in the same order.

use super::accuracy::{Accuracy, Errors, JointAccuracy, LossAtTime};
use crate::policy::ActionChunk;

/// Accumulators of all metrics. Their size does not grow with the recording.
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
    first_action_max: Option<f64>,
    chunk_differences: Sum,
    transitions: Sum,
    transition_max: Option<f64>,
    within_chunks: Sum,
    losses: Vec<[f64; 2]>,
    loss_chunks: u64,
    predictions: u64,
    /// Preceding chunk.
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

    fn errors(self, joints: usize) -> Errors {
        Errors {
            compared: self.count / joints as u64,
            mse: self.mean_square(),
            mae: self.mean_absolute(),
        }
    }
}

impl Metrics {
    /// Creates empty accumulators. A joint that moves by less than `still` has no direction, see
    /// [`Accuracy::direction_agreement`].
    pub fn new(joints: &[String], horizon: usize, action_period_s: f64, still: f32) -> Self {
        Self {
            joints: joints.to_vec(),
            horizon,
            action_period_s,
            still,
            errors: vec![Sum::default(); horizon * joints.len()],
            directions: vec![Sum::default(); joints.len()],
            first_action_max: None,
            chunk_differences: Sum::default(),
            transitions: Sum::default(),
            transition_max: None,
            within_chunks: Sum::default(),
            losses: Vec::new(),
            loss_chunks: 0,
            predictions: 0,
            previous: None,
        }
    }

    /// Adds a chunk that was predicted from `state`, and the actions `recorded` at the times of its own. `since_previous` is
    /// the number of actions since the observation of the chunk before; `None` when that one belongs to another time. Returns
    /// the chunk's own mean square error.
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
                    self.first_action_max = larger(self.first_action_max, error.abs());
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
            self.within_chunks.add(speed);
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

    /// Adds a chunk's flow-matching loss: a pair of time and loss for every Euler step.
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
        self.transitions.add(speed);
        self.transition_max = larger(self.transition_max, speed);
    }

    /// Metrics of everything that was added.
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
            first_action_max: self.first_action_max,
            direction_agreement: directions.mean_absolute(),
            direction_count: directions.count,
            chunk_difference: self.chunk_differences.mean_absolute(),
            chunk_pairs: self.transitions.count,
            transition_velocity: self.transitions.mean_absolute(),
            transition_velocity_max: self.transition_max,
            within_chunk_velocity: self.within_chunks.mean_absolute(),
            flow_matching_loss: (!losses.is_empty())
                .then(|| losses.iter().map(|at| at.loss).sum::<f64>() / losses.len() as f64),
            flow_matching_chunks: self.loss_chunks,
            flow_matching_loss_by_time: losses,
            by_joint: self
                .joints
                .iter()
                .zip(&self.directions)
                .enumerate()
                .map(|(joint, (name, directions))| {
                    let of_joint = self.errors.iter().skip(joint).step_by(joints);
                    JointAccuracy {
                        joint: name.clone(),
                        errors: of_joint.fold(Sum::default(), Sum::and).errors(1),
                        direction_agreement: directions.mean_absolute(),
                        direction_count: directions.count,
                    }
                })
                .collect(),
            by_step: self
                .errors
                .chunks_exact(joints)
                .map(|of_step| total(of_step).errors(joints))
                .collect(),
        }
    }
}

fn larger(known: Option<f64>, value: f64) -> Option<f64> {
    Some(known.map_or(value, |known| known.max(value)))
}

/// Speed per second of the fastest joint from one action to the next.
fn fastest(from: &[f32], to: &[f32], period_s: f64) -> f64 {
    let distances = from.iter().zip(to).map(|(from, to)| f64::from(to - from).abs());
    distances.fold(0.0, f64::max) / period_s
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Metrics of chunks of four actions of two joints at 10 Hz.
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
    fn errors_are_taken_over_recorded_actions_by_joint_and_by_step() {
        let mut metrics = metrics();
        let recorded = [Some(vec![0.0, 1.0]), None, Some(vec![2.0, -3.0]), None];
        close(metrics.add(&[0.0, 0.0], &chunk(0.0), &recorded, None), 2.5);
        let accuracy = metrics.accuracy();
        assert_eq!((accuracy.predictions, accuracy.compared_actions), (1, 2));
        close(accuracy.mse, 2.5);
        close(accuracy.mae, 1.0);
        close(accuracy.first_action_mae, 0.5);
        close(accuracy.first_action_max, 1.0);
        close(accuracy.by_joint[0].errors.mse, 0.0);
        close(accuracy.by_joint[1].errors.mae, 2.0);
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
    fn a_chunk_is_compared_with_the_next_one_where_both_have_actions() {
        let mut metrics = metrics();
        metrics.add(&[0.0, 0.0], &chunk(0.0), &[], None);
        // Without a jump it would begin at 2; the waist is one further.
        metrics.add(&[0.0, 0.0], &chunk(3.0), &[], Some(2));
        let accuracy = metrics.accuracy();
        close(accuracy.chunk_difference, 0.5);
        close(accuracy.transition_velocity, 20.0);
        close(accuracy.within_chunk_velocity, 10.0);
        assert_eq!(accuracy.chunk_pairs, 1);
    }

    #[test]
    fn chunks_with_a_gap_between_them_are_no_pair() {
        let mut metrics = metrics();
        metrics.add(&[0.0, 0.0], &chunk(0.0), &[], None);
        metrics.add(&[0.0, 0.0], &chunk(9.0), &[], None);
        metrics.add(&[0.0, 0.0], &chunk(9.0), &[], Some(4));
        let accuracy = metrics.accuracy();
        assert_eq!((accuracy.chunk_pairs, accuracy.transition_velocity), (0, None));
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
