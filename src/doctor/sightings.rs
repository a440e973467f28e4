//! What was seen of a robot: the messages of a running graph, or of a bag, in a few numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use super::arrivals::Arrivals;
use crate::control::OutputKind;
use crate::observation::{
    ChannelOrder, ImageLayout, InputProblem, JointState, Offer, Stamped, Transport, decode_compressed_image,
    decode_image,
};

/// Where sightings come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// A running graph: arrivals are in the machine's time, and who publishes is known.
    #[default]
    Graph,
    /// A bag: arrivals are the times of recording, and nobody publishes.
    Bag,
}

/// Everything that was seen of a robot. Topics have their full names.
#[derive(Clone, Debug, Default)]
pub struct Sightings {
    /// Where it was seen.
    pub source: Source,
    /// Colour and other cameras, by topic.
    pub cameras: BTreeMap<String, CameraSeen>,
    /// Joint states, by topic.
    pub joint_states: BTreeMap<String, JointStatesSeen>,
    /// Topics of commands, by topic.
    pub controllers: BTreeMap<String, ControllerSeen>,
    /// Publishers of every topic that a node may subscribe to; empty for a bag.
    pub publishers: BTreeMap<String, Vec<Publisher>>,
    /// Newest time on `/clock`.
    pub simulated_time: Option<Duration>,
    /// Robot's description (URDF), by topic.
    pub descriptions: BTreeMap<String, String>,
    /// Messages that could not be read, by topic, with the newest reason.
    pub unreadable: BTreeMap<String, String>,
}

/// Publisher of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publisher {
    /// Full name of its node.
    pub node: String,
    /// What it publishes, and how.
    pub offer: Offer,
}

/// Topic of images.
#[derive(Clone, Debug, Default)]
pub struct CameraSeen {
    /// Message type.
    pub transport: Transport,
    /// Frames in time.
    pub arrivals: Arrivals,
    /// Encoding, or format of compressed frames.
    pub encoding: String,
    /// Width and height in pixels; `None` without a frame that could be read.
    pub size: Option<[u32; 2]>,
    /// Why the first frame cannot be used.
    pub problem: Option<InputProblem>,
}

/// Topic of joint states.
#[derive(Clone, Debug, Default)]
pub struct JointStatesSeen {
    /// Messages in time.
    pub arrivals: Arrivals,
    /// Joints with positions, in the order in which they were first seen.
    pub joints: Vec<JointSeen>,
    /// What is wrong with a message.
    pub problem: Option<String>,
}

/// Positions of a joint in the driver's units.
#[derive(Clone, Debug, PartialEq)]
pub struct JointSeen {
    /// Name in the message.
    pub name: String,
    /// Lowest position.
    pub low: f64,
    /// Highest position.
    pub high: f64,
}

/// Topic of commands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControllerSeen {
    /// Message type.
    pub kind: OutputKind,
    /// Joints of the controller; `None` where neither its parameters nor a message tell.
    pub joints: Option<Vec<String>>,
    /// Whether a node subscribes to the topic; `None` where that cannot be known.
    pub has_listener: Option<bool>,
}

/// Whether trajectories on the topic are commands: what a node of this package shows of its chunks is none.
pub fn has_commands(topic: &str) -> bool {
    !topic.ends_with("/chunk")
}

/// Whether texts on the topic are a robot's description.
pub fn has_description(topic: &str) -> bool {
    topic.ends_with("robot_description")
}

impl Sightings {
    /// Notes a topic of images, whether or not a frame comes.
    pub fn camera_topic(&mut self, topic: &str, transport: Transport) -> &mut CameraSeen {
        let camera = self.cameras.entry(topic.to_owned()).or_default();
        camera.transport = transport;
        camera
    }

