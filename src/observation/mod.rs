//! The newest messages of every input, decoded, aligned by their stamps, and put together to an observation.
//!
//! Nothing here needs ROS 2: subscriptions of a running node and the messages of a bag come in through the same
//! functions.

mod clock;
mod compressed_image;
mod extra_state;
mod feed;
mod frame_tree;
mod history;
mod input;
mod input_problem;
mod input_topics;
mod inputs;
mod joint_positions;
mod measured_pose;
mod message_set;
mod offer;
mod raw_image;
mod short_prompt;
mod stamp;

pub use clock::{Clock, ClockReport};
pub use compressed_image::decode_compressed_image;
pub use extra_state::{base_velocity, extra_state};
pub use feed::{Feed, InFrame, JointState, Stamped};
pub use frame_tree::{FrameProblem, FrameTree, Transform};
pub use input::{InputKind, InputReport};
pub use input_problem::InputProblem;
pub use input_topics::{
    CameraTopic, ChannelOrder, ExtraStateKind, ExtraStateTopic, InputTopics, JointStatesTopic, PoseSource,
    PoseTopic, STATIC_TRANSFORMS, TRANSFORM_TOPICS, Transport,
};
pub use inputs::{Inputs, InputsAtATick, StampedObservation};
pub use joint_positions::{SomePositions, some_joint_positions};
pub use measured_pose::measured_pose;
pub use offer::Offer;
pub use raw_image::{ImageLayout, decode_image};
pub use short_prompt::{shortened, with_short_prompt};
pub use stamp::{TIME_JUMP, jumped_back, stamp_problem};
