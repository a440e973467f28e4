//! Why a chunk is not played.

use std::time::Duration;

/// Why a chunk is not played. The motion under way goes on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ChunkRefusal {
    #[error("the actions have {found} joints, expected {expected}")]
    JointCount { found: usize, expected: usize },
    #[error("joint {joint} of action {action} is {value}, expected a finite number")]
    NotFinite {
        action: usize,
        joint: String,
        value: f32,
    },
    #[error(
        "{} s were played since the chunk's observation, but its actions last {} s: all of them are past",
        played.as_secs_f64(), duration.as_secs_f64()
    )]
    Late { played: Duration, duration: Duration },
    #[error(
        "the observation is stamped {} s ahead of now, further than the chunk's actions last: the clocks of the \
         observation and of this node differ",
        ahead.as_secs_f64()
    )]
    FromTheFuture { ahead: Duration },
    #[error("the observation was made before the robot was told to move again")]
    BeforeRelease,
    #[error(
        "joint {joint} is at {from} and would be sent to {to} at once, further than max_start_jump ({longest}); was the \
         robot moved by other hands? then ~/reset"
    )]
    StartJump {
        joint: String,
        from: f32,
        to: f32,
        longest: f32,
    },
}
