//! Runs π0 and π0.5, vision-language-action policies, on a robot: camera images, joint positions and a prompt become
//! actions.
//!
//! Three names are enough for a program of your own: [`open`] brings a checkpoint to a device, an
//! [`Observation`] goes in, and the [`Policy`] returns an [`ActionChunk`].
//!
//! ```
//! use std::sync::Arc;
//!
//! use pi0_node::{Observation, image::RgbImage};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let checkpoint = concat!(env!("CARGO_MANIFEST_DIR"), "/checkpoints/aloha_sim");
//! let mut policy = pi0_node::open(checkpoint)?;
//! let observation = Observation {
//!     images: [("top".to_owned(), Arc::new(RgbImage::new(640, 480)))].into(),
//!     state: vec![0.0; policy.info().state_dim],
//!     prompt: "pick up the cube with the right arm".to_owned(),
//! };
//! let chunk = policy.predict(&observation)?;
//! assert_eq!(chunk.horizon(), policy.info().action_horizon);
//! # Ok(())
//! # }
//! ```
//!
//! A device, its precision, a seed and the cameras are options:
//!
//! ```
//! use pi0_node::device::Precision;
//! use pi0_node::policy::{DeviceOptions, PolicyOptions, open_with};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let checkpoint = concat!(env!("CARGO_MANIFEST_DIR"), "/checkpoints/aloha_sim");
//! let device = DeviceOptions::cpu().precision(Precision::Int8).threads(1);
//! let options = PolicyOptions {
//!     seed: 7,
//!     ..PolicyOptions::default()
//! };
//! let policy = open_with(checkpoint, device, options)?;
//! assert_eq!(policy.info().cameras, ["top"]);
//! # Ok(())
//! # }
//! ```
//!
//! `examples/predict.rs` is a whole program, and `examples/play_chunks.rs` plays chunks as a trajectory.
//!
//! # Modules
//! Data flows one way: an observation enters [`policy`], which prepares it for [`model`], which runs on a
//! [`device`]; the action chunk that comes out is played by [`control`]. Weights and their configuration come
//! from [`checkpoint`]. [`observation`], [`parameters`] and [`runtime`] make a node of it, whose threads
//! `ros` connects to ROS 2; `evaluation` compares a policy with recorded bags; [`doctor`] checks a robot and a policy before
//! anything moves. `server` lets other machines use a policy,
//! whose messages are in [`protocol`].
//!
//! # Features
//! - `ros` (default): the ROS 2 node; needs a ROS 2 installation to build.
//! - `evaluation` (default): reading bags, metrics and reports.
//! - `cli` (default): the programs beside the node.
//! - `hub` (default): downloads from the Hugging Face Hub; without it checkpoints come from folders and the hub's cache.
//! - `server` (default): policies over the network, as server and as client.
//! - `tenstorrent`: the Tenstorrent device; needs Python to build, and TT-NN's wheel to run.
//!
//! A library of policies alone needs none of them: `default-features = false`.

#![warn(missing_docs)]

pub mod benchmark;
pub mod checkpoint;
pub mod chrome_trace;
pub mod compressed_picture;
pub mod control;
pub mod device;
pub mod doctor;
#[cfg(feature = "evaluation")]
pub mod evaluation;
pub mod locking;
pub mod model;
pub mod observation;
pub mod parameters;
pub mod policy;
pub mod pose;
pub mod process_memory;
pub mod protocol;
#[cfg(feature = "ros")]
pub mod ros;
pub mod runtime;
#[cfg(feature = "server")]
pub mod server;
pub mod statistics;
mod sync;

/// The release, and the build: the revision of a package, which `tools/package.sh` sets.
pub const VERSION: &str = match option_env!("PI0_NODE_VERSION") {
    Some(version) => version,
    None => concat!(env!("CARGO_PKG_VERSION"), " (built from source)"),
};

pub use image;
pub use policy::{ActionChunk, Observation, Policy, open};
