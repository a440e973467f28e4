//! Why a chunk is not played.

use std::time::Duration;

/// Why a chunk is not played. The motion under way goes on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ChunkRefusal {
    /// Chunk with another number of values an action.
    #[error("the actions have {found} values, expected {expected}")]
    ValueCount {
        /// Values of an action.
        found: usize,
        /// Values that the robot takes.
        expected: usize,
    },
    /// Chunk with a value that is not a finite number.
    #[error("{value_name} of action {action} is {value}, expected a finite number")]
    NotFinite {
        /// Index of the action.
        action: usize,
        /// The value's joint or pose, in words.
        value_name: String,
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
    /// Chunk whose first pose is too far from the measured one.
    #[error(
        "{of} would be sent {distance}{unit} from where it is at once, further than {parameter} ({longest}); was the robot \
         moved by other hands? then ~/reset"
    )]
    StartDistance {
        /// The pose's position or rotation, in words.
        of: String,
        /// Distance of the first commanded pose from the measured one.
        distance: f32,
        /// Unit of the distance.
        unit: &'static str,
        /// Limit of the distance.
        longest: f32,
        /// Parameter of the limit.
        parameter: &'static str,
    },
}
