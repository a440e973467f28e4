//! π0 itself: what the paper says and nothing else.
//!
//! Black et al., "π0: A Vision-Language-Action Flow Model for General Robot Control", 2024. The numerics follow
//! the reference implementation, LeRobot's `policies/pi0`.

pub mod attention;
pub mod cameras;
mod config;
pub mod denoise;
pub mod embedding;
pub mod gemma;
pub mod paligemma;
pub mod parameters;
pub mod prefix;
pub mod siglip;
pub mod suffix;
mod weights;

pub use config::{GemmaConfig, Pi0Config, SiglipConfig};
pub use weights::Weights;

use std::borrow::Cow;

use self::denoise::{EulerSteps, target_velocity};
use self::gemma::Gemma;
use self::paligemma::PaliGemma;
use self::prefix::{Held, Prefix, PrefixCache};
use self::suffix::SuffixProjections;
use crate::device::{Device, DeviceError, Result};

/// The policy network of one checkpoint on one device.
pub struct Pi0<D: Device> {
    pub config: Pi0Config,
    pub device: D,
    pub paligemma: PaliGemma<D>,
    pub expert: Gemma<D>,
    pub suffix: SuffixProjections<D>,
}

/// What the network sees, prepared: one observation.
pub struct ModelInput<'a> {
    /// One image `[3, image_size, image_size]` in [−1, 1] a camera; `None` for an absent camera.
    pub images: &'a [Option<Vec<f32>>],
    /// Token ids of the prompt, padded or not.
    pub tokens: &'a [u32],
    /// How many of the tokens are no padding.
    pub valid_tokens: usize,
    /// Normalised joint positions, padded to `max_state_dim`.
    pub state: &'a [f32],
}

/// The steps of an integration, what depends on their times alone computed and on the device.
pub struct Schedule<D: Device> {
    pub dt: f32,
    /// For each step, the first layer of the time fusion at its time.
    pub times: Vec<D::Linear>,
}

impl<D: Device> Pi0<D> {
    /// Brings a checkpoint's weights to a device.
    ///
    /// # Errors
    /// When the device has no room for them or fails.
    pub fn new(config: Pi0Config, device: D, weights: &dyn Weights) -> Result<Self> {
        Ok(Self {
            paligemma: PaliGemma::new(&config, &device, weights)?,
            expert: Gemma::new(&config.expert, &device, weights, parameters::EXPERT)?,
            suffix: SuffixProjections::new(&device, weights)?,
            config,
            device,
        })
    }

    /// Integration in `num_steps` steps, for [`Pi0::sample_actions`]; made once and kept.
    ///
    /// # Panics
    /// When there is no step.
    pub fn schedule(&self, num_steps: usize) -> Result<Schedule<D>> {
        let steps = EulerSteps::new(num_steps);
        Ok(Schedule {
            dt: steps.dt() as f32,
            times: steps
                .times()
                .map(|time| {
                    let time = suffix::embed_time(&self.config, &self.device, time)?;
                    self.suffix.fuse_time(&self.device, &time)
                })
                .collect::<Result<_>>()?,
        })
    }

    /// From noise `[horizon, max_action_dim]` to normalised actions of the same shape, read back once.
    ///
    /// # Errors
    /// When an input has a wrong shape, a token is not in the vocabulary, or the device fails.
    pub fn sample_actions(
        &self,
        input: &ModelInput,
        noise: &[f32],
        schedule: &Schedule<D>,
    ) -> Result<Vec<f32>> {
        let prefix = self.embed_prefix(input)?;
        self.denoise(
            &mut self.prefill(prefix, None)?,
            input.state,
            noise,
            &[],
            schedule,
        )
    }

