//! The policy of a checkpoint: the network with preparation, noise and normalisation around it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::mem;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use image::{Rgb, RgbImage};

use super::action_prefix::ActionPrefix;
use super::chunk::{ActionChunk, Observation};
use super::error::{OpenError, PolicyError};
use super::normalise::{add_state, denormalise, normalise, subtract_state};
use super::options::{CameraOptions, PolicyOptions};
use super::prefix_cache::{PrefixCache, PromptTokens};
use super::preprocess::prepare_image;
use super::report::{PolicyReport, StageDurations};
use super::{Policy, PolicyInfo};
use crate::checkpoint::{Checkpoint, ImageFit, PromptError, PromptForm, PromptTokenizer, Statistics};
use crate::device::Device;
use crate::model::denoise::{EulerSteps, add_noise, sample_noise, target_velocity};
use crate::model::{self, Conditioning, ModelType, Pi0, Schedule, Session};

/// A checkpoint's policy on a device.
pub struct Pi0Policy<D: Device> {
    pub(super) model: Pi0<D>,
    /// By the number of steps. None is dropped: traces of the device may refer to it.
    pub(super) schedules: BTreeMap<usize, Schedule<D>>,
    pub(super) steps: usize,
    checkpoint_steps: usize,
    tokenizer: PromptTokenizer,
    prompt_form: PromptForm,
    statistics: Statistics,
    image_fit: ImageFit,
    /// Cameras with images, in the checkpoint's order.
    pub(super) cameras: Vec<CameraOptions>,
    seed: u64,
    /// The client whose observations come next.
    client: Client<D>,
    selected_client: u64,
    other_clients: BTreeMap<u64, Client<D>>,
    info: PolicyInfo,
}

/// What is kept from one observation of a client to its next.
struct Client<D: Device> {
    /// Chunks whose noise was drawn.
    num_chunks: u64,
    /// Newest task whose prompts depend on the state, and the tokens of the longest of them.
    longest_prompt: Option<(String, usize)>,
    prefix_cache: PrefixCache<D>,
}

impl<D: Device> Client<D> {
    fn new() -> Self {
        Self {
            num_chunks: 0,
            longest_prompt: None,
            prefix_cache: PrefixCache::new(),
        }
    }
}

/// The model, the session of the prefix, the state that the network reads and the schedule: everything that
/// denoising needs but noise.
type Prepared<'a, D> = (&'a Pi0<D>, &'a mut Session<D>, Vec<f32>, &'a Schedule<D>);

impl<D: Device> Pi0Policy<D> {
    /// Uploads a checkpoint to a device.
    ///
    /// # Errors
    /// When the options do not fit the checkpoint (all problems at once), the device has no memory for it, or a file of it was
    /// written to meanwhile.
    pub fn new(checkpoint: &Checkpoint, device: D, options: &PolicyOptions) -> Result<Self, OpenError> {
        let config = checkpoint.config();
        let cameras = options
            .cameras(&config.cameras, &config.recorded_cameras)
            .map_err(|problems| OpenError::Options { problems })?;
        let info = PolicyInfo {
            cameras: cameras.iter().map(|camera| camera.name.clone()).collect(),
            state_dim: checkpoint.state_dim(),
            action_dim: checkpoint.action_dim(),
            action_horizon: config.model.action_horizon,
            takes_prefixes: true,
            rtc_training_max_delay: config.model.rtc_training_max_delay,
            relative_actions: checkpoint.statistics().relative.clone(),
            image_size: config.model.vision.image_size,
            resize: config.image_fit.resize,
            description: format!(
                "{}: {} actions of {} values, on {}",
                checkpoint.folder().display(),
                config.model.action_horizon,
                checkpoint.action_dim(),
                device.description()
            ),
        };
        let prompt_form = config.prompt_form();
        if config.model.model_type == ModelType::Pi05 {
            let why = match options.checkpoint.state_in_prompt {
                None => "as the program that wrote the checkpoint trains it",
                Some(_) => "chosen by the parameter state_in_prompt",
            };
            let example = prompt_form.text("task", &vec![0.0; info.state_dim]);
            tracing::info!("π0.5's prompts are {example:?} where the normalised state is 0, {why}");
        }
        if info.rtc_training_max_delay > 0 {
            tracing::info!(
                "trained for real-time chunking (rtc_mode trained) with up to {} actions that are played until a chunk \
                 arrives",
                info.rtc_training_max_delay
            );
        }
        let model = Pi0::new(config.model.clone(), device, checkpoint)?;
        checkpoint.expect_unchanged()?;
        let steps = config.denoise_steps;
        Ok(Self {
            schedules: BTreeMap::from([(steps, model.schedule(steps)?)]),
            steps,
            checkpoint_steps: steps,
            model,
            tokenizer: checkpoint.tokenizer().clone(),
            prompt_form,
            statistics: checkpoint.statistics().clone(),
            image_fit: config.image_fit,
            cameras,
            seed: options.seed,
            client: Client::new(),
            selected_client: 0,
            other_clients: BTreeMap::new(),
            info,
        })
    }

