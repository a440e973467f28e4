//! π0 with everything around the network: preparation, noise, scaling.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use image::{Rgb, RgbImage};

use super::memory::Memory;
use super::normalise::{add_state, denormalise, normalise, subtract_state};
use super::preprocess::prepare_image;
use super::{
    ActionChunk, CameraOptions, Observation, OpenError, Policy, PolicyError, PolicyOptions, PolicyReport,
    StageDurations,
};
use crate::checkpoint::{Checkpoint, PromptTokenizer, Statistics};
use crate::device::Device;
use crate::model::denoise::sample_noise;
use crate::model::prefix::PrefixCache;
use crate::model::{Pi0, Schedule};

/// A checkpoint's policy on a device.
pub struct Pi0Policy<D: Device> {
    pub(super) model: Pi0<D>,
    /// By the number of steps. None is dropped: a device may have recorded work on it.
    schedules: BTreeMap<usize, Schedule<D>>,
    steps: usize,
    checkpoint_steps: usize,
    tokenizer: PromptTokenizer,
    pub(super) statistics: Statistics,
    /// Cameras with images, in the checkpoint's order.
    cameras: Vec<CameraOptions>,
    camera_names: Vec<String>,
    state_dim: usize,
    pub(super) action_dim: usize,
    pub(super) seed: u64,
    /// Chunks whose noise was drawn.
    pub(super) num_chunks: u64,
    pub(super) memory: Memory<D>,
    description: String,
}

/// The model, the prefix, the state and the times of the steps.
type Prepared<'a, D> = (&'a Pi0<D>, &'a mut PrefixCache<D>, Vec<f32>, &'a Schedule<D>);

impl<D: Device> Pi0Policy<D> {
    /// Brings a checkpoint to a device.
    ///
    /// # Errors
    /// When the options do not fit the checkpoint (all problems at once), or the device has no room for it.
    pub fn new(checkpoint: &Checkpoint, device: D, options: PolicyOptions) -> Result<Self, OpenError> {
        let config = checkpoint.config();
        let problems = options.problems(&config.cameras);
        if !problems.is_empty() {
            return Err(OpenError::Options { problems });
        }
        let mut cameras = options.cameras;
        cameras.sort_by_key(|camera| config.cameras.iter().position(|name| *name == camera.name));
        let steps = options.denoise_steps.unwrap_or(config.denoise_steps);
        let description = format!(
            "{}: {} actions of {} values in {steps} steps, on {}",
            checkpoint.folder().display(),
            config.model.action_horizon,
            checkpoint.action_dim(),
            device.description()
        );
        let model = Pi0::new(config.model.clone(), device, checkpoint)?;
        Ok(Self {
            schedules: BTreeMap::from([(steps, model.schedule(steps)?)]),
            steps,
            checkpoint_steps: config.denoise_steps,
            model,
            tokenizer: checkpoint.tokenizer().clone(),
            statistics: checkpoint.statistics().clone(),
            memory: Memory::new(),
            camera_names: cameras.iter().map(|camera| camera.name.clone()).collect(),
            cameras,
            state_dim: checkpoint.state_dim(),
            action_dim: checkpoint.action_dim(),
            seed: options.seed,
            num_chunks: 0,
            description,
        })
    }

    /// The actions that noise `[action_horizon, max_action_dim]` becomes under an observation.
    ///
    /// # Errors
    /// As [`Policy::predict`], and when the noise has another length.
    pub fn predict_from_noise(
        &mut self,
        observation: &Observation,
        noise: &[f32],
    ) -> Result<ActionChunk, PolicyError> {
        self.denoise(observation, noise, None)
    }

