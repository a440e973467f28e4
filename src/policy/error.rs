//! What can go wrong between an observation and its actions.

use super::preprocess::ImageError;
use crate::checkpoint::{CheckpointError, PromptError, list};
use crate::device::DeviceError;

/// Why no policy could be made.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("the policy's options do not fit the checkpoint:{}", list(problems))]
    Options { problems: Vec<String> },
    #[error("no {device} device: {reason}")]
    NoDevice { device: &'static str, reason: String },
    #[error("the model could not be put on the device: {0}")]
    Device(#[from] DeviceError),
}

impl PolicyError {
    /// Whether a value was no finite number.
    pub fn is_not_finite(&self) -> bool {
        matches!(
            self,
            Self::State { .. } | Self::Committed { .. } | Self::Action { .. }
        )
    }
}

/// Why an observation gave no actions.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("the observation has no image of camera {camera}; it has images of: {present}")]
    CameraMissing { camera: String, present: String },
    #[error("camera {camera}: {error}")]
    Image { camera: String, error: ImageError },
    #[error("the state has {found} values, expected {expected}")]
    StateLength { found: usize, expected: usize },
    #[error("value {index} of the state is {value}, expected a finite number")]
    State { index: usize, value: f32 },
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error("the noise has {found} values, expected {expected}")]
    NoiseLength { found: usize, expected: usize },
    #[error("the recorded actions have the shape {found:?}, expected {expected:?}")]
    RecordedActions { found: [usize; 2], expected: [usize; 2] },
    #[error(
        "the frozen actions have the shape {found:?}, expected fewer than {} of {} values", expected[0], expected[1]
    )]
    FrozenActions { found: [usize; 2], expected: [usize; 2] },
    #[error("value {index} of the frozen actions is {value}, expected a finite number")]
    Committed { index: usize, value: f32 },
    #[error("this policy cannot hold frozen actions: {0}")]
    CannotInpaint(String),
    #[error("this policy's number of steps cannot be set: {0}")]
    FixedSteps(String),
    #[error("value {dimension} of action {action} came out of the model as {value}; the chunk is discarded")]
    Action {
        action: usize,
        dimension: usize,
        value: f32,
    },
    #[error(transparent)]
    Device(#[from] DeviceError),
}
