//! π0 on a robot: the policy, its devices, and the control that turns action chunks into trajectories.
//!
//! Data flows one way: an observation enters [`policy`], which prepares it for [`model`], which runs on a
//! [`device`]; the action chunk that comes out is played by [`control`]. `node` (feature `ros`) connects both
//! ends to ROS 2. Weights and their configuration come from [`checkpoint`].

pub mod benchmark;
pub mod checkpoint;
pub mod chrome_trace;
pub mod control;
pub mod device;
#[cfg(feature = "evaluation")]
pub mod evaluation;
pub mod locking;
pub mod model;
pub mod observation;
pub mod parameters;
pub mod policy;
pub mod process_memory;
#[cfg(feature = "ros")]
pub mod ros;
pub mod runtime;
pub mod statistics;
