//! What goes into a policy and what comes out of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use image::RgbImage;

/// What the robot sees, feels and is asked to do, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// The newest frame of each camera, by the camera's name, as it came: any size, not cropped, not resized.
    pub images: BTreeMap<String, Arc<RgbImage>>,
    /// Joint positions in the robot's units and in the checkpoint's order.
    pub state: Vec<f32>,
    /// What to do, in words.
    pub prompt: String,
}

/// Actions in the robot's units, the first for the moment of the observation: `[horizon, action_dim]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionChunk {
    values: Vec<f32>,
    action_dim: usize,
}

impl ActionChunk {
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

    /// Actions in the chunk.
    pub fn horizon(&self) -> usize {
        self.values.len() / self.action_dim
    }

    /// Values of one action: one per joint.
    pub fn action_dim(&self) -> usize {
        self.action_dim
    }

    /// The targets of every joint, `index` actions after the observation.
    pub fn action(&self, index: usize) -> &[f32] {
        &self.values[index * self.action_dim..][..self.action_dim]
    }

    /// All actions, `[horizon, action_dim]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}
