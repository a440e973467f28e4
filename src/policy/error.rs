//! Failures between a checkpoint and its policy, and between an observation and its actions.

use super::chunk::Observation;
use super::preprocess::ImageError;
use super::remote_error::RemoteError;
use crate::checkpoint::{CheckpointError, PromptError, list};
use crate::device::DeviceError;

/// Why no policy could be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder is no complete checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Options that the checkpoint does not have.
    #[error("the policy's options do not fit the checkpoint:{}", list(problems))]
    Options {
        /// Every problem, a sentence each.
        problems: Vec<String>,
    },
    /// There is no such device.
    #[error("no {device} device: {reason}")]
    NoDevice {
        /// Name of the device.
        device: &'static str,
        /// What is missing.
        reason: String,
    },
    /// The device failed, or has no memory for the model.
    #[error("the model could not be put on the device: {0}")]
    Device(#[from] DeviceError),
    /// The server of the policy cannot be used.
    #[error(transparent)]
    Remote(#[from] RemoteError),
}

/// Why an observation gave no actions.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A camera that is not optional has no image.
    #[error("the observation has no image of camera {camera}; it has images of: {present}")]
    CameraMissing {
        /// Name of the camera.
        camera: String,
        /// Names of the cameras that have an image.
        present: String,
    },
    /// An image that cannot be prepared.
    #[error("camera {camera}: {error}")]
    Image {
        /// Name of the camera.
        camera: String,
        /// Reason.
        error: ImageError,
    },
    /// A state of another length.
    #[error("the state has {found} values, expected {expected}")]
    StateLength {
        /// Values that the observation has.
        found: usize,
        /// Values that the policy expects.
        expected: usize,
    },
    /// A value of the state that is not finite.
    #[error("value {index} of the state is {value}, expected a finite number")]
    State {
        /// Index in the state.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A prompt that is empty, too long, or not in the vocabulary.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// Noise of another length.
    #[error("the noise has {found} values, expected {expected}")]
    NoiseLength {
        /// Values that the noise has.
        found: usize,
        /// Values of a padded chunk.
        expected: usize,
    },
    /// Recorded actions of another shape than a chunk.
    #[error("the recorded actions have the shape {found:?}, expected {expected:?}")]
    RecordedActions {
        /// `[horizon, action_dim]` of the recorded actions.
        found: [usize; 2],
        /// `[horizon, action_dim]` of a chunk.
        expected: [usize; 2],
    },
    /// Actions of the chunk before of a shape that a chunk cannot go on from.
    #[error(
        "the actions of the chunk before have the shape {found:?}, expected at most {} of {} values", expected[0],
        expected[1]
    )]
    PrefixShape {
        /// `[count, action_dim]` of those actions.
        found: [usize; 2],
        /// Most actions, and `action_dim`, of such a prefix.
        expected: [usize; 2],
    },
    /// A value of the actions of the chunk before that is not finite.
    #[error("value {index} of the actions of the chunk before is {value}, expected a finite number")]
    PrefixValue {
        /// Index in those actions.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A policy whose chunks cannot go on from the chunk before, by its description.
    #[error(
        "this policy cannot denoise a chunk that goes on from the one before; choose chunk_blending replace, blend or \
         ensemble: {0}"
    )]
    CannotContinue(String),
    /// A policy that was not trained to go on from clean actions, by its description.
    #[error(
        "this policy was not trained to go on from the chunk before (rtc_training_max_delay of its config.json is 0); \
         choose rtc_mode guided or auto: {0}"
    )]
    NotTrainedToContinue(String),
    /// More actions played until a chunk arrives than the policy was trained for.
    #[error(
        "{found} actions are played until a chunk arrives, and the policy was trained for {most} at most \
         (rtc_training_max_delay); make inference faster, lower action_rate_hz or playback_speed, choose rtc_mode guided, \
         or train the policy for a longer delay"
    )]
    BeyondTrainedDelay {
        /// Actions that are played until then.
        found: usize,
        /// Most actions that the policy was trained for.
        most: usize,
    },
    /// A policy whose denoising steps cannot be set, by its description.
    #[error("this policy's number of denoising steps cannot be set: {0}")]
    FixedSteps(String),
    /// A policy without a flow-matching loss, by its description.
    #[error("this policy has no flow-matching loss: {0}")]
    NoLoss(String),
    /// A predicted value that is not finite.
    #[error("value {dimension} of action {action} came out of the model as {value}; the chunk is discarded")]
    Action {
        /// Index of the action in the chunk.
        action: usize,
        /// Index of the value in the action.
        dimension: usize,
        /// The value.
        value: f32,
    },
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The server of the policy gave no actions.
    #[error(transparent)]
    Remote(#[from] RemoteError),
}

impl PolicyError {
    /// The error of an observation without the image of a camera.
    pub(super) fn camera_missing(camera: &str, observation: &Observation) -> Self {
        let present = observation.images.keys().cloned().collect::<Vec<_>>().join(", ");
        Self::CameraMissing {
            camera: camera.to_owned(),
            present: match present.is_empty() {
                true => "no camera".to_owned(),
                false => present,
            },
        }
    }

    /// # Errors
    /// The first value that is not finite of actions that came out of a model, `[horizon, action_dim]`.
    pub(super) fn expect_finite(actions: &[f32], action_dim: usize) -> Result<(), Self> {
        match actions.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            Some((index, &value)) => Err(Self::Action {
                action: index / action_dim,
                dimension: index % action_dim,
                value,
            }),
            None => Ok(()),
        }
    }

    /// Whether a value was no finite number.
    pub fn is_not_finite(&self) -> bool {
        matches!(
            self,
            Self::State { .. } | Self::PrefixValue { .. } | Self::Action { .. }
        )
    }
}