    /// Predicts the chunk that noise `[action_horizon, max_action_dim]` becomes, going on from the actions of the chunk
    /// before if there are any.
    ///
    /// # Errors
    /// When the observation or those actions do not fit the policy, the noise has another length, or no finite actions
    /// came out.
    pub fn predict_from_noise(
        &mut self,
        observation: &Observation,
        noise: &[f32],
        prefix: Option<&ActionPrefix>,
    ) -> Result<ActionChunk, PolicyError> {
        let config = &self.model.config;
        let expected = config.action_horizon * config.max_action_dim;
        if noise.len() != expected {
            return Err(PolicyError::NoiseLength {
                found: noise.len(),
                expected,
            });
        }
        let prefix_actions = match prefix {
            Some(prefix) => {
                prefix.check(&self.info)?;
                self.to_model_units(&prefix.actions, &observation.state)
            }
            None => Vec::new(),
        };
        let prefix = prefix.map(|prefix| model::ActionPrefix {
            actions: &prefix_actions,
            conditioning: prefix.conditioning,
        });
        self.client.prefix_cache.durations = StageDurations::default();
        let (model, session, state, schedule) = self.prepare(observation)?;
        let started = Instant::now();
        let actions = model.sample_actions(session, &state, noise, prefix.as_ref(), schedule)?;
        self.client.prefix_cache.durations.denoise = started.elapsed();
        self.to_robot_units(&actions, &observation.state)
    }

    /// Noise of a chunk, `[action_horizon, max_action_dim]`.
    fn noise(&self, chunk: u64) -> Vec<f32> {
        let config = &self.model.config;
        sample_noise(self.seed, chunk, config.action_horizon * config.max_action_dim)
    }

    fn predict_next(
        &mut self,
        observation: &Observation,
        prefix: Option<&ActionPrefix>,
    ) -> Result<ActionChunk, PolicyError> {
        let noise = self.noise(self.client.num_chunks);
        let chunk = self.predict_from_noise(observation, &noise, prefix)?;
        self.client.num_chunks += 1;
        Ok(chunk)
    }

    fn prepare(&mut self, observation: &Observation) -> Result<Prepared<'_, D>, PolicyError> {
        self.check_state(&observation.state)?;
        let frames = self.frames(observation)?;
        let mut state = observation.state.clone();
        normalise(&self.statistics.state, &mut state);
        let prompt = self.prompt_form.text(&observation.prompt, &state);
        let longest_prompt = self.longest_prompt(&observation.prompt)?;
        state.resize(self.model.config.max_state_dim, 0.0);
        state.truncate(self.model.config.state_width());
        let (image_size, image_fit) = (self.model.config.vision.image_size, self.image_fit);
        let session = self.client.prefix_cache.session(
            &self.model,
            &frames,
            &prompt,
            |camera, frame| {
                let CameraOptions { name, crop, .. } = &self.cameras[camera];
                prepare_image(frame, *crop, image_size, image_fit).map_err(|error| PolicyError::Image {
                    camera: name.clone(),
                    error,
                })
            },
            |prompt| {
                Ok(PromptTokens {
                    ids: self.tokenizer.encode(prompt)?,
                    // Other rows would be other work to compile.
                    min_rows: match self.model.device.needs_warm_up() {
                        true => longest_prompt,
                        false => 0,
                    },
                })
            },
        )?;
        Ok((&self.model, session, state, &self.schedules[&self.steps]))
    }

    /// Number of tokens of the longest prompt of a task, encoded once a task; 0 where prompts do not depend on the
    /// state. A task is refused if a rarer state would make its prompt too long while the robot moves.
    fn longest_prompt(&mut self, task: &str) -> Result<usize, PromptError> {
        if let Some((known, tokens)) = &self.client.longest_prompt
            && known == task
        {
            return Ok(*tokens);
        }
        let Some(text) = self.prompt_form.longest_text(task, self.info.state_dim) else {
            return Ok(0);
        };
        let tokens = self.tokenizer.encode(&text)?.len();
        self.client.longest_prompt = Some((task.to_owned(), tokens));
        Ok(tokens)
    }

    fn check_state(&self, state: &[f32]) -> Result<(), PolicyError> {
        if state.len() != self.info.state_dim {
            return Err(PolicyError::StateLength {
                found: state.len(),
                expected: self.info.state_dim,
            });
        }
        match state.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            Some((index, &value)) => Err(PolicyError::State { index, value }),
            None => Ok(()),
        }
    }

    /// The newest frame of every camera, in the checkpoint's order; `None` for an optional camera without
    /// one.
    fn frames<'a>(
        &self,
        observation: &'a Observation,
    ) -> Result<Vec<Option<&'a Arc<RgbImage>>>, PolicyError> {
        let frame = |camera: &CameraOptions| match observation.images.get(&camera.name) {
            None if !camera.is_optional => Err(PolicyError::camera_missing(&camera.name, observation)),
            frame => Ok(frame),
        };
        self.cameras.iter().map(frame).collect()
    }

    /// Converts actions in the robot's units to the model's: relative where the checkpoint's are, normalised,
    /// and padded to `[horizon, max_action_dim]`.
    fn to_model_units(&self, chunk: &ActionChunk, state: &[f32]) -> Vec<f32> {
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

    /// Converts the model's actions `[horizon, max_action_dim]` to the robot's units.
    fn to_robot_units(&self, actions: &[f32], state: &[f32]) -> Result<ActionChunk, PolicyError> {
        let action_dim = self.info.action_dim;
        let mut values = Vec::with_capacity(self.info.action_horizon * action_dim);
        for padded in actions.chunks_exact(self.model.config.max_action_dim) {
            let mut action = padded[..action_dim].to_vec();
            denormalise(&self.statistics.action, &mut action);
            add_state(&mut action, state, &self.statistics.relative);
            values.extend(action);
        }
        PolicyError::expect_finite(&values, action_dim)?;
        Ok(ActionChunk::new(values, action_dim))
    }
}

