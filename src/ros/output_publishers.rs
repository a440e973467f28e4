//! Publishers of the commands to the robot's controllers.

use std::cell::Cell;

use r2r::geometry_msgs::msg::{PoseStamped, TwistStamped};
use r2r::std_msgs::msg::Float64MultiArray;
use r2r::trajectory_msgs::msg::JointTrajectory;
use r2r::{Node, Publisher};

use super::messages;
use super::node_error::NodeError;
use super::publisher::publisher;
use crate::control::{OutputKind, OutputTopic, Trajectory};
use crate::parameters::QosOverrides;

/// A publisher for each output.
pub struct OutputPublishers {
    outputs: Vec<(OutputTopic, Output)>,
    failed_before: Cell<bool>,
}

enum Output {
    Trajectory(Publisher<JointTrajectory>),
    Array(Publisher<Float64MultiArray>),
    Pose(Publisher<PoseStamped>),
    Twist(Publisher<TwistStamped>),
}

impl OutputPublishers {
    /// # Errors
    /// When ROS 2 refuses a publisher.
    pub fn new(node: &mut Node, qos: &QosOverrides, outputs: &[OutputTopic]) -> Result<Self, NodeError> {
        let mut made = Vec::with_capacity(outputs.len());
        for output in outputs {
            let publisher = match output.kind {
                OutputKind::Trajectory => Output::Trajectory(publisher(node, qos, &output.topic)?),
                OutputKind::Array => Output::Array(publisher(node, qos, &output.topic)?),
                OutputKind::Pose => Output::Pose(publisher(node, qos, &output.topic)?),
                OutputKind::Twist => Output::Twist(publisher(node, qos, &output.topic)?),
            };
            made.push((output.clone(), publisher));
        }
        Ok(Self {
            outputs: made,
            failed_before: Cell::new(false),
        })
    }

    /// Publishes the command of every controller. A failure is logged once until all succeed again.
    pub fn publish(&self, whole: &Trajectory) {
        let mut failed = false;
        for (output, publisher) in &self.outputs {
            let trajectory = output.trajectory(whole);
            let published = match publisher {
                Output::Trajectory(publisher) => {
                    publisher.publish(&messages::trajectory(&output.names, trajectory))
                }
                Output::Array(publisher) => {
                    publisher.publish(&messages::positions_array(&trajectory.present))
                }
                Output::Pose(publisher) => {
                    publisher.publish(&messages::pose_target(&trajectory, &output.frame))
                }
                Output::Twist(publisher) => publisher.publish(&messages::twist(&trajectory, &output.frame)),
            };
            if let Err(error) = published {
                failed = true;
                if !self.failed_before.get() {
                    tracing::error!("the targets could not be published on {}: {error}", output.topic);
                }
            }
        }
        self.failed_before.set(failed);
    }
}