    fn denoise(
        &mut self,
        observation: &Observation,
        noise: &[f32],
        frozen: Option<&ActionChunk>,
    ) -> Result<ActionChunk, PolicyError> {
        let config = &self.model.config;
        let expected = config.action_horizon * config.max_action_dim;
        if noise.len() != expected {
            return Err(PolicyError::NoiseLength {
                found: noise.len(),
                expected,
            });
        }
        if let Some(frozen) = frozen {
            self.check_frozen(frozen)?;
        }
        self.check_state(&observation.state)?;
        let frozen = frozen.map(|frozen| self.to_model_units(frozen, &observation.state));
        self.memory.durations = StageDurations::default();
        let (model, prefix, state, schedule) = self.prepare(observation)?;
        let started = Instant::now();
        let frozen = frozen.as_deref().unwrap_or_default();
        let actions = model.denoise(prefix, &state, noise, frozen, schedule)?;
        self.memory.durations.denoise = started.elapsed();
        self.to_robot_units(&actions, &observation.state)
    }

    fn next_noise(&self) -> Vec<f32> {
        let config = &self.model.config;
        sample_noise(
            self.seed,
            self.num_chunks,
            config.action_horizon * config.max_action_dim,
        )
    }

    /// What denoising starts from under an observation, beside the noise: the prefix and the state `[max_state_dim]`.
    pub(super) fn prepare(&mut self, observation: &Observation) -> Result<Prepared<'_, D>, PolicyError> {
        self.check_state(&observation.state)?;
        let frames = self.frames(observation)?;
        let mut state = observation.state.clone();
        normalise(&self.statistics.state, &mut state);
        state.resize(self.model.config.max_state_dim, 0.0);
        let image_size = self.model.config.vision.image_size;
        let prefix = self.memory.prefix(
            &self.model,
            &frames,
            &observation.prompt,
            |camera, frame| {
                let CameraOptions { name, crop, .. } = &self.cameras[camera];
                prepare_image(frame, *crop, image_size).map_err(|error| PolicyError::Image {
                    camera: name.clone(),
                    error,
                })
            },
            |prompt| Ok(self.tokenizer.encode(prompt)?),
        )?;
        Ok((&self.model, prefix, state, &self.schedules[&self.steps]))
    }

    fn check_state(&self, state: &[f32]) -> Result<(), PolicyError> {
        if state.len() != self.state_dim {
            return Err(PolicyError::StateLength {
                found: state.len(),
                expected: self.state_dim,
            });
        }
        match state.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            Some((index, &value)) => Err(PolicyError::State { index, value }),
            None => Ok(()),
        }
    }

    fn check_frozen(&self, frozen: &ActionChunk) -> Result<(), PolicyError> {
        let found = [frozen.horizon(), frozen.action_dim()];
        let expected = [self.model.config.action_horizon, self.action_dim];
        if found[0] >= expected[0] || found[1] != expected[1] {
            return Err(PolicyError::FrozenActions { found, expected });
        }
        let mut values = frozen.values().iter().enumerate();
        match values.find(|(_, value)| !value.is_finite()) {
            Some((index, &value)) => Err(PolicyError::Committed { index, value }),
            None => Ok(()),
        }
    }

    /// The newest frame of every camera, in the checkpoint's order; none where an optional one has none.
    fn frames<'a>(
        &self,
        observation: &'a Observation,
    ) -> Result<Vec<Option<&'a Arc<RgbImage>>>, PolicyError> {
        let frame = |camera: &CameraOptions| match observation.images.get(&camera.name) {
            None if !camera.is_optional => Err(PolicyError::CameraMissing {
                camera: camera.name.clone(),
                present: match observation.images.is_empty() {
                    true => "no camera".to_owned(),
                    false => observation.images.keys().cloned().collect::<Vec<_>>().join(", "),
                },
            }),
            frame => Ok(frame),
        };
        self.cameras.iter().map(frame).collect()
    }

    /// Actions in the robot's units, under a state, as the model has them: normalised, and padded to
    /// `[horizon, max_action_dim]`.
    pub(super) fn to_model_units(&self, chunk: &ActionChunk, state: &[f32]) -> Vec<f32> {
        let mut values = Vec::with_capacity(chunk.horizon() * self.model.config.max_action_dim);
        for index in 0..chunk.horizon() {
            let mut action = chunk.action(index).to_vec();
            subtract_state(&mut action, state, &self.statistics.relative);
            normalise(&self.statistics.action, &mut action);
            action.resize(self.model.config.max_action_dim, 0.0);
            values.extend(action);
        }
        values
    }

    /// Normalised, padded actions of the model in the robot's units.
    fn to_robot_units(&self, actions: &[f32], state: &[f32]) -> Result<ActionChunk, PolicyError> {
        let mut values = Vec::with_capacity(self.model.config.action_horizon * self.action_dim);
        for padded in actions.chunks_exact(self.model.config.max_action_dim) {
            let mut action = padded[..self.action_dim].to_vec();
            denormalise(&self.statistics.action, &mut action);
            add_state(&mut action, state, &self.statistics.relative);
            values.extend(action);
        }
        match values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            Some((index, &value)) => Err(PolicyError::Action {
                action: index / self.action_dim,
                dimension: index % self.action_dim,
                value,
            }),
            None => Ok(ActionChunk::new(values, self.action_dim)),
        }
    }
}