impl<D: Device> Policy for Pi0Policy<D> {
    fn info(&self) -> &PolicyInfo {
        &self.info
    }

    fn predict(&mut self, observation: &Observation) -> Result<ActionChunk, PolicyError> {
        self.predict_next(observation, None)
    }

    fn predict_after(
        &mut self,
        observation: &Observation,
        prefix: &ActionPrefix,
    ) -> Result<ActionChunk, PolicyError> {
        self.predict_next(observation, Some(prefix))
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
        if !device.needs_warm_up() {
            return Ok(());
        }
        let noise = vec![0.0; config.action_horizon * config.max_action_dim];
        let size = config.vision.image_size as u32;
        // Each way of going on from the chunk before has a trace of its own.
        let action_dim = self.info.action_dim;
        let prefix = |conditioning| ActionPrefix {
            actions: ActionChunk::new(vec![0.0; action_dim], action_dim),
            conditioning,
        };
        let prefixes: Vec<ActionPrefix> = Conditioning::all(config).map(prefix).collect();
        let has_prefixes = config.action_horizon > 1;
        // The first chunk allocates what stays, two more compile and capture all work on it, and the last is
        // as every later one.
        for shade in 0..4 {
            let frame = Arc::new(RgbImage::from_pixel(size, size, Rgb([shade; 3])));
            // Another prompt every time, where it has the state.
            let mut state = vec![0.1 * f32::from(shade); self.info.state_dim];
            denormalise(&self.statistics.state, &mut state);
            let cameras = self.info.cameras.iter();
            let observation = Observation {
                images: cameras.map(|name| (name.clone(), Arc::clone(&frame))).collect(),
                state,
                prompt: prompt.to_owned(),
            };
            self.predict_from_noise(&observation, &noise, None)?;
            for prefix in prefixes.iter().filter(|_| has_prefixes) {
                self.predict_from_noise(&observation, &noise, Some(prefix))?;
            }
        }
        Ok(())
    }

    fn compile_ahead(&mut self, begin: &mut dyn FnMut(&str)) -> Result<(), PolicyError> {
        match self.model.device.needs_warm_up() {
            true => self.run_every_shape(begin),
            false => Ok(()),
        }
    }

    fn select_client(&mut self, client: u64) {
        if client == self.selected_client {
            return;
        }
        let selected = self.other_clients.remove(&client).unwrap_or_else(Client::new);
        let other = mem::replace(&mut self.client, selected);
        self.other_clients.insert(self.selected_client, other);
        self.selected_client = client;
    }

    fn forget_client(&mut self, client: u64) {
        if client == self.selected_client {
            self.client = Client::new();
        }
        self.other_clients.remove(&client);
    }

    fn report(&self) -> PolicyReport {
        PolicyReport {
            device: self.model.device.description(),
            precision: self.model.device.precision().to_owned(),
            reused: Some(self.client.prefix_cache.reused.clone()),
            durations: self.client.prefix_cache.durations,
        }
    }

    fn flow_matching_loss(
        &mut self,
        observation: &Observation,
        recorded: &ActionChunk,
        noise: u64,
    ) -> Result<Vec<[f64; 2]>, PolicyError> {
        let (horizon, width) = (self.info.action_horizon, self.model.config.max_action_dim);
        let joints = self.info.action_dim;
        let found = [recorded.horizon(), recorded.action_dim()];
        let expected = [horizon, joints];
        if found != expected {
            return Err(PolicyError::RecordedActions { found, expected });
        }
        let actions = self.to_model_units(recorded, &observation.state);
        let noise = self.noise(noise);
        let target = target_velocity(&actions, &noise);
        let (model, session, state, schedule) = self.prepare(observation)?;
        let mut denoiser = model.denoiser(session, model.upload_state(&state)?.as_ref())?;
        let steps = EulerSteps::new(schedule.times.len());
        let mut losses = Vec::with_capacity(schedule.times.len());
        for (time, at_time) in steps.times().zip(&schedule.times) {
            let x_t = model.upload_noise(&add_noise(&actions, &noise, time))?;
            let v_t = model.device.read_back(&denoiser.velocity(&x_t, at_time)?)?;
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
