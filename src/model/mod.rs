//! π0 itself: what the paper says and nothing else.
//!
//! Black et al., "π0: A Vision-Language-Action Flow Model for General Robot Control", 2024. The numerics follow
//! the reference implementation, LeRobot's `policies/pi0`.

pub mod attention;
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

use self::denoise::EulerSteps;
use self::gemma::Gemma;
use self::paligemma::PaliGemma;
use self::prefix::{Prefix, PrefixCache};
use self::suffix::SuffixProjections;
use crate::device::{Device, Result};

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

/// The steps of an integration, their time embeddings on the device.
pub struct Schedule<D: Device> {
    pub dt: f32,
    /// `[horizon, expert.width]` a step.
    pub time_embeddings: Vec<D::Tensor>,
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
            time_embeddings: steps
                .times()
                .map(|time| suffix::embed_time(&self.config, &self.device, time))
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
        self.denoise(&mut self.prefill(&prefix)?, input.state, noise, schedule)
    }

    /// The same behind a prefix that was run before.
    pub fn denoise(
        &self,
        prefix: &mut PrefixCache<D>,
        state: &[f32],
        noise: &[f32],
        schedule: &Schedule<D>,
    ) -> Result<Vec<f32>> {
        self.attend_state(prefix, state)?;
        let mut x_t = self.upload_noise(noise)?;
        for time in &schedule.time_embeddings {
            let v_t = self.denoise_step(prefix, &x_t, time)?;
            x_t = self.device.euler_update(&x_t, &v_t, schedule.dt)?;
        }
        self.device.read_back(&x_t)
    }

    /// Images through SigLIP and the prompt through the embedding table, side by side.
    pub fn embed_prefix(&self, input: &ModelInput) -> Result<Prefix<D>> {
        let embed_image = |image: &Option<Vec<f32>>| {
            let image = image.as_ref()?;
            Some(self.paligemma.embed_image(&self.device, image))
        };
        let images: Vec<Option<D::Tensor>> = input
            .images
            .iter()
            .map(|image| embed_image(image).transpose())
            .collect::<Result<_>>()?;
        let prompt = self.paligemma.embed_tokens(&self.device, input.tokens)?;
        Prefix::new(&self.config, &self.device, &images, &prompt, input.valid_tokens)
    }

    /// Runs a prefix through the language model.
    pub fn prefill(&self, prefix: &Prefix<D>) -> Result<PrefixCache<D>> {
        prefix.prefill(&self.config, &self.device, &self.paligemma)
    }

    /// Puts the state `[max_state_dim]` behind the prefix. It attends to the prefix and itself, never to the
    /// actions, so its keys and values hold for every denoising step.
    pub fn attend_state(&self, prefix: &mut PrefixCache<D>, state: &[f32]) -> Result<()> {
        let state = self.device.upload(state, &[1, self.config.max_state_dim])?;
        let token = self.suffix.embed_state(&self.device, &state)?;
        let (cache, placement) = prefix.for_state();
        self.expert.fill_cache(&self.device, token, &placement, cache)
    }

    /// Noise `[horizon, max_action_dim]` on the device.
    pub fn upload_noise(&self, noise: &[f32]) -> Result<D::Tensor> {
        let shape = [self.config.action_horizon, self.config.max_action_dim];
        self.device.upload(noise, &shape)
    }

    /// The velocity v_t at a point x_t of the flow, `[horizon, max_action_dim]` both, behind prefix and state.
    pub fn denoise_step(
        &self,
        prefix: &mut PrefixCache<D>,
        x_t: &D::Tensor,
        time: &D::Tensor,
    ) -> Result<D::Tensor> {
        let tokens = self.suffix.embed_actions(&self.device, x_t, time)?;
        let (cache, placement) = prefix.for_actions();
        let outputs = self.expert.forward(&self.device, tokens, &placement, cache)?;
        self.suffix.project_velocity(&self.device, &outputs)
    }
}