    /// Adds a frame of `sensor_msgs/Image` that came at `now`.
    pub fn raw_frame(&mut self, topic: &str, now: Duration, frame: &Stamped<(ImageLayout<'_>, &[u8])>) {
        let simulated = self.simulated_time;
        let (layout, data) = &frame.content;
        let camera = self.camera_topic(topic, Transport::Raw);
        camera.arrivals.add(now, frame.stamp, simulated);
        if camera.size.is_none() {
            let layout = ImageLayout {
                channel_order: ChannelOrder::Unknown,
                ..*layout
            };
            camera.encoding = layout.encoding.to_owned();
            camera.problem = decode_image(layout, data).err();
            camera.size = Some([layout.width, layout.height]);
        }
    }

    /// Adds a frame of `sensor_msgs/CompressedImage`, its format and bytes, that came at `now`.
    pub fn compressed_frame(&mut self, topic: &str, now: Duration, frame: &Stamped<(&str, &[u8])>) {
        let simulated = self.simulated_time;
        let (format, picture) = frame.content;
        let camera = self.camera_topic(topic, Transport::Compressed);
        let is_first = camera.arrivals.count() == 0;
        camera.arrivals.add(now, frame.stamp, simulated);
        if is_first {
            camera.encoding = format.to_owned();
            match decode_compressed_image(format, picture) {
                Ok(image) => camera.size = Some([image.width(), image.height()]),
                Err(problem) => camera.problem = Some(problem),
            }
        }
    }

    /// Adds a message of joint states that came at `now`. One of velocities alone has no positions, and is counted only.
    pub fn joint_state(&mut self, topic: &str, now: Duration, message: &Stamped<JointState>) {
        let simulated = self.simulated_time;
        let seen = self.joint_states.entry(topic.to_owned()).or_default();
        seen.arrivals.add(now, message.stamp, simulated);
        let JointState { names, positions } = &message.content;
        if !positions.is_empty() && positions.len() != names.len() {
            seen.problem = Some(format!("{} positions for {} names", positions.len(), names.len()));
            return;
        }
        for (index, (name, &position)) in names.iter().zip(positions).enumerate() {
            if names[..index].contains(name) {
                seen.problem = Some(format!("the joint {name} is in a message twice"));
            } else if !position.is_finite() {
                seen.problem = Some(format!("the position of {name} is {position}"));
            } else if let Some(joint) = seen.joints.iter_mut().find(|joint| joint.name == *name) {
                joint.low = joint.low.min(position);
                joint.high = joint.high.max(position);
            } else {
                seen.joints.push(JointSeen {
                    name: name.clone(),
                    low: position,
                    high: position,
                });
            }
        }
    }

    /// Notes a topic of commands, whether or not one comes.
    pub fn controller_topic(&mut self, topic: &str, kind: OutputKind) -> &mut ControllerSeen {
        let controller = self.controllers.entry(topic.to_owned()).or_default();
        controller.kind = kind;
        controller
    }

    /// Moves simulated time.
    pub fn clock(&mut self, now: Duration) {
        self.simulated_time = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn joint_state(names: &[&str], positions: &[f64]) -> Stamped<JointState> {
        Stamped {
            stamp: Some(ms(5)),
            content: JointState {
                names: names.iter().map(|&name| name.to_owned()).collect(),
                positions: positions.to_vec(),
            },
        }
    }

    #[test]
    fn joints_of_several_publishers_of_a_topic_are_one_list_with_the_range_of_each() {
        let mut seen = Sightings::default();
        for (names, positions) in [
            (&["waist", "elbow"][..], &[0.1, 0.5][..]),
            (&["gripper"], &[0.7]),
            (&["elbow", "waist"], &[0.2, 0.3]),
            (&["wheel"], &[]),
        ] {
            seen.joint_state("/joint_states", ms(10), &joint_state(names, positions));
        }
        let seen = &seen.joint_states["/joint_states"];
        let ranges: Vec<_> = seen
            .joints
            .iter()
            .map(|joint| (&*joint.name, joint.low, joint.high))
            .collect();
        assert_eq!(
            ranges,
            [("waist", 0.1, 0.3), ("elbow", 0.2, 0.5), ("gripper", 0.7, 0.7)]
        );
        assert_eq!((seen.arrivals.count(), seen.problem.as_deref()), (4, None));
    }

    #[test]
    fn messages_of_joints_that_cannot_be_used_are_told() {
        for (names, positions, expected) in [
            (&["waist", "elbow"][..], &[0.1][..], "1 positions for 2 names"),
            (&["waist", "waist"], &[0.1, 0.2], "waist is in a message twice"),
            (&["waist"], &[f64::NAN], "waist is NaN"),
        ] {
            let mut seen = Sightings::default();
            seen.joint_state("/joint_states", ms(10), &joint_state(names, positions));
            let problem = seen.joint_states["/joint_states"].problem.clone().unwrap();
            assert!(problem.contains(expected), "{problem}");
        }
    }

    #[test]
    fn a_frame_has_its_size_and_encoding_and_the_reason_why_it_cannot_be_used() {
        let layout = |encoding| ImageLayout {
            width: 2,
            height: 1,
            step: 6,
            encoding,
            is_big_endian: false,
            channel_order: ChannelOrder::Unknown,
        };
        let mut seen = Sightings::default();
        for (topic, encoding) in [("/good", "rgb8"), ("/depth", "16UC1"), ("/order", "8UC3")] {
            let frame = Stamped {
                stamp: None,
                content: (layout(encoding), &[0; 6][..]),
            };
            seen.raw_frame(topic, ms(10), &frame);
        }
        assert_eq!(seen.cameras["/good"].size, Some([2, 1]));
        assert_eq!(seen.cameras["/good"].problem, None);
        assert!(matches!(
            seen.cameras["/depth"].problem,
            Some(InputProblem::Encoding { .. })
        ));
        assert!(matches!(
            seen.cameras["/order"].problem,
            Some(InputProblem::ColourOrder { .. })
        ));
        let broken = Stamped {
            stamp: None,
            content: ("h264", &b"no picture"[..]),
        };
        seen.compressed_frame("/video", ms(10), &broken);
        assert!(matches!(
            seen.cameras["/video"].problem,
            Some(InputProblem::Picture { .. })
        ));
    }
}