impl<D: Device> Policy for Pi0Policy<D> {
    fn predict(&mut self, observation: &Observation) -> Result<ActionChunk, PolicyError> {
        let chunk = self.denoise(observation, &self.next_noise(), None)?;
        self.num_chunks += 1;
        Ok(chunk)
    }

    fn predict_after(
        &mut self,
        observation: &Observation,
        frozen: &ActionChunk,
    ) -> Result<ActionChunk, PolicyError> {
        let chunk = self.denoise(observation, &self.next_noise(), Some(frozen))?;
        self.num_chunks += 1;
        Ok(chunk)
    }

    fn set_denoise_steps(&mut self, steps: Option<NonZeroUsize>) -> Result<(), PolicyError> {
        let steps = steps.map_or(self.checkpoint_steps, NonZeroUsize::get);
        if let Entry::Vacant(entry) = self.schedules.entry(steps) {
            entry.insert(self.model.schedule(steps)?);
        }
        self.steps = steps;
        Ok(())
    }

    fn warm_up(&mut self, prompt: &str) -> Result<(), PolicyError> {
        let Pi0 { config, device, .. } = &self.model;
        if !device.is_slow_at_first() {
            return Ok(());
        }
        let noise = vec![0.0; config.action_horizon * config.max_action_dim];
        let size = config.vision.image_size as u32;
        // Actions are held in work of its own.
        let held = ActionChunk::new(vec![0.0; self.action_dim], self.action_dim);
        let held = (config.action_horizon > 1).then_some(held);
        // The first makes what stays, two more compile and record all work on it, and the last is as every one from then on.
        for shade in 0..4 {
            let frame = Arc::new(RgbImage::from_pixel(size, size, Rgb([shade; 3])));
            let cameras = self.camera_names.iter();
            let observation = Observation {
                images: cameras.map(|name| (name.clone(), Arc::clone(&frame))).collect(),
                state: vec![0.0; self.state_dim],
                prompt: prompt.to_owned(),
            };
            self.denoise(&observation, &noise, None)?;
            if held.is_some() {
                self.denoise(&observation, &noise, held.as_ref())?;
            }
        }
        Ok(())
    }

    fn cameras(&self) -> &[String] {
        &self.camera_names
    }

    fn state_dim(&self) -> usize {
        self.state_dim
    }

    fn action_dim(&self) -> usize {
        self.action_dim
    }

    fn action_horizon(&self) -> usize {
        self.model.config.action_horizon
    }

    fn relative_actions(&self) -> Vec<bool> {
        self.statistics.relative.clone()
    }

    fn description(&self) -> String {
        self.description.clone()
    }

    fn report(&self) -> PolicyReport {
        PolicyReport {
            device: self.model.device.description(),
            precision: self.model.device.precision().to_owned(),
            reused: Some(self.memory.reused.clone()),
        }
    }
}