    /// The same behind a prefix that was run before. The chunk begins with the normalised actions `frozen`,
    /// `[count, max_action_dim]`: at every step they are where the flow leads from their noise to them, so that the rest
    /// is denoised to go on from them (real-time chunking, Black et al. 2025, without its gradient).
    ///
    /// # Errors
    /// As [`sample_actions`](Self::sample_actions), and when there are more of them than a chunk has.
    pub fn denoise(
        &self,
        prefix: &mut PrefixCache<D>,
        state: &[f32],
        noise: &[f32],
        frozen: &[f32],
        schedule: &Schedule<D>,
    ) -> Result<Vec<f32>> {
        let device = &self.device;
        let uploaded = self.pad_rows(noise, self.config.max_action_dim, self.config.action_horizon)?;
        device.write(
            &mut prefix.inputs.state,
            &self.pad_rows(state, self.config.max_state_dim, 1)?,
        )?;
        device.write(&mut prefix.inputs.x_t, &uploaded)?;
        if !frozen.is_empty() {
            self.write_held(&mut prefix.inputs.held, frozen, noise, uploaded.len())?;
        }
        let (state, x_t) = (prefix.inputs.state.clone(), prefix.inputs.x_t.clone());
        let held = (!frozen.is_empty()).then(|| prefix.inputs.held.clone());
        let mut inputs = vec![&state, &x_t];
        inputs.extend(held.iter().flat_map(|held| [&held.mask, &held.velocity]));
        let (steps, is_held) = (schedule.times.len(), held.is_some());
        let mut denoising = prefix.inputs.take_recording(steps, is_held);
        device.replay(&mut denoising, &inputs, || {
            let actions = self.integrate(prefix, &state, &x_t, held.as_ref(), schedule)?;
            device.copy(&actions, &mut prefix.inputs.x_t)
        })?;
        prefix.inputs.denoising.insert((steps, is_held), denoising);
        let mut actions = device.read_back(&prefix.inputs.x_t)?;
        actions.truncate(self.config.action_horizon * self.config.max_action_dim);
        actions[..frozen.len()].copy_from_slice(frozen);
        Ok(actions)
    }

    /// From the point at t = 1 to the one at t = 0. What is held moves at its own velocity instead of the expert's.
    fn integrate(
        &self,
        prefix: &mut PrefixCache<D>,
        state: &D::Tensor,
        noise: &D::Tensor,
        held: Option<&Held<D>>,
        schedule: &Schedule<D>,
    ) -> Result<D::Tensor> {
        let device = &self.device;
        let state = self.suffix.embed_state(device, state)?;
        let mut x_t = noise.clone();
        for (step, time) in schedule.times.iter().enumerate() {
            let mut v_t = match step {
                0 => self.first_denoise_step(prefix, &state, &x_t, time)?,
                _ => self.denoise_step(prefix, &x_t, time)?,
            };
            if let Some(Held { mask, velocity }) = held {
                v_t = device.select(mask, velocity, &v_t)?;
            }
            x_t = device.euler_update(&x_t, &v_t, schedule.dt)?;
        }
        Ok(x_t)
    }

    /// The straight way from the noise of the first actions to what they are frozen to, of `count` values in all.
    fn write_held(&self, held: &mut Held<D>, frozen: &[f32], noise: &[f32], count: usize) -> Result<()> {
        let Some(noise) = noise.get(..frozen.len()) else {
            return Err(DeviceError::Shape {
                operation: "denoise",
                problem: format!("{} frozen values for {} of a chunk", frozen.len(), noise.len()),
            });
        };
        let mut mask = vec![1.0; frozen.len()];
        mask.resize(count, 0.0);
        let mut velocity = target_velocity(frozen, noise);
        velocity.resize(count, 0.0);
        self.device.write(&mut held.mask, &mask)?;
        self.device.write(&mut held.velocity, &velocity)
    }

    /// Images through SigLIP and the prompt through the embedding table, side by side.
    pub fn embed_prefix(&self, input: &ModelInput) -> Result<Prefix<D>> {
        let present = input.images.iter().flatten();
        let uploaded: Vec<D::Tensor> = present
            .map(|pixels| self.paligemma.vision_tower.upload_image(&self.device, pixels))
            .collect::<Result<_>>()?;
        let uploaded: Vec<&D::Tensor> = uploaded.iter().collect();
        let mut embedded = self.paligemma.embed_images(&self.device, &uploaded)?.into_iter();
        let images: Vec<Option<D::Tensor>> = input
            .images
            .iter()
            .map(|image| image.as_ref().and_then(|_| embedded.next()))
            .collect();
        let prompt = self.paligemma.embed_tokens(&self.device, input.tokens)?;
        Prefix::new(&self.config, &self.device, &images, &prompt, input.valid_tokens)
    }

