//! Outputs: the topics that the commands are published on.

use super::{Trajectory, TrajectoryPoint};

/// Message type of an output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputKind {
    /// `trajectory_msgs/JointTrajectory`: positions now and ahead.
    #[default]
    Trajectory,
    /// `std_msgs/Float64MultiArray`: positions now.
    Array,
    /// `geometry_msgs/PoseStamped`: the pose now.
    Pose,
    /// `geometry_msgs/TwistStamped`: the velocity that follows the pose.
    Twist,
}

impl OutputKind {
    /// Whether it is for a pose, and not for joints.
    pub fn is_pose(self) -> bool {
        match self {
            Self::Trajectory | Self::Array => false,
            Self::Pose | Self::Twist => true,
        }
    }
}

/// An output topic and its joints or pose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputTopic {
    /// Name of the topic.
    pub topic: String,
    /// Message type on the topic.
    pub kind: OutputKind,
    /// Indices of the joints, or of the values of the pose, in the robot's actions.
    pub joints: Vec<usize>,
    /// Prefix of the robot's joint names that the controller's names lack.
    pub prefix: String,
    /// The controller's names of its joints, or names of the values of the pose.
    pub names: Vec<String>,
    /// Frame that the pose is in; empty for joints.
    pub frame: String,
}

impl OutputTopic {
    /// The trajectory of its own joints or pose.
    pub fn trajectory(&self, whole: &Trajectory) -> Trajectory {
        let own = |values: &[f32]| -> Vec<f32> { self.joints.iter().map(|&joint| values[joint]).collect() };
        let own_where_there_are = |values: &[f32]| match values {
            [] => Vec::new(),
            values => own(values),
        };
        let point = |point: &TrajectoryPoint| TrajectoryPoint {
            positions: own(&point.positions),
            velocities: own_where_there_are(&point.velocities),
            time_from_start: point.time_from_start,
        };
        Trajectory {
            start: whole.start,
            now: whole.now,
            present: own(&whole.present),
            twists: own_where_there_are(&whole.twists),
            points: whole.points.iter().map(point).collect(),
        }
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
        let trajectory = |present: &[f32], later: &[f32], velocities: &[f32]| Trajectory {
            start: Duration::from_secs(7),
            now: Duration::from_secs(8),
            present: present.to_vec(),
            twists: velocities.to_vec(),
            points: vec![TrajectoryPoint {
                positions: later.to_vec(),
                velocities: velocities.to_vec(),
                time_from_start: Duration::from_millis(20),
            }],
        };
        let [present, later, velocities] = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]];
        let own = output.trajectory(&trajectory(&present, &later, &velocities));
        assert_eq!(own, trajectory(&[3.0, 1.0], &[6.0, 4.0], &[9.0, 7.0]));
        let own = output.trajectory(&trajectory(&present, &later, &[]));
        assert_eq!(own, trajectory(&[3.0, 1.0], &[6.0, 4.0], &[]));
    }
}
