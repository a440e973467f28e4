//! What is seen of a robot in a running graph.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};

use futures::{FutureExt, Stream, StreamExt};
use r2r::rcl_interfaces::srv::GetParameters;
use r2r::rosgraph_msgs::msg::Clock;
use r2r::sensor_msgs::msg::{CompressedImage, Image, JointState};
use r2r::std_msgs::msg::String as StringMessage;
use r2r::trajectory_msgs::msg::JointTrajectory;
use r2r::{Node, QosProfile, WrappedTypesupport};

use super::messages;
use super::node::node_of_this_process;
use super::node_error::NodeError;
use super::other_publishers::full_name;
use super::publisher_mismatches::offer;
use super::topic_names::Names;
use crate::control::OutputKind;
use crate::doctor::{Publisher, Sightings, has_commands, has_description};
use crate::observation::{ChannelOrder, Transport};

const IMAGE: &str = "sensor_msgs/msg/Image";
const COMPRESSED_IMAGE: &str = "sensor_msgs/msg/CompressedImage";
const JOINT_STATE: &str = "sensor_msgs/msg/JointState";
const JOINT_TRAJECTORY: &str = "trajectory_msgs/msg/JointTrajectory";
const FLOAT64_ARRAY: &str = "std_msgs/msg/Float64MultiArray";
const POSE: &str = "geometry_msgs/msg/PoseStamped";
const TWIST: &str = "geometry_msgs/msg/TwistStamped";
const STRING: &str = "std_msgs/msg/String";
const CLOCK: &str = "rosgraph_msgs/msg/Clock";
/// Messages of a topic that may wait together.
const QUEUE: usize = 16;
/// Longest wait of one spin.
const SPIN_PATIENCE: Duration = Duration::from_millis(10);
/// Period of the looks at the graph.
const GRAPH_PERIOD: Duration = Duration::from_millis(250);

/// Moves the messages that wait to what was seen.
type Take = Box<dyn FnMut(&mut Sightings)>;
/// Answer of a controller, by its topic: its joints.
type Asked = (String, Pin<Box<dyn Future<Output = Option<Vec<String>>>>>);

/// Listens to everything that a node could subscribe to, and asks controllers for their joints. Nothing is published. Returns
/// what was seen, and the full name of a topic as the arguments of this process remap it.
///
/// # Errors
/// When ROS 2 fails.
pub fn listen(duration: Duration) -> Result<(Sightings, impl Fn(&str) -> String), NodeError> {
    let mut node = node_of_this_process()?;
    let names = Names::new(&node, std::env::args())?;
    let mut listener = Listener::default();
    let started = Instant::now();
    let mut looked: Option<Instant> = None;
    while started.elapsed() < duration {
        if looked.is_none_or(|looked| looked.elapsed() > GRAPH_PERIOD) {
            looked = Some(Instant::now());
            listener.look(&mut node)?;
        }
        node.spin_once(SPIN_PATIENCE);
        listener.take();
    }
    Ok((listener.seen, move |topic: &str| names.resolve(topic)))
}

#[derive(Default)]
struct Listener {
    seen: Sightings,
    /// Topics that were looked at, with their types.
    known: BTreeSet<(String, String)>,
    takes: Vec<Take>,
    asked: Vec<Asked>,
}

impl Listener {
    /// Subscribes to topics that are new, and notes who publishes.
    fn look(&mut self, node: &mut Node) -> Result<(), NodeError> {
        let ros = |source| NodeError::ros("a view of the graph", source);
        let topics = node.get_topic_names_and_types().map_err(ros)?;
        for (topic, types) in topics {
            let publishers = node.get_publishers_info_by_topic(&topic, false).map_err(ros)?;
            let publishers: Vec<Publisher> = publishers
                .iter()
                .map(|publisher| Publisher {
                    node: full_name(&publisher.node_namespace, &publisher.node_name),
                    offer: offer(&publisher.topic_type, &publisher.qos_profile),
                })
                .collect();
            for message_type in types {
                if self.known.insert((topic.clone(), message_type.clone())) {
                    self.meet(node, &topic, &message_type, publishers.is_empty())?;
                }
            }
            if !publishers.is_empty() {
                self.seen.publishers.insert(topic, publishers);
            }
        }
        Ok(())
    }

