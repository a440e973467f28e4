//! Subscriptions: every message goes into the inputs as it comes.

use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use r2r::geometry_msgs::msg::PoseStamped;
use r2r::nav_msgs::msg::Odometry;
use r2r::rosgraph_msgs::msg::Clock as ClockMessage;
use r2r::sensor_msgs::msg::{CompressedImage, Image, JointState};
use r2r::std_msgs::msg::{Float64MultiArray, String as StringMessage};
use r2r::tf2_msgs::msg::TFMessage;
use r2r::{Node, QosProfile, WrappedTypesupport};
use tokio::runtime::Handle;

use super::messages::{self, qos_profile};
use super::node_error::NodeError;
use super::publisher_mismatches::SubscribedTopic;
use crate::control::{DescribedLimits, JointLimits, joint_limits};
use crate::observation::{ExtraStateKind, Feed, STATIC_TRANSFORMS, Transport};
use crate::parameters::{Parameters, QosEnd};
use crate::runtime::NodeState;

/// Joint states that may wait together. Several publishers may share the topic, and the newest message alone would starve the
/// joints of the others.
const JOINT_STATES: usize = 16;

/// Messages of frames that may wait together: every part of the robot sends its own.
const TRANSFORMS: usize = 100;

/// Subscribes to every input of an observation, and to the clock where time is simulated. Returns the topics.
///
/// # Errors
/// When ROS 2 refuses a subscription.
pub fn subscribe_inputs(
    node: &mut Node,
    runtime: &Handle,
    parameters: &Parameters,
    state: &Arc<NodeState>,
) -> Result<Vec<SubscribedTopic>, NodeError> {
    let mut subscriber = Subscriber {
        node,
        runtime,
        parameters,
        state,
        subscribed: Vec::new(),
    };
    let (settings, sensor) = (parameters.settings(), QosProfile::sensor_data);
    for (index, camera) in settings.inputs.cameras.iter().enumerate() {
        let (topic, qos) = (&camera.topic, sensor().keep_last(1));
        match camera.transport {
            Transport::Raw => {
                let order = camera.channel_order;
                subscriber.feed(topic, qos, Waiting::Newest, move |feed, message: Image| {
                    feed.image(index, messages::image(&message, order));
                })
            }
            Transport::Compressed => subscriber.feed(
                topic,
                qos,
                Waiting::Newest,
                move |feed, message: CompressedImage| {
                    feed.image(index, messages::compressed_image(&message));
                },
            ),
        }?;
    }
    for (index, input) in settings.inputs.joint_states.iter().enumerate() {
        let qos = sensor().keep_last(JOINT_STATES);
        subscriber.feed(
            &input.topic,
            qos,
            Waiting::All,
            move |feed, message: JointState| {
                feed.joint_state(index, messages::joint_state(message));
            },
        )?;
    }
    for (index, pose) in settings.inputs.poses.iter().enumerate() {
        let Some(topic) = pose.topic() else {
            continue;
        };
        let qos = sensor().keep_last(1);
        subscriber.feed(topic, qos, Waiting::Newest, move |feed, message: PoseStamped| {
            feed.pose(index, messages::pose(&message));
        })?;
    }
    for &topic in settings.inputs.transforms() {
        // As tf2's own listener. What never moves is sent once, and kept for those that come later.
        let (is_static, qos) = (
            topic == STATIC_TRANSFORMS,
            QosProfile::default().keep_last(TRANSFORMS),
        );
        let qos = if is_static { qos.transient_local() } else { qos };
        subscriber.feed(topic, qos, Waiting::All, move |feed, message: TFMessage| {
            feed.transforms(messages::transforms(message), is_static);
        })?;
    }
    for (index, extra) in settings.inputs.extra_state.iter().enumerate() {
        let (topic, qos) = (&extra.topic, sensor().keep_last(1));
        match extra.kind {
            ExtraStateKind::Array => subscriber.feed(
                topic,
                qos,
                Waiting::Newest,
                move |feed, message: Float64MultiArray| {
                    feed.extra_state(index, &message.data);
                },
            ),
            ExtraStateKind::Odometry => {
                subscriber.feed(topic, qos, Waiting::Newest, move |feed, message: Odometry| {
                    feed.odometry(index, messages::odometry(&message));
                })
            }
        }?;
    }
    let (topic, qos) = (&settings.inputs.prompt, QosProfile::default());
    subscriber.feed(topic, qos, Waiting::Newest, |feed, message: StringMessage| {
        feed.prompt(&message.data);
    })?;
    if settings.use_sim_time {
        let qos = QosProfile::default().keep_last(1).best_effort();
        subscriber.feed("/clock", qos, Waiting::Newest, |feed, message: ClockMessage| {
            feed.clock(messages::time(&message.clock));
        })?;
    }
    Ok(subscriber.subscribed)
}

