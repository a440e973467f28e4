//! The networks of π0 and π0.5: what the papers define and nothing else.
//!
//! Black et al., "π0: A Vision-Language-Action Flow Model for General Robot Control", 2024; Black et al.,
//! "π0.5: a Vision-Language-Action Model with Open-World Generalization", 2025. The numerics follow the
//! reference implementation, LeRobot's `policies/pi0` and `policies/pi05`. [`Pi0`] has the functions of openpi's
//! `pi0.py`: [`embed_prefix`](Pi0::embed_prefix), [`prefill`](Pi0::prefill) and
//! [`sample_actions`](Pi0::sample_actions). They are called one by one, so that the caller can skip what has
//! not changed since the last chunk.

mod adaptive_norms;
pub mod attention;
mod by_row;
pub mod cameras;
mod conditioning;
mod config;
pub mod denoise;
mod denoiser;
pub mod embedding;
pub mod gemma;
mod guidance;
mod norms;
pub mod paligemma;
pub mod parameters;
mod prefix;
pub mod prompt;
mod session;
pub mod siglip;
pub mod suffix;
mod weights;

pub use adaptive_norms::AdaptiveNorms;
pub use by_row::ByRow;
pub use conditioning::{ExpertNorms, TimeConditioning};
pub use config::{GemmaConfig, ModelType, Pi0Config, SiglipConfig};
pub use denoiser::Denoiser;
pub use guidance::{ActionPrefix, Conditioning, Guidance, PrefixAttentionSchedule, guidance_weight};
pub use norms::{LayerNorms, Norms, RmsNorm};
pub use prefix::Prefix;
pub use session::Session;
pub use weights::Weights;

use std::borrow::Cow;
use std::sync::Arc;

use self::denoise::EulerSteps;
use self::gemma::Gemma;
use self::guidance::{PrefixTables, StepKind};
use self::paligemma::PaliGemma;
use self::prompt::PromptEmbedding;
use self::session::Denoising;
use self::suffix::SuffixProjections;
use crate::device::{Device, DeviceError, Result};

/// The policy network of one checkpoint on one device.
pub struct Pi0<D: Device> {
    /// Sizes of the network.
    pub config: Pi0Config,
    /// Device that holds the weights.
    pub device: D,
    /// Vision-language model: images and prompt.
    pub paligemma: PaliGemma<D>,
    /// Action expert: actions, and π0's state.
    pub expert: Gemma<D>,
    /// Norms of the action expert.
    pub expert_norms: ExpertNorms<D>,
    /// Projections between robot and action expert.
    pub suffix: SuffixProjections<D>,
}

/// Euler steps of an integration from noise to actions, with everything that depends on their times alone.
pub struct Schedule<D: Device> {
    /// Length of a step in flow-matching time; negative.
    pub dt: f32,
    /// Conditioning of the action expert on the time of each step.
    pub times: Vec<TimeConditioning<D>>,
    /// Conditioning on time 0, that of clean actions, for a network that was trained with such.
    pub at_zero: Option<TimeConditioning<D>>,
}

impl<D: Device> Pi0<D> {
    /// Uploads a checkpoint's weights.
    ///
    /// # Errors
    /// When the device has no memory for them or fails.
    pub fn new(config: Pi0Config, device: D, weights: &dyn Weights) -> Result<Self> {
        Ok(Self {
            paligemma: PaliGemma::new(&config, &device, weights)?,
            expert: Gemma::new(&config.expert, &device, weights, parameters::EXPERT)?,
            expert_norms: ExpertNorms::new(&config, &device, weights)?,
            suffix: SuffixProjections::new(&config, &device, weights)?,
            config,
            device,
        })
    }

    /// Prepares an integration in `num_steps` steps, for any number of chunks.
    ///
    /// # Errors
    /// When the device fails.
    ///
    /// # Panics
    /// When there is no step.
    pub fn schedule(&self, num_steps: usize) -> Result<Schedule<D>> {
        let steps = EulerSteps::new(num_steps);
        let with_zero = self.config.rtc_training_max_delay > 0;
        let times: Vec<f32> = steps.times().chain(with_zero.then_some(0.0)).collect();
        let mut times = self.condition(&times)?;
        Ok(Schedule {
            dt: steps.dt() as f32,
            at_zero: times.pop_if(|_| with_zero),
            times,
        })
    }

