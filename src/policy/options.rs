//! What a user chooses about a policy and the device it runs on.

use crate::device::Precision;

/// A rectangle of a camera's frame, in pixels from its top left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crop {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// How the frames of one camera are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraOptions {
    /// The checkpoint's name of the camera, without `observation.images.`.
    pub name: String,
    /// The part of the frame that the policy sees; all of it when `None`.
    pub crop: Option<Crop>,
}

/// What a user chooses about a policy. Every camera of the checkpoint is in `cameras` or in `absent_cameras`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyOptions {
    /// Euler steps from noise to actions; the checkpoint's when `None`.
    pub denoise_steps: Option<usize>,
    /// Seed of the noise. The chunks of two policies of one seed and the same observations are the same.
    pub seed: u64,
    /// Cameras that this robot has.
    pub cameras: Vec<CameraOptions>,
    /// Cameras of the checkpoint that this robot does not have; the model is told that they are missing.
    pub absent_cameras: Vec<String>,
}

/// Where the model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The fastest device there is.
    #[default]
    Auto,
    Cpu,
    Tenstorrent,
}

/// How a device computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceOptions {
    /// What the CPU device stores weights in.
    pub precision: Precision,
    /// Threads of the CPU device; 0 is one for each core.
    pub threads: usize,
}
