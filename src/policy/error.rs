//! What can go wrong between an observation and its actions.

use crate::checkpoint::CheckpointError;
use crate::device::DeviceError;

/// Why no policy could be made.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(
        "the policy's options do not fit the checkpoint:{}",
        crate::checkpoint::list(problems)
    )]
    Options { problems: Vec<String> },
    #[error("no {device} device: {reason}")]
    Device { device: &'static str, reason: String },
    #[error("the model could not be put on the device: {0}")]
    Model(#[from] DeviceError),
}

/// Why an observation gave no actions.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("no image of camera {camera} in the observation; it has {present}")]
    CameraMissing { camera: String, present: String },
    #[error("camera {camera}: the image is {width} × {height} pixels, expected at least 1 × 1")]
    EmptyImage { camera: String, width: u32, height: u32 },
    #[error(
        "camera {camera}: the crop of {} × {} pixels at ({}, {}) leaves the image of {width} × {height}",
        crop.width, crop.height, crop.x, crop.y
    )]
    Crop {
        camera: String,
        crop: super::Crop,
        width: u32,
        height: u32,
    },
    #[error(
        "camera {camera}: an image of {width} × {height} pixels is so narrow that nothing of it is left in a \
         square of {side}"
    )]
    AspectRatio {
        camera: String,
        width: u32,
        height: u32,
        side: usize,
    },
    #[error("the state has {found} values, the checkpoint expects {expected}")]
    StateLength { found: usize, expected: usize },
    #[error("value {index} of the state is {value}, expected a finite number")]
    State { index: usize, value: f32 },
    #[error("the prompt is empty, expected what the robot is to do, in words")]
    EmptyPrompt,
    #[error(
        "the prompt is {found} tokens long with its beginning and its newline, the checkpoint allows {limit}: {prompt:?}"
    )]
    PromptLength {
        found: usize,
        limit: usize,
        prompt: String,
    },
    #[error("the prompt could not be tokenised: {0}")]
    Tokenizer(String),
    #[error("the noise has {found} values, expected {expected}")]
    NoiseLength { found: usize, expected: usize },
    #[error("value {dimension} of action {action} came out of the model as {value}; the chunk is discarded")]
    Action {
        action: usize,
        dimension: usize,
        value: f32,
    },
    #[error(transparent)]
    Device(#[from] DeviceError),
}
