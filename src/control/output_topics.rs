//! Outputs: the topics that the commands are published on.

use super::TrajectoryPoint;

/// Message type of an output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputKind {
    /// `trajectory_msgs/JointTrajectory`: positions now and ahead.
    #[default]
    Trajectory,
    /// `std_msgs/Float64MultiArray`: positions now.
    Array,
}

/// An output topic and its joints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputTopic {
    /// Name of the topic.
    pub topic: String,
    /// Message type on the topic.
    pub kind: OutputKind,
    /// Indices of the joints in the robot's actions.
    pub joints: Vec<usize>,
    /// Prefix of the robot's joint names that the controller's names lack.
    pub prefix: String,
    /// The controller's names of its joints.
    pub names: Vec<String>,
}

impl OutputTopic {
    /// The points of its own joints.
    pub fn points(&self, points: &[TrajectoryPoint]) -> Vec<TrajectoryPoint> {
        let own = |point: &TrajectoryPoint| TrajectoryPoint {
            positions: self.joints.iter().map(|&joint| point.positions[joint]).collect(),
            time_from_start: point.time_from_start,
        };
        points.iter().map(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_output_gets_its_own_joints_in_its_own_order() {
        let output = OutputTopic {
            joints: vec![2, 0],
            ..OutputTopic::default()
        };
        let point = |positions: &[f32], milliseconds| TrajectoryPoint {
            positions: positions.to_vec(),
            time_from_start: Duration::from_millis(milliseconds),
        };
        let points = output.points(&[point(&[1.0, 2.0, 3.0], 0), point(&[4.0, 5.0, 6.0], 20)]);
        assert_eq!(points, [point(&[3.0, 1.0], 0), point(&[6.0, 4.0], 20)]);
    }
}
