//! State of a policy and of its newest chunk.

use std::time::Duration;

/// State of a policy, for diagnostics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyReport {
    /// The device, its precision and its size; empty where unknown.
    pub device: String,
    /// Type that the weights are stored in; empty where unknown.
    pub precision: String,
    /// Parts of the newest chunk's prefix that were not computed again; `None` where unknown.
    pub reused: Option<Reused>,
    /// Durations of the stages of the newest chunk.
    pub durations: StageDurations,
}

/// Parts of a chunk's prefix that were known from the chunk before, and not computed again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reused {
    /// Whether the embedding of the frame was reused, for each of the policy's cameras; `None` for a camera
    /// without a frame.
    pub cameras: Vec<Option<bool>>,
    /// Whether the prompt's tokens and their embedding were reused.
    pub prompt: bool,
    /// Whether the keys and values of the whole prefix were reused.
    pub prefix: bool,
}

/// Durations of the stages of a chunk; zero for a stage whose result was reused. On a device that computes
/// asynchronously a stage ends when its commands were issued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageDurations {
    /// Frames cropped, resized and mapped to the model's range.
    pub resize: Duration,
    /// Images through the vision tower.
    pub vision: Duration,
    /// The prompt's tokens and their embedding.
    pub prompt: Duration,
    /// Images and prompt through the language model.
    pub prefix: Duration,
    /// The state's token, and all steps from noise to actions.
    pub denoise: Duration,
}
