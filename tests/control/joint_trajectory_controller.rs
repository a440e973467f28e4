//! A model of ros2_controllers' joint_trajectory_controller with its default parameters, from its documented behaviour.

use std::time::Duration;

use pi0_node::control::Trajectory;

/// A controller whose clock is ahead by a skew, in seconds; below 0 it is behind.
pub struct JointTrajectoryController {
    skew_s: f64,
    points: Vec<Point>,
    is_new: bool,
}

/// A point at a time of the controller's clock, in seconds.
struct Point {
    time_s: f64,
    positions: Vec<f64>,
    /// None where they are not known.
    velocities: Option<Vec<f64>>,
}

impl JointTrajectoryController {
    /// A controller that holds these positions.
    pub fn new(skew_s: f64, positions: &[f32]) -> Self {
        let hold = Point {
            time_s: 0.0,
            positions: precise(positions),
            velocities: None,
        };
        Self {
            skew_s,
            points: vec![hold],
            is_new: false,
        }
    }

    /// Replaces the trajectory by one that arrives at `now`.
    ///
    /// # Errors
    /// Why it is rejected; the one before goes on.
    pub fn receive(&mut self, trajectory: &Trajectory, now: Duration) -> Result<(), String> {
        let end = trajectory.points.last().ok_or("no points")?;
        let rising = |pair: &[_]| {
            let [one, next]: &[pi0_node::control::TrajectoryPoint; 2] = pair.try_into().unwrap();
            one.time_from_start < next.time_from_start
        };
        if !trajectory.points.windows(2).all(rising) {
            return Err(format!("times that do not rise: {trajectory:?}"));
        }
        let of_all = |count: usize| count == 0 || count == end.positions.len();
        let uneven = |point: &pi0_node::control::TrajectoryPoint| {
            !of_all(point.velocities.len()) || point.velocities.len() != end.velocities.len()
        };
        if trajectory.points.iter().any(uneven) {
            return Err(format!("velocities of some points only: {trajectory:?}"));
        }
        if end.velocities.iter().any(|velocity| velocity.abs() > 1e-6) {
            return Err(format!("the last velocity is not 0: {:?}", end.velocities));
        }
        let late_s = now.as_secs_f64() + self.skew_s - (trajectory.start + end.time_from_start).as_secs_f64();
        if late_s > 0.0 {
            return Err(format!("ended {late_s} s before it arrived"));
        }
        let point = |point: &pi0_node::control::TrajectoryPoint| Point {
            time_s: (trajectory.start + point.time_from_start).as_secs_f64(),
            positions: precise(&point.positions),
            velocities: Some(precise(&point.velocities)).filter(|velocities| !velocities.is_empty()),
        };
        self.points = trajectory.points.iter().map(point).collect();
        self.is_new = true;
        Ok(())
    }

    /// The desired positions at `now`. A trajectory that begins later is begun from the measured positions.
    pub fn desired(&mut self, now: Duration, measured: &[f64]) -> Vec<f64> {
        let now_s = now.as_secs_f64() + self.skew_s;
        if std::mem::take(&mut self.is_new) && self.points[0].time_s > now_s {
            let measured = Point {
                time_s: now_s,
                positions: measured.to_vec(),
                velocities: None,
            };
            self.points.insert(0, measured);
        }
        let ahead = self.points.partition_point(|point| point.time_s <= now_s);
        let last = self.points.len() - 1;
        let (from, to) = (
            &self.points[ahead.saturating_sub(1)],
            &self.points[ahead.min(last)],
        );
        let seconds = to.time_s - from.time_s;
        if seconds <= 0.0 {
            return from.positions.clone();
        }
        let share = (now_s - from.time_s) / seconds;
        let joint = |joint: usize| {
            let (begin, way) = (from.positions[joint], to.positions[joint] - from.positions[joint]);
            match (&from.velocities, &to.velocities) {
                (Some(leaving), Some(arriving)) => {
                    let (leaving, arriving) = (leaving[joint] * seconds, arriving[joint] * seconds);
                    let (second, third) = (
                        3.0 * way - 2.0 * leaving - arriving,
                        leaving + arriving - 2.0 * way,
                    );
                    begin + share * (leaving + share * (second + share * third))
                }
                _ => begin + way * share,
            }
        };
        (0..from.positions.len()).map(joint).collect()
    }
}

fn precise(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}