    /// Conditions the action expert on each of these flow-matching times.
    ///
    /// # Errors
    /// When the device fails.
    pub fn condition(&self, times: &[f32]) -> Result<Vec<TimeConditioning<D>>> {
        self.expert_norms
            .at(&self.config, &self.device, &self.suffix, times)
    }

    /// Joins the embeddings of [images](cameras::CameraEmbeddings), one a camera and `None` for an absent
    /// one, `[tokens, vlm.width]` each, and of the prompt.
    ///
    /// # Errors
    /// When the device fails.
    pub fn embed_prefix(
        &self,
        images: &[Option<D::Tensor>],
        prompt: &PromptEmbedding<D>,
    ) -> Result<Prefix<D>> {
        Prefix::new(&self.config, &self.device, images, prompt)
    }

    /// Runs a prefix through the language model. `previous`: a session that is no longer needed, whose memory
    /// is used again where it fits.
    ///
    /// # Errors
    /// When the device has no memory for it or fails.
    #[tracing::instrument(name = "prefix", level = "trace", skip_all)]
    pub fn prefill(&self, prefix: Prefix<D>, previous: Option<Session<D>>) -> Result<Session<D>> {
        let mut session = Session::new(&self.config, &self.device, prefix, previous)?;
        session.prefill(&self.device, &self.paligemma)?;
        Ok(session)
    }

    /// Runs the prefix of a session through the language model again, of other images and another prompt: the
    /// tensors that the prefix was made of, or others of their shapes.
    ///
    /// # Errors
    /// When the prompt has another number of rows, or the device fails.
    ///
    /// # Panics
    /// When there are more images than the prefix has.
    pub fn refill(
        &self,
        session: &mut Session<D>,
        images: &[D::Tensor],
        prompt: &PromptEmbedding<D>,
    ) -> Result<()> {
        session.set_images(images);
        session.set_prompt(&self.config, &self.device, prompt)?;
        session.prefill(&self.device, &self.paligemma)
    }

    /// Samples a chunk behind the prefix of a session: from noise `[action_horizon, max_action_dim]` to
    /// normalised actions of the same shape, read back once. `state`: `[max_state_dim]`, normalised; empty for
    /// π0.5.
    ///
    /// With a prefix the chunk goes on from the actions of the chunk before.
    ///
    /// # Errors
    /// When an input has a wrong shape, the action prefix is longer than a chunk or not of the kind that the network was
    /// trained with, or the device fails.
    pub fn sample_actions(
        &self,
        session: &mut Session<D>,
        state: &[f32],
        noise: &[f32],
        prefix: Option<&ActionPrefix>,
        schedule: &Schedule<D>,
    ) -> Result<Vec<f32>> {
        let device = &self.device;
        let (width, steps) = (self.config.max_action_dim, schedule.times.len());
        let kind = prefix.map_or(StepKind::Free, |prefix| prefix.step_kind(steps));
        let denoising = Denoising { steps, kind };
        let mut start = self.pad_rows(noise, width, self.config.action_horizon)?;
        let padded_state = self.pad_rows(state, self.config.state_width(), 1)?;
        if let Some(state) = &mut session.inputs.state {
            device.write(state, &padded_state)?;
        }
        if let Some(prefix) = prefix {
            let tables = &mut session.inputs.prefix_tables;
            prefix.write(device, tables, noise, &self.config, start.len())?;
            start = prefix.start(start);
        }
        device.write(&mut session.inputs.x_t, &start)?;
        let mut trace = session.take_trace(denoising);
        let (state, x_t) = (session.inputs.state.clone(), session.inputs.x_t.clone());
        let tables = session.inputs.prefix_tables.clone();
        let written_by_prompts = Arc::clone(&session.written_by_prompts);
        let inputs = state.iter().chain([&x_t]).chain(&*written_by_prompts);
        let written_tables = prefix.map(|_| [&tables.weights, &tables.values]);
        let inputs = inputs.chain(written_tables.into_iter().flatten());
        let inputs = inputs.chain(tables.clean_rows.iter().filter(|_| kind == StepKind::Trained));
        device.run_captured(&mut trace, inputs, || {
            let actions = self.integrate(session, state.as_ref(), &x_t, kind, &tables, schedule)?;
            device.copy(&actions, &mut session.inputs.x_t)
        })?;
        session.put_trace(denoising, trace);
        let mut actions = device.read_back(&session.inputs.x_t)?;
        actions.truncate(self.config.action_horizon * width);
        if let Some(prefix) = prefix
            && !matches!(prefix.conditioning, Conditioning::Guided { .. })
        {
            actions[..prefix.actions.len()].copy_from_slice(prefix.actions);
        }
        Ok(actions)
    }

