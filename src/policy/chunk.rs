//! Input and output of a policy.

use std::collections::BTreeMap;
use std::sync::Arc;

use image::RgbImage;

/// Camera images, joint positions and task of one moment.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// Newest frame of each camera, by the camera's name: of any size, neither cropped nor resized.
    pub images: BTreeMap<String, Arc<RgbImage>>,
    /// Joint positions in the robot's units and in the checkpoint's order.
    pub state: Vec<f32>,
    /// The task, in words.
    pub prompt: String,
}

/// Actions in the robot's units, the first for the moment of the observation: `[horizon, action_dim]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionChunk {
    values: Vec<f32>,
    action_dim: usize,
}

impl ActionChunk {
    /// Makes a chunk of values `[horizon, action_dim]`.
    ///
    /// # Panics
    /// When `values` is empty or no whole number of actions.
    pub fn new(values: Vec<f32>, action_dim: usize) -> Self {
        assert!(
            action_dim > 0 && !values.is_empty() && values.len().is_multiple_of(action_dim),
            "{} values are no whole number of actions of {action_dim}",
            values.len()
        );
        Self { values, action_dim }
    }

    /// Number of actions.
    pub fn horizon(&self) -> usize {
        self.values.len() / self.action_dim
    }

    /// Values of one action: one a joint.
    pub fn action_dim(&self) -> usize {
        self.action_dim
    }

    /// Targets of every joint, `index` actions after the observation.
    pub fn action(&self, index: usize) -> &[f32] {
        &self.values[index * self.action_dim..][..self.action_dim]
    }

    /// All actions, `[horizon, action_dim]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}
