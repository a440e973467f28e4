//! The suffix: the robot's state, where it is a token, and the noisy actions, as tokens of the action expert.

use super::by_row::ByRow;
use super::config::{ModelType, Pi0Config};
use super::embedding::sinusoidal_embedding;
use super::weights::{Weights, linear_with_bias};
use crate::device::{Activation, Device, Result};

/// The projections between robot and action expert.
pub struct SuffixProjections<D: Device> {
    action_in_proj: D::Linear,
    action_out_proj: D::Linear,
    /// Of π0 alone. π0.5 has the state in its prompt and the time in its norms.
    state_and_time: Option<StateAndTime<D>>,
}

/// π0's projections of the state, and of the time that is fused into every action token (π0 appendix B).
struct StateAndTime<D: Device> {
    state_proj: D::Linear,
    /// Columns of `action_time_mlp_in` that multiply the action.
    action_time_mlp_in: D::Linear,
    /// Columns of `action_time_mlp_in` that multiply the time, and the bias.
    time_mlp_in: D::Linear,
    action_time_mlp_out: D::Linear,
}

impl<D: Device> SuffixProjections<D> {
    /// Uploads the weights.
    ///
    /// # Errors
    /// When the device has no memory for them or fails.
    pub fn new(config: &Pi0Config, device: &D, weights: &dyn Weights) -> Result<Self> {
        let linear = |name: &str| linear_with_bias(device, weights, &[name.to_owned()]);
        Ok(Self {
            action_in_proj: linear("action_in_proj")?,
            action_out_proj: linear("action_out_proj")?,
            state_and_time: match config.model_type {
                ModelType::Pi0 => Some(StateAndTime::new(device, weights)?),
                ModelType::Pi05 => None,
            },
        })
    }

    /// Embeds the state `[1, max_state_dim]` as one token, `[1, expert.width]`; `None` where the state is no
    /// token.
    ///
    /// # Errors
    /// When the state has another width, or the device fails.
    pub fn embed_state(&self, device: &D, state: &D::Tensor) -> Result<Option<D::Tensor>> {
        let Some(StateAndTime { state_proj, .. }) = &self.state_and_time else {
            return Ok(None);
        };
        device.linear(state, state_proj, Activation::None).map(Some)
    }

    /// Makes the first layer of the time fusion at one time, whose embedding is `[1, expert.width]`; `None`
    /// where actions and time are not fused. Its product is the same for every action and every chunk, so it
    /// becomes the layer's bias.
    pub fn fuse_time(&self, device: &D, time: &D::Tensor) -> Result<Option<D::Linear>> {
        let Some(fusion) = &self.state_and_time else {
            return Ok(None);
        };
        let bias = device.linear(time, &fusion.time_mlp_in, Activation::None)?;
        device.with_bias(&fusion.action_time_mlp_in, &bias).map(Some)
    }

    /// Embeds noisy actions `[actions, max_action_dim]` as action tokens `[actions, expert.width]`, fused with
    /// the time of a [`fuse_time`](Self::fuse_time), which may differ by row.
    ///
    /// # Errors
    /// When the actions have another width, or the device fails.
    pub fn embed_actions(
        &self,
        device: &D,
        x_t: &D::Tensor,
        time: Option<ByRow<D::Linear, D>>,
    ) -> Result<D::Tensor> {
        let actions = device.linear(x_t, &self.action_in_proj, Activation::None)?;
        match (&self.state_and_time, time) {
            (Some(fusion), Some(time)) => {
                let fused = time.rows(device, |time| device.linear(&actions, time, Activation::Silu))?;
                device.linear(&fused, &fusion.action_time_mlp_out, Activation::None)
            }
            _ => Ok(actions),
        }
    }

    /// Projects the expert's outputs for the actions, `[actions, expert.width]`, to velocities `[actions,
    /// max_action_dim]`.
    pub fn project_velocity(&self, device: &D, outputs: &D::Tensor) -> Result<D::Tensor> {
        device.linear(outputs, &self.action_out_proj, Activation::None)
    }
}

impl<D: Device> StateAndTime<D> {
    fn new(device: &D, weights: &dyn Weights) -> Result<Self> {
        let linear = |name: &str| linear_with_bias(device, weights, &[name.to_owned()]);
        // A product with two inputs side by side is the sum of two products.
        let mlp_in = weights.tensor("action_time_mlp_in.weight");
        let width = mlp_in.shape[0];
        let bias = weights.tensor("action_time_mlp_in.bias");
        Ok(Self {
            state_proj: linear("state_proj")?,
            action_time_mlp_in: device.upload_linear(&[mlp_in.columns(0..width)], &[])?,
            time_mlp_in: device.upload_linear(&[mlp_in.columns(width..2 * width)], &[bias])?,
            action_time_mlp_out: linear("action_time_mlp_out")?,
        })
    }
}

/// Uploads the embedding of one flow-matching time, `[1, expert.width]`.
///
/// # Errors
/// When the device fails.
pub fn embed_time<D: Device>(config: &Pi0Config, device: &D, time: f32) -> Result<D::Tensor> {
    let width = config.expert.width;
    let row = sinusoidal_embedding(time, width, config.min_period, config.max_period);
    device.upload(&row, &[1, width])
}
