//! Choices of a user about a policy on another machine.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::options::CameraOptions;
use crate::protocol::{KeyPreset, PictureFormat};

/// Choices of a user about a policy on another machine, and what is known of the robot.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteOptions {
    /// Address: `ws://host:port`, or `wss://host:port` with TLS.
    pub server: String,
    /// Names of an observation's values.
    pub keys: KeyPreset,
    /// How frames travel.
    pub images: PictureFormat,
    /// Side of the square that frames are made to fit into before they travel, in pixels; none for what the server says, or 224.
    pub image_size: Option<NonZeroUsize>,
    /// Longest wait for a chunk.
    pub deadline: Duration,
    /// Longest silence of a server that has nothing to do.
    pub max_silence: Duration,
    /// File with the key that the server asks for.
    pub api_key_file: Option<PathBuf>,
    /// File with the certificates that the server is trusted by; none for the public authorities.
    pub ca_file: Option<PathBuf>,
    /// Cameras of the robot.
    pub cameras: Vec<CameraOptions>,
    /// Values of the state.
    pub state_dim: usize,
    /// Values of an action.
    pub action_dim: usize,
}