    /// Notes a topic and subscribes to it. One that nobody publishes is there because somebody subscribes.
    fn meet(
        &mut self,
        node: &mut Node,
        topic: &str,
        message_type: &str,
        is_unpublished: bool,
    ) -> Result<(), NodeError> {
        let sensor = || QosProfile::sensor_data().keep_last(QUEUE);
        let name = topic.to_owned();
        match message_type {
            IMAGE => {
                self.seen.camera_topic(topic, Transport::Raw);
                self.subscribe(node, topic, sensor(), move |seen, message: Image| {
                    seen.raw_frame(
                        &name,
                        now(),
                        &messages::raw_frame(&message, ChannelOrder::Unknown),
                    );
                })
            }
            COMPRESSED_IMAGE => {
                self.seen.camera_topic(topic, Transport::Compressed);
                self.subscribe(node, topic, sensor(), move |seen, message: CompressedImage| {
                    seen.compressed_frame(&name, now(), &messages::compressed_frame(&message));
                })
            }
            JOINT_STATE => {
                self.seen.joint_states.entry(topic.to_owned()).or_default();
                self.subscribe(node, topic, sensor(), move |seen, message: JointState| {
                    seen.joint_state(&name, now(), &messages::joint_state(message));
                })
            }
            CLOCK => self.subscribe(node, topic, sensor(), |seen, message: Clock| {
                seen.clock(messages::time(&message.clock));
            }),
            STRING if has_description(topic) => {
                let latched = QosProfile::default().keep_last(1).transient_local();
                self.subscribe(node, topic, latched, move |seen, message: StringMessage| {
                    seen.descriptions.insert(name.clone(), message.data);
                })
            }
            JOINT_TRAJECTORY if has_commands(topic) => {
                let controller = self.seen.controller_topic(topic, OutputKind::Trajectory);
                controller.has_listener = is_unpublished.then_some(true);
                self.ask(node, topic);
                match is_unpublished {
                    true => Ok(()),
                    false => self.subscribe(node, topic, sensor(), move |seen, message: JointTrajectory| {
                        let controller = seen.controller_topic(&name, OutputKind::Trajectory);
                        controller.joints.get_or_insert(message.joint_names);
                    }),
                }
            }
            FLOAT64_ARRAY => {
                let controller = self.seen.controller_topic(topic, OutputKind::Array);
                controller.has_listener = is_unpublished.then_some(true);
                self.ask(node, topic);
                Ok(())
            }
            POSE | TWIST => {
                let kind = match message_type {
                    POSE => OutputKind::Pose,
                    _ => OutputKind::Twist,
                };
                self.seen.controller_topic(topic, kind).has_listener = is_unpublished.then_some(true);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn subscribe<T: WrappedTypesupport + 'static>(
        &mut self,
        node: &mut Node,
        topic: &str,
        qos: QosProfile,
        take: impl FnMut(&mut Sightings, T) + 'static,
    ) -> Result<(), NodeError> {
        let messages = node
            .subscribe::<T>(topic, qos)
            .map_err(|source| NodeError::ros(topic, source))?;
        self.takes.push(taking(messages, take));
        Ok(())
    }

    /// Asks the controller that the topic is of for its joints: those of ros2_controllers are nodes with a parameter for them.
    fn ask(&mut self, node: &mut Node, topic: &str) {
        let Some((controller, _)) = topic
            .rsplit_once('/')
            .filter(|(controller, _)| !controller.is_empty())
        else {
            return;
        };
        let service = format!("{controller}/get_parameters");
        let Ok(client) =
            node.create_client::<GetParameters::Service>(&service, QosProfile::services_default())
        else {
            return;
        };
        let Ok(available) = Node::is_available(&client) else {
            return;
        };
        let answer = async move {
            available.await.ok()?;
            let request = GetParameters::Request {
                names: vec!["joints".to_owned()],
            };
            let answer = client.request(&request).ok()?.await.ok()?;
            let joints = answer.values.into_iter().next()?.string_array_value;
            (!joints.is_empty()).then_some(joints)
        };
        self.asked.push((topic.to_owned(), Box::pin(answer)));
    }

    /// Takes everything that came.
    fn take(&mut self) {
        for take in &mut self.takes {
            take(&mut self.seen);
        }
        self.asked
            .retain_mut(|(topic, answer)| match answer.now_or_never() {
                None => true,
                Some(joints) => {
                    if let (Some(joints), Some(controller)) = (joints, self.seen.controllers.get_mut(topic)) {
                        controller.joints = Some(joints);
                        controller.has_listener = Some(true);
                    }
                    false
                }
            });
    }
}

fn taking<T: 'static>(
    mut messages: impl Stream<Item = T> + Unpin + 'static,
    mut take: impl FnMut(&mut Sightings, T) + 'static,
) -> Take {
    Box::new(move |seen| {
        while let Some(Some(message)) = messages.next().now_or_never() {
            take(seen, message);
        }
    })
}

/// The machine's time since the epoch.
fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}
