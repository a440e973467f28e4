//! What an evaluation asks of a policy beyond its actions.

use std::time::Duration;

use super::{ActionChunk, Observation, Pi0Policy, Policy, PolicyError};
use crate::device::Device;
use crate::model::denoise::{EulerSteps, add_noise, sample_noise, target_velocity};

/// How long the stages of a chunk took. What was known from before took no time.
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

/// A policy that can be held against what was recorded.
pub trait Evaluate: Policy {
    /// Of the newest chunk. On a device that works on by itself, a stage ends when the device was told what to do.
    fn stage_durations(&self) -> StageDurations;

    /// The flow-matching loss (π0, equation 1) of recorded actions in the robot's units under their observation, at the
    /// time of every Euler step: `[time, loss]` each, from noise to actions. Between actions and the newest chunk's
    /// noise, it is the mean square of the distance from the predicted velocity to the true one, over the horizon and
    /// the robot's joints, in the model's normalised units.
    ///
    /// # Errors
    /// As [`Policy::predict`], and when the actions have another shape than a chunk.
    fn flow_matching_loss(
        &mut self,
        observation: &Observation,
        recorded: &ActionChunk,
    ) -> Result<Vec<[f64; 2]>, PolicyError>;
}

impl<D: Device> Evaluate for Pi0Policy<D> {
    fn stage_durations(&self) -> StageDurations {
        self.memory.durations
    }

    fn flow_matching_loss(
        &mut self,
        observation: &Observation,
        recorded: &ActionChunk,
    ) -> Result<Vec<[f64; 2]>, PolicyError> {
        let (horizon, width) = (self.model.config.action_horizon, self.model.config.max_action_dim);
        let found = [recorded.horizon(), recorded.action_dim()];
        let expected = [horizon, self.action_dim];
        if found != expected {
            return Err(PolicyError::RecordedActions { found, expected });
        }
        let actions = self.to_model_units(recorded, &observation.state);
        let noise = sample_noise(self.seed, self.num_chunks.saturating_sub(1), horizon * width);
        let target = target_velocity(&actions, &noise);
        let joints = self.action_dim;
        let (model, prefix, state, schedule) = self.prepare(observation)?;
        let state = model.embed_state(&state)?;
        let steps = EulerSteps::new(schedule.times.len());
        let mut losses = Vec::with_capacity(schedule.times.len());
        for (step, (time, at_time)) in steps.times().zip(&schedule.times).enumerate() {
            let x_t = model.upload_noise(&add_noise(&actions, &noise, time))?;
            let v_t = match step {
                0 => model.first_denoise_step(prefix, &state, &x_t, at_time)?,
                _ => model.denoise_step(prefix, &x_t, at_time)?,
            };
            let v_t = model.device.read_back(&v_t)?;
            let mut sum = 0.0;
            for (v, u) in v_t.chunks_exact(width).zip(target.chunks_exact(width)) {
                let squares = v
                    .iter()
                    .zip(u)
                    .take(joints)
                    .map(|(v, u)| f64::from(v - u).powi(2));
                sum += squares.sum::<f64>();
            }
            losses.push([f64::from(time), sum / (horizon * joints) as f64]);
        }
        Ok(losses)
    }
}
