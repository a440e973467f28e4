//! Configuration of a checkpoint: LeRobot's `config.json`, or the one that openpi's conversion writes.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::CheckpointError;
use super::image_fit::{ImageFit, ImageWriter};
use super::options::CheckpointOptions;
use super::prompt_form::{PromptForm, StateInPrompt};
use super::{before_0_4, json, openpi_training, other_policy};
use crate::model::{GemmaConfig, ModelType, Pi0Config, SiglipConfig};

/// Cameras of every openpi π0, in the model's order (openpi `models/model.py`, `IMAGE_KEYS`).
pub(super) const OPENPI_CAMERAS: [&str; 3] = ["base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb"];
/// Euler steps of openpi's `sample_actions`; its configuration does not state them.
pub(super) const OPENPI_DENOISE_STEPS: usize = 10;

/// LeRobot's name of a policy (`type` of its configuration).
pub(super) fn policy_type(model_type: ModelType) -> &'static str {
    match model_type {
        ModelType::Pi0 => "pi0",
        ModelType::Pi05 => "pi05",
    }
}

/// Configuration of a checkpoint's policy.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyConfig {
    /// Sizes of the network.
    pub model: Pi0Config,
    /// Euler steps from noise to actions.
    pub denoise_steps: usize,
    /// Names of the cameras in the model's order, without `observation.images.`. Cameras that were always
    /// empty in training (`empty_camera_0` …) are not among them.
    pub cameras: Vec<String>,
    /// Names that cameras had in the data that the policy was trained with, by their names in the checkpoint,
    /// where the two differ.
    pub recorded_cameras: BTreeMap<String, String>,
    /// Width and height of the images that the policy was trained with, by camera; without those that have the size of the
    /// network's own square, which base models and conversions name whatever the data had.
    pub image_sizes: BTreeMap<String, [usize; 2]>,
    /// Names of the values of an action; empty where the checkpoint has none.
    pub action_names: Vec<String>,
    /// How images become the square that the vision tower takes.
    pub image_fit: ImageFit,
    /// Values of a state and of an action before padding, or the padded ones where the configuration has no
    /// others.
    pub(super) dims: Dims,
    pub(super) writer: Writer,
    /// Use of the state in π0.5's prompt.
    state_in_prompt: StateInPrompt,
}

/// Program that wrote the checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Writer {
    LeRobot {
        /// Mode of each kind of feature (`normalization_mapping`), for checkpoints without processors.
        normalisation: Map<String, Value>,
    },
    Openpi,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dims {
    pub state: usize,
    pub action: usize,
}

/// Sizes other than those of the published variants, in `architecture.json` beside `config.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Architecture {
    vision: SiglipConfig,
    vlm: GemmaConfig,
    expert: GemmaConfig,
    vocab_size: usize,
}

#[derive(Deserialize)]
#[serde(default)]
struct LeRobotConfig {
    paligemma_variant: String,
    action_expert_variant: String,
    chunk_size: usize,
    n_action_steps: usize,
    max_state_dim: usize,
    max_action_dim: usize,
    num_inference_steps: usize,
    tokenizer_max_length: Option<usize>,
    image_resolution: [usize; 2],
    min_period: f64,
    max_period: f64,
    input_features: Map<String, Value>,
    output_features: Map<String, Value>,
    empty_cameras: usize,
    normalization_mapping: Map<String, Value>,
    action_feature_names: Option<Vec<String>>,
    rtc_training_max_delay: usize,
}

/// Defaults of LeRobot's `PI0Config` and `PI05Config`.
impl Default for LeRobotConfig {
    fn default() -> Self {
        Self {
            paligemma_variant: "gemma_2b".to_owned(),
            action_expert_variant: "gemma_300m".to_owned(),
            chunk_size: 50,
            n_action_steps: 50,
            max_state_dim: 32,
            max_action_dim: 32,
            num_inference_steps: 10,
            tokenizer_max_length: None,
            image_resolution: [224, 224],
            min_period: 4e-3,
            max_period: 4.0,
            input_features: Map::new(),
            output_features: Map::new(),
            empty_cameras: 0,
            normalization_mapping: Map::new(),
            action_feature_names: None,
            rtc_training_max_delay: 0,
        }
    }
}

#[derive(Deserialize)]
struct OpenpiConfig {
    action_dim: usize,
    /// openpi's own PyTorch training stores none.
    action_horizon: Option<usize>,
    paligemma_variant: String,
    action_expert_variant: String,
}

#[derive(Deserialize)]
struct Feature {
    #[serde(rename = "type")]
    kind: String,
    shape: Vec<usize>,
}