/// Subscribes to the robot's description, if there is a topic for it, for the limits of the commanded joints. A description
/// that cannot be read leaves the limits that were known before, with the reason. Returns the topic.
///
/// # Errors
/// When ROS 2 refuses the subscription.
pub fn subscribe_robot_description(
    node: &mut Node,
    runtime: &Handle,
    parameters: &Parameters,
    state: &Arc<NodeState>,
) -> Result<Vec<SubscribedTopic>, NodeError> {
    let settings = parameters.settings();
    let Some(topic) = settings.robot_description_topic.clone() else {
        return Ok(Vec::new());
    };
    let mut subscriber = Subscriber {
        node,
        runtime,
        parameters,
        state,
        subscribed: Vec::new(),
    };
    let (axes, joints) = (settings.axes(), settings.commanded_joints().len());
    let (name, state) = (topic.clone(), Arc::clone(state));
    let latched = QosProfile::default().keep_last(1).transient_local();
    let set_limits = move |message: StringMessage| match joint_limits(&message.data, axes.names()) {
        Ok(described) => {
            let known = described.iter().filter(|one| **one != JointLimits::NONE).count();
            tracing::info!("{name}: limits of {known} of {joints} joints");
            state.described_limits.set(DescribedLimits {
                limits: (known > 0).then(|| described.into()),
                problem: None,
            });
        }
        Err(problem) => {
            tracing::error!("{name}: {problem}");
            let problem = format!("the robot's description on {name} gives no limits: {problem}");
            state.described_limits.set(DescribedLimits {
                problem: Some(problem),
                ..state.described_limits.get()
            });
        }
    };
    subscriber.subscribe(&topic, latched, Waiting::Newest, set_limits)?;
    Ok(subscriber.subscribed)
}

/// Messages to take of those that wait together.
enum Waiting {
    Newest,
    All,
}

/// Maker of subscriptions.
struct Subscriber<'a> {
    node: &'a mut Node,
    runtime: &'a Handle,
    parameters: &'a Parameters,
    state: &'a Arc<NodeState>,
    /// Topics subscribed to so far.
    subscribed: Vec<SubscribedTopic>,
}

impl Subscriber<'_> {
    /// Passes the messages of an input to `take`, with the feed of the inputs.
    fn feed<T: WrappedTypesupport + Send + 'static>(
        &mut self,
        topic: &str,
        profile: QosProfile,
        waiting: Waiting,
        take: impl Fn(Feed, T) + Send + 'static,
    ) -> Result<(), NodeError> {
        let state = Arc::clone(self.state);
        self.subscribe(topic, profile, waiting, move |message| {
            take(state.feed(), message)
        })
    }

    /// Passes the messages of a topic to `take`, on tokio. The parameters may override the quality of service.
    fn subscribe<T: WrappedTypesupport + Send + 'static>(
        &mut self,
        topic: &str,
        profile: QosProfile,
        waiting: Waiting,
        take: impl Fn(T) + Send + 'static,
    ) -> Result<(), NodeError> {
        let overrides = self.parameters.qos_overrides().of(topic, QosEnd::Subscription);
        let qos = qos_profile(profile, overrides);
        let messages = self.node.subscribe::<T>(topic, qos.clone());
        self.subscribed.push(SubscribedTopic {
            name: topic.to_owned(),
            message_type: message_type::<T>(),
            qos,
        });
        let mut messages = messages.map_err(|source| NodeError::ros(topic, source))?;
        self.runtime.spawn(async move {
            while let Some(mut message) = messages.next().await {
                while matches!(waiting, Waiting::Newest)
                    && let Some(Some(newer)) = messages.next().now_or_never()
                {
                    message = newer;
                }
                take(message);
            }
        });
        Ok(())
    }
}

/// The ROS name of a message type, `sensor_msgs/msg/Image` say: r2r's modules have the same names.
fn message_type<T>() -> String {
    let mut parts: Vec<&str> = std::any::type_name::<T>().rsplit("::").take(3).collect();
    parts.reverse();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_types_have_their_names_in_ros() {
        assert_eq!(message_type::<Image>(), "sensor_msgs/msg/Image");
        assert_eq!(message_type::<StringMessage>(), "std_msgs/msg/String");
        assert_eq!(message_type::<ClockMessage>(), "rosgraph_msgs/msg/Clock");
    }
}
