//! The policy as a ROS 2 node.
//!
//! Three clocks, three threads: subscriptions put the newest messages of every input into [`Inputs`]; the inference
//! thread ([`InferenceLoop`]) takes the newest complete observation and makes chunks; the control thread
//! ([`ControlLoop`]) ticks at the control rate and publishes what the newest chunk says for now. They share a slot
//! each, and no lock is held while any of them works. What does not need a ROS 2 installation is built without the
//! feature `ros` too.

mod clock;
mod compressed_image_message;
mod control_loop;
mod extra_state;
#[cfg(feature = "ros")]
mod hangup;
mod help;
mod history;
mod image_message;
mod inference_loop;
mod input;
mod input_problem;
mod input_topics;
mod inputs;
mod joint_positions;
mod lifecycle;
#[cfg(feature = "ros")]
mod lifecycle_service;
#[cfg(feature = "ros")]
mod logging;
#[cfg(feature = "ros")]
mod managed_policy;
#[cfg(feature = "ros")]
mod messages;
mod monitor;
#[cfg(feature = "ros")]
mod node_error;
#[cfg(feature = "ros")]
mod other_publishers;
#[cfg(feature = "ros")]
mod output_publishers;
mod output_topics;
#[cfg(feature = "ros")]
mod parameter_service;
pub mod parameters;
mod playback;
mod robot_description;
#[cfg(feature = "ros")]
mod ros_node;
#[cfg(feature = "ros")]
mod services;
mod stamp;
#[cfg(feature = "ros")]
mod subscriptions;
mod thread_priority;
#[cfg(feature = "ros")]
mod watched_thread;

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

pub use clock::RosClock;
pub use compressed_image_message::decode_compressed_image;
pub use control_loop::{ControlLoop, ControlReport};
pub use extra_state::extra_state;
pub use help::answer;
pub use image_message::{ImageLayout, decode_image};
pub use inference_loop::{InferenceLoop, InferenceReport};
pub use input::{InputKind, InputReport};
pub use input_problem::InputProblem;
pub use input_topics::{CameraTopic, ExtraStateTopic, InputTopics, JointStatesTopic, Transport};
pub use inputs::{Inputs, InputsAtATick, StampedObservation};
pub use joint_positions::{SomePositions, joint_positions, some_joint_positions};
pub use lifecycle::{
    ChangeError, Lifecycle, LifecycleState, Managed, TRANSITIONS, Transition, TransitionEvent,
};
pub use monitor::{Level, Monitor, Status};
#[cfg(feature = "ros")]
pub use node_error::NodeError;
pub use output_topics::{OutputKind, OutputTopic};
pub use playback::{ChunkSlot, NewChunk, NewestPrediction, PlaybackSettings, Shared};
pub use robot_description::{DescribedLimits, DescriptionProblem, joint_limits};
#[cfg(feature = "ros")]
pub use ros_node::{Pi0Node, run};
pub use stamp::stamp_problem;
pub use thread_priority::raise_this_thread;

/// What a thread that panicked left behind is still whole: every change under a lock is one assignment or more that
/// cannot panic between.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same; none instead of a wait, unless the thread `may_wait`. Who keeps a rate must not: the other thread may be one
/// of low priority that the system lets run much later.
pub(crate) fn lock_if_free<T>(mutex: &Mutex<T>, may_wait: bool) -> Option<MutexGuard<'_, T>> {
    if may_wait {
        return Some(lock(mutex));
    }
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