impl PolicyConfig {
    /// Reads `config.json` and, if it exists, `architecture.json`.
    ///
    /// # Errors
    /// When a file is missing or no JSON, the checkpoint is of another policy, or values are impossible or do not
    /// fit the options: all of them at once.
    pub fn read(folder: &Path, options: &CheckpointOptions) -> Result<Self, CheckpointError> {
        let path = folder.join("config.json");
        let value: Value = match openpi_training::config(folder)? {
            Some(value) => value,
            None => json::read(&path)?,
        };
        let architecture_path = folder.join("architecture.json");
        let architecture = if architecture_path.exists() {
            Some(json::read(&architecture_path)?)
        } else {
            None
        };
        other_policy::refuse(folder, &value)?;
        let mut problems = Vec::new();
        let config = if let Some(policy) = value.get("type") {
            let model_type = match policy == policy_type(ModelType::Pi05) {
                true => ModelType::Pi05,
                false => ModelType::Pi0,
            };
            let mut keys: Map<String, Value> = json::parse(&path, value)?;
            let is_before_0_4 = before_0_4::rename_keys(&mut keys, &mut problems);
            let writer = ImageWriter::of_lerobot(&keys, is_before_0_4);
            for parameter in options.openpi.given() {
                problems.push(format!(
                    "the parameter {parameter} is set, which is for folders of openpi: LeRobot's have it themselves"
                ));
            }
            let config = json::parse(&path, Value::Object(keys))?;
            let mut config = Self::from_lerobot(config, model_type, architecture, &mut problems);
            config.image_fit = writer.image_fit(&path, options.image_bars, options.resize);
            config.state_in_prompt = writer.state_in_prompt();
            config
        } else if value.get("action_horizon").is_some() {
            let horizon = options.openpi.action_horizon;
            let mut config =
                Self::from_openpi(json::parse(&path, value)?, horizon, architecture, &mut problems);
            config.image_fit = ImageWriter::Openpi.image_fit(&path, options.image_bars, options.resize);
            config
        } else {
            return Err(CheckpointError::File {
                path,
                problem: "neither LeRobot's configuration (it has a \"type\") nor openpi's (it has an \
                          \"action_horizon\")"
                    .to_owned(),
            });
        };
        let mut config = config;
        config.state_in_prompt = options.state_in_prompt.unwrap_or(config.state_in_prompt);
        problems.extend(config.model.problems());
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(CheckpointError::Config { path, problems })
        }
    }

    fn from_lerobot(
        config: LeRobotConfig,
        model_type: ModelType,
        architecture: Option<Architecture>,
        problems: &mut Vec<String>,
    ) -> Self {
        let [height, width] = config.image_resolution;
        if height != width {
            problems.push(format!(
                "image_resolution is [{height}, {width}], expected a square"
            ));
        }
        let architecture = architecture.unwrap_or_else(|| {
            let mut published = published(&config.paligemma_variant, &config.action_expert_variant, problems);
            published.vision.image_size = width;
            published
        });
        if architecture.vision.image_size != width {
            problems.push(format!(
                "image_resolution is {width}, but architecture.json's vision.image_size is {}",
                architecture.vision.image_size
            ));
        }
        if config.num_inference_steps == 0 {
            problems.push("num_inference_steps is 0, expected at least 1".to_owned());
        }
        if config.n_action_steps == 0 || config.n_action_steps > config.chunk_size {
            problems.push(format!(
                "n_action_steps is {}, expected 1 to chunk_size, {}",
                config.n_action_steps, config.chunk_size
            ));
        }

        let mut dims = Dims {
            state: config.max_state_dim,
            action: config.max_action_dim,
        };
        let mut cameras = Vec::new();
        let mut image_sizes = BTreeMap::new();
        for (name, feature) in features(&config.input_features, "input_features", problems) {
            match feature.kind.as_str() {
                "VISUAL" => {
                    cameras.push(camera_name(name));
                    if let [_, height, image_width] = feature.shape[..]
                        && [height, image_width] != [width; 2]
                    {
                        image_sizes.insert(camera_name(name), [image_width, height]);
                    }
                }
                "STATE" if name == "observation.state" => {
                    dims.state = length(name, &feature, config.max_state_dim, problems);
                }
                _ => {}
            }
        }
        for (name, feature) in features(&config.output_features, "output_features", problems) {
            if feature.kind == "ACTION" && name == "action" {
                dims.action = length(name, &feature, config.max_action_dim, problems);
            }
        }
        let is_empty = |camera: &String| {
            (0..config.empty_cameras).any(|index| *camera == format!("empty_camera_{index}"))
        };
        cameras.retain(|camera| !is_empty(camera));
        if cameras.is_empty() {
            problems.push("input_features has no camera (a feature of type VISUAL)".to_owned());
        }

        Self {
            model: Pi0Config {
                max_state_dim: config.max_state_dim,
                max_action_dim: config.max_action_dim,
                action_horizon: config.chunk_size,
                max_prompt_tokens: config
                    .tokenizer_max_length
                    .unwrap_or(Pi0Config::published(model_type).max_prompt_tokens),
                min_period: config.min_period,
                max_period: config.max_period,
                rtc_training_max_delay: config.rtc_training_max_delay,
                ..architecture.model(model_type)
            },
            denoise_steps: config.num_inference_steps,
            cameras,
            recorded_cameras: BTreeMap::new(),
            image_sizes,
            action_names: config.action_feature_names.unwrap_or_default(),
            image_fit: ImageFit::default(),
            state_in_prompt: StateInPrompt::Values,
            dims,
            writer: Writer::LeRobot {
                normalisation: config.normalization_mapping,
            },
        }
    }

    fn from_openpi(
        config: OpenpiConfig,
        chosen_horizon: Option<usize>,
        architecture: Option<Architecture>,
        problems: &mut Vec<String>,
    ) -> Self {
        let architecture = architecture
            .unwrap_or_else(|| published(&config.paligemma_variant, &config.action_expert_variant, problems));
        if let (Some(stored), Some(chosen)) = (config.action_horizon, chosen_horizon)
            && stored != chosen
        {
            problems.push(format!(
                "action_horizon is {stored}, but openpi_action_horizon {chosen}: the parameter is for folders without \
                 config.json"
            ));
        }
        let published = architecture.model(ModelType::Pi0);
        Self {
            model: Pi0Config {
                max_state_dim: config.action_dim,
                max_action_dim: config.action_dim,
                action_horizon: config
                    .action_horizon
                    .or(chosen_horizon)
                    .unwrap_or(published.action_horizon),
                ..published
            },
            denoise_steps: OPENPI_DENOISE_STEPS,
            cameras: OPENPI_CAMERAS.map(str::to_owned).to_vec(),
            recorded_cameras: BTreeMap::new(),
            image_sizes: BTreeMap::new(),
            action_names: Vec::new(),
            image_fit: ImageFit::default(),
            state_in_prompt: StateInPrompt::Values,
            dims: Dims {
                state: config.action_dim,
                action: config.action_dim,
            },
            writer: Writer::Openpi,
        }
    }

    /// Sets the network that openpi's tensors are of, and its published limit of prompts: its configuration
    /// has neither.
    pub(super) fn set_openpi_model_type(&mut self, model_type: ModelType) {
        self.model.model_type = model_type;
        self.model.max_prompt_tokens = Pi0Config::published(model_type).max_prompt_tokens;
    }

    /// Whether openpi wrote the checkpoint, whose folder does not tell which actions are relative to the state.
    pub fn is_openpi(&self) -> bool {
        matches!(self.writer, Writer::Openpi)
    }

    /// Text around the task.
    pub fn prompt_form(&self) -> PromptForm {
        match (self.model.model_type, &self.writer) {
            (ModelType::Pi0, Writer::LeRobot { .. }) => PromptForm::Task,
            (ModelType::Pi0, Writer::Openpi) => PromptForm::CleanedTask,
            (ModelType::Pi05, _) => PromptForm::pi05(self.state_in_prompt, self.model.max_state_dim),
        }
    }
}

