//! Which topics the inputs come on.

use std::time::Duration;

/// How the frames of a camera are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// `sensor_msgs/Image`.
    #[default]
    Raw,
    /// `sensor_msgs/CompressedImage`: JPEG or PNG.
    Compressed,
}

/// Order of the colours within a pixel, of images whose encoding leaves it open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelOrder {
    /// Such images are refused.
    #[default]
    Unknown,
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// A camera by the checkpoint's name, and the topic it comes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CameraTopic {
    /// Name of the camera in the checkpoint.
    pub name: String,
    /// Name of the topic.
    pub topic: String,
    /// Message type on the topic.
    pub transport: Transport,
    /// Order of the colours where the encoding leaves it open.
    pub channel_order: ChannelOrder,
    /// Whether there are observations without it.
    pub is_optional: bool,
}

/// Joint positions, of all joints or of some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JointStatesTopic {
    /// Name of the topic.
    pub topic: String,
    /// What is put in front of the names of its joints.
    pub prefix: String,
}

/// Where a measured pose comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoseSource {
    /// `geometry_msgs/PoseStamped` on this topic.
    Topic(String),
    /// The frame of this name in [`/tf` and `/tf_static`](TRANSFORM_TOPICS).
    Frame(String),
}

/// Topic of frames that do not move (`tf2_msgs/TFMessage`).
pub const STATIC_TRANSFORMS: &str = "/tf_static";

/// Topics of frames.
pub const TRANSFORM_TOPICS: [&str; 2] = ["/tf", STATIC_TRANSFORMS];

/// A pose of the robot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoseTopic {
    /// Where it comes from.
    pub source: PoseSource,
    /// Frame that the pose is in.
    pub base_frame: String,
}

impl PoseTopic {
    /// Topic of messages with this pose alone; none for a frame.
    pub fn topic(&self) -> Option<&str> {
        match &self.source {
            PoseSource::Topic(topic) => Some(topic),
            PoseSource::Frame(_) => None,
        }
    }
}

/// Messages that extra state comes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExtraStateKind {
    /// `std_msgs/Float64MultiArray`.
    #[default]
    Array,
    /// `nav_msgs/Odometry`: the velocities of a mobile base.
    Odometry,
}

/// Values of the state that are neither joints nor poses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExtraStateTopic {
    /// Name of the topic.
    pub topic: String,
    /// What is on it.
    pub kind: ExtraStateKind,
    /// Number of values.
    pub size: usize,
    /// Factor from each value to the policy's units; empty for 1.
    pub scale: Vec<f64>,
}

/// Everything that an observation is made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InputTopics {
    /// Cameras that the robot has.
    pub cameras: Vec<CameraTopic>,
    /// Topics of joint positions.
    pub joint_states: Vec<JointStatesTopic>,
    /// What follows the joints in the state.
    pub poses: Vec<PoseTopic>,
    /// What follows the poses in the state.
    pub extra_state: Vec<ExtraStateTopic>,
    /// Topic of the prompt.
    pub prompt: String,
    /// How far the stamps of an observation's messages may be from that of its joint positions; none to take the newest
    /// message of every input.
    pub sync_slop: Option<Duration>,
}

impl InputTopics {
    /// The topics of frames that are listened to: none where every pose has a topic of its own.
    pub fn transforms(&self) -> &'static [&'static str] {
        match self.poses.iter().all(|pose| pose.topic().is_some()) {
            true => &[],
            false => &TRANSFORM_TOPICS,
        }
    }
}