    /// Integrates from noise at t = 1 to actions at t = 0.
    fn integrate(
        &self,
        session: &mut Session<D>,
        state: Option<&D::Tensor>,
        noise: &D::Tensor,
        kind: StepKind,
        tables: &PrefixTables<D>,
        schedule: &Schedule<D>,
    ) -> Result<D::Tensor> {
        let mut denoiser = self.denoiser(session, state)?;
        if kind == StepKind::Trained {
            let (Some(mask), Some(at_zero)) = (&tables.clean_rows, &schedule.at_zero) else {
                return Err(DeviceError::shape(
                    "denoise",
                    "clean actions, for a schedule of a network that was not trained with such",
                ));
            };
            denoiser = denoiser.with_clean_rows(mask.clone(), at_zero);
        }
        let mut x_t = noise.clone();
        let times = EulerSteps::new(schedule.times.len()).times();
        for (t, at_time) in times.zip(&schedule.times) {
            let v_t = denoiser.velocity(&x_t, at_time)?;
            x_t = tables.step(&self.device, kind, [&x_t, &v_t], t, schedule.dt)?;
        }
        Ok(x_t)
    }

    /// Prepares denoising behind the prefix of a session. `state`: from [`upload_state`](Self::upload_state).
    ///
    /// # Errors
    /// When the device fails.
    pub fn denoiser<'a>(
        &'a self,
        session: &'a mut Session<D>,
        state: Option<&D::Tensor>,
    ) -> Result<Denoiser<'a, D>> {
        Denoiser::new(&self.device, &self.expert, &self.suffix, session, state)
    }

    /// Uploads a normalised state `[max_state_dim]`, in the first row of a tile: `[tile_size,
    /// max_state_dim]`. `None` for π0.5, whose state is empty here.
    ///
    /// # Errors
    /// When it has another length, or the device fails.
    pub fn upload_state(&self, state: &[f32]) -> Result<Option<D::Tensor>> {
        match self.config.state_width() {
            0 => self.pad_rows(state, 0, 1).map(|_| None),
            width => self.upload_rows(state, width, 1).map(Some),
        }
    }

    /// Uploads noise, or any point of the flow, `[action_horizon, max_action_dim]`, padded with zeros to a
    /// tile.
    ///
    /// # Errors
    /// When it has another length, or the device fails.
    pub fn upload_noise(&self, noise: &[f32]) -> Result<D::Tensor> {
        self.upload_rows(noise, self.config.max_action_dim, self.config.action_horizon)
    }

    fn upload_rows(&self, values: &[f32], width: usize, rows: usize) -> Result<D::Tensor> {
        let values = self.pad_rows(values, width, rows)?;
        self.device.upload(&values, &[values.len() / width, width])
    }

    /// Pads `[rows, width]` with zeros to a tile.
    fn pad_rows<'a>(&self, values: &'a [f32], width: usize, rows: usize) -> Result<Cow<'a, [f32]>> {
        if values.len() != rows * width {
            return Err(DeviceError::Shape {
                operation: "upload",
                problem: format!("{} values for shape [{rows}, {width}]", values.len()),
            });
        }
        let padded_rows = rows.next_multiple_of(self.device.tile_size());
        if padded_rows == rows {
            return Ok(values.into());
        }
        let mut padded = values.to_vec();
        padded.resize(padded_rows * width, 0.0);
        Ok(padded.into())
    }
}