impl Architecture {
    /// A network of these sizes, otherwise as published.
    fn model(self, model_type: ModelType) -> Pi0Config {
        Pi0Config {
            vision: self.vision,
            vlm: self.vlm,
            expert: self.expert,
            vocab_size: self.vocab_size,
            ..Pi0Config::published(model_type)
        }
    }
}

/// Published sizes of the named variants; an unknown name is a problem.
fn published(vlm: &str, expert: &str, problems: &mut Vec<String>) -> Architecture {
    let mut variant = |key: &str, name: &str| match name {
        "gemma_2b" => GemmaConfig::gemma_2b(),
        "gemma_300m" => GemmaConfig::gemma_300m(),
        _ => {
            problems.push(format!(
                "{key} is {name:?}, expected \"gemma_2b\" or \"gemma_300m\""
            ));
            GemmaConfig::gemma_2b()
        }
    };
    Architecture {
        vlm: variant("paligemma_variant", vlm),
        expert: variant("action_expert_variant", expert),
        vision: SiglipConfig::so400m_14_224(),
        vocab_size: Pi0Config::pi0().vocab_size,
    }
}

fn features<'a>(
    map: &'a Map<String, Value>,
    key: &str,
    problems: &mut Vec<String>,
) -> Vec<(&'a str, Feature)> {
    let mut features = Vec::new();
    for (name, value) in map {
        match Feature::deserialize(value) {
            Ok(feature) => features.push((name.as_str(), feature)),
            Err(error) => problems.push(format!("{key}.{name}: {error}")),
        }
    }
    features
}

/// Length of a vector feature.
fn length(name: &str, feature: &Feature, max: usize, problems: &mut Vec<String>) -> usize {
    match feature.shape[..] {
        [length] if (1..=max).contains(&length) => length,
        _ => {
            problems.push(format!(
                "{name} has shape {:?}, expected one size from 1 to {max}",
                feature.shape
            ));
            max
        }
    }
}

/// Name of a camera, from that of its feature.
pub(super) fn camera_name(feature: &str) -> String {
    ["observation.images.", "observation."]
        .iter()
        .find_map(|prefix| feature.strip_prefix(prefix))
        .unwrap_or(feature)
        .to_owned()
}
