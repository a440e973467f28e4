//! Why a chunk is not played.

use std::time::Duration;

/// Why a chunk is not played. The motion under way goes on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ChunkRefusal {
    /// Chunk with another number of joints.
    #[error("the actions have {found} joints, expected {expected}")]
    JointCount {
        /// Joints of an action.
        found: usize,
        /// Joints of the robot.
        expected: usize,
    },
    /// Chunk with a value that is not a finite number.
    #[error("joint {joint} of action {action} is {value}, expected a finite number")]
    NotFinite {
        /// Index of the action.
        action: usize,
        /// Name of the joint.
        joint: String,
        /// The value.
        value: f32,
    },
    /// Chunk whose actions are all in the past.
    #[error(
        "{} s were played since the chunk's observation, but its actions last {} s: all of them are past",
        played.as_secs_f64(), duration.as_secs_f64()
    )]
    Late {
        /// Time for which actions were played since the observation.
        played: Duration,
        /// Duration of the chunk.
        duration: Duration,
    },
    /// Chunk whose observation is stamped too far ahead.
    #[error(
        "the observation is stamped {} s ahead of now, further than the chunk's actions last: the clocks of the \
         observation and of this node differ",
        ahead.as_secs_f64()
    )]
    FromTheFuture {
        /// Distance of the stamp from now.
        ahead: Duration,
    },
    /// Chunk observed before the end of a hold.
    #[error("the observation was made before the robot was told to move again")]
    BeforeRelease,
    /// Chunk whose first position is too far from the measured one.
    #[error(
        "joint {joint} is at {from} and would be sent to {to} at once, further than max_start_jump ({longest}); was the \
         robot moved by other hands? then ~/reset"
    )]
    StartJump {
        /// Name of the joint.
        joint: String,
        /// Measured position.
        from: f32,
        /// First commanded position.
        to: f32,
        /// Limit of the distance.
        longest: f32,
    },
}
