//! The policy as a ROS 2 node.
//!
//! Three clocks, three threads: subscriptions put the newest message of every input into [`Inputs`]; the inference
//! thread ([`InferenceLoop`]) takes the newest complete observation and makes chunks; the control thread
//! ([`ControlLoop`]) ticks at the control rate and publishes what the newest chunk says for now. They share a slot
//! each, and no lock is held while any of them works. What does not need a ROS 2 installation is built without the
//! feature `ros` too.

mod clock;
mod compressed_image_message;
mod control_loop;
mod image_message;
mod inference_loop;
mod input_problem;
mod inputs;
mod joint_state_message;
#[cfg(feature = "ros")]
mod logging;
#[cfg(feature = "ros")]
mod messages;
mod monitor;
#[cfg(feature = "ros")]
mod parameter_service;
pub mod parameters;
mod playback;
mod robot_description;
#[cfg(feature = "ros")]
mod ros_node;
mod thread_priority;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use clock::RosClock;
pub use compressed_image_message::decode_compressed_image;
pub use control_loop::{ControlLoop, ControlReport};
pub use image_message::{ImageLayout, decode_image};
pub use inference_loop::{InferenceLoop, InferenceReport};
pub use input_problem::InputProblem;
pub use inputs::{CameraTopic, InputKind, InputReport, Inputs, StampedObservation};
pub use joint_state_message::joint_positions;
pub use monitor::{Level, Monitor, Status};
pub use playback::{ChunkSlot, NewChunk, PlaybackSettings, Shared};
pub use robot_description::{DescriptionProblem, joint_limits};
#[cfg(feature = "ros")]
pub use ros_node::{NodeError, Pi0Node, run};

/// What a thread that panicked left behind is still whole: every change under a lock is one assignment or more that
/// cannot panic between.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