    /// Runs a prefix through the language model; `previous` is one that is not needed any more.
    #[tracing::instrument(name = "prefix", level = "trace", skip_all)]
    pub fn prefill(&self, prefix: Prefix<D>, previous: Option<PrefixCache<D>>) -> Result<PrefixCache<D>> {
        prefix.prefill(&self.config, &self.device, &self.paligemma, previous)
    }

    /// The same again, in its place, for the same prompt behind images that were written to since: the tensors that the
    /// prefix was made of.
    ///
    /// # Panics
    /// When there are more than then.
    pub fn refill(&self, prefix: &mut PrefixCache<D>, images: &[D::Tensor]) -> Result<()> {
        prefix.update_images(images);
        prefix.fill(&self.device, &self.paligemma)
    }

    /// The state `[max_state_dim]` to its token, in the first row of a tile: `[tile, expert.width]`.
    pub fn embed_state(&self, state: &[f32]) -> Result<D::Tensor> {
        let state = self.upload_rows(state, self.config.max_state_dim, 1)?;
        self.suffix.embed_state(&self.device, &state)
    }

    /// Noise `[horizon, max_action_dim]` on the device, zeros behind it up to the next tile.
    pub fn upload_noise(&self, noise: &[f32]) -> Result<D::Tensor> {
        self.upload_rows(noise, self.config.max_action_dim, self.config.action_horizon)
    }

    fn upload_rows(&self, values: &[f32], width: usize, rows: usize) -> Result<D::Tensor> {
        let values = self.pad_rows(values, width, rows)?;
        self.device.upload(&values, &[values.len() / width, width])
    }

    /// `[rows, width]`, with zeros behind them up to the next tile.
    fn pad_rows<'a>(&self, values: &'a [f32], width: usize, rows: usize) -> Result<Cow<'a, [f32]>> {
        if values.len() != rows * width {
            return Err(DeviceError::Shape {
                operation: "upload",
                problem: format!("{} values for shape [{rows}, {width}]", values.len()),
            });
        }
        let tiles = rows.next_multiple_of(self.device.tile());
        if tiles == rows {
            return Ok(values.into());
        }
        let mut padded = values.to_vec();
        padded.resize(tiles * width, 0.0);
        Ok(padded.into())
    }

    /// The velocity v_t at a point x_t of the flow, `[horizon, max_action_dim]` both, behind prefix and state.
    ///
    /// The state attends to the prefix and itself, never to the actions, so its keys and values hold for every step:
    /// [`first_denoise_step`](Self::first_denoise_step) leaves them in the cache.
    #[tracing::instrument(level = "trace", skip_all)]
    pub fn denoise_step(
        &self,
        prefix: &mut PrefixCache<D>,
        x_t: &D::Tensor,
        time: &D::Linear,
    ) -> Result<D::Tensor> {
        let tokens = self.suffix.embed_actions(&self.device, x_t, time)?;
        let (cache, placement) = prefix.for_actions();
        let outputs = self.expert.forward(&self.device, tokens, &placement, cache)?;
        self.suffix.project_velocity(&self.device, &outputs)
    }

    /// The same with the state's token in front of the actions.
    #[tracing::instrument(name = "denoise_step", level = "trace", skip_all)]
    pub fn first_denoise_step(
        &self,
        prefix: &mut PrefixCache<D>,
        state: &D::Tensor,
        x_t: &D::Tensor,
        time: &D::Linear,
    ) -> Result<D::Tensor> {
        let device = &self.device;
        let actions = self.suffix.embed_actions(device, x_t, time)?;
        let tokens = device.concat_rows(&[state, &actions])?;
        let (cache, placement) = prefix.for_suffix();
        let outputs = self.expert.forward(device, tokens, &placement, cache)?;
        let outputs = device.slice_rows(&outputs, device.tile()..device.shape(&outputs)[0])?;
        self.suffix.project_velocity(device, &outputs)
    }
}
