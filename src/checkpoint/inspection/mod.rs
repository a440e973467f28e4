//! What a folder is, told without loading it, whether or not the node takes it.

mod statistics;
mod text;
mod version;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::config::{OPENPI_CAMERAS, OPENPI_DENOISE_STEPS, policy_type};
use super::image_fit::ImageWriter;
use super::orbax;
use super::tensor_files::TensorFiles;
use super::{Checkpoint, ImageBars, folder, json, names};
use crate::model::{ModelType, Pi0Config};
pub use statistics::InspectedStatistics;

/// Text of π0.5's prompts.
const PI05_PROMPT: &str = "Task: …, State: digits of the state;\\nAction: ";

/// What a folder is and has. Lists are sentences or names, in the order in which they are to be read.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Inspection {
    /// Folder of the policy, within that of a training.
    pub folder: PathBuf,
    /// Program that wrote it, with the version as far as it can be told.
    pub writer: String,
    /// Type of the policy, as LeRobot names it; `None` where it cannot be told.
    pub policy: Option<String>,
    /// Stored values, by their type.
    pub parameters: BTreeMap<String, usize>,
    /// Bytes of the stored values.
    pub weight_bytes: usize,
    /// Names of the cameras in the model's order.
    pub cameras: Vec<String>,
    /// Values of a state and of an action in the configuration, which may be the padded ones.
    pub configured_dims: [Option<u64>; 2],
    /// Names of the values of an action, where there are any.
    pub action_names: Vec<String>,
    /// Statistics of states and actions.
    pub statistics: Vec<InspectedStatistics>,
    /// Text that the policy was trained on.
    pub prompt: Option<&'static str>,
    /// Tokens that a prompt may have.
    pub max_prompt_tokens: Option<u64>,
    /// Actions in a chunk.
    pub action_horizon: Option<u64>,
    /// Euler steps from noise to actions.
    pub denoise_steps: Option<u64>,
    /// Whether the folder has a tokenizer.
    pub has_tokenizer: bool,
    /// What the folder does not tell, and what is taken for it.
    pub assumed: Vec<String>,
    /// What is to be added to the folder.
    pub missing: Vec<String>,
    /// Why the node does not take the folder; `None` if it does.
    pub refusal: Option<String>,
}

/// Inspects a folder. Nothing of it needs to be whole.
pub fn inspect(folder: &Path) -> Inspection {
    let folder = folder::of_policy(folder);
    let mut inspection = Inspection {
        refusal: Checkpoint::open(&folder).err().map(|error| error.to_string()),
        has_tokenizer: folder.join("tokenizer.json").exists(),
        statistics: statistics::read(&folder),
        ..Inspection::default()
    };
    if let Ok(arrays) = orbax::stored_arrays(&folder) {
        inspection.take_orbax(&folder, &arrays);
    } else {
        let config = json::read(&folder.join("config.json")).unwrap_or(Value::Null);
        let stored = inspection.take_weights(&folder);
        inspection.take_config(&folder, &config, stored);
        inspection.take_adapter(&folder);
    }
    inspection.note_missing(&folder);
    inspection.folder = folder;
    inspection
}

impl Inspection {
    fn take_orbax(&mut self, folder: &Path, arrays: &orbax::StoredArrays) {
        self.writer = "openpi, its JAX training (orbax)".to_owned();
        self.policy = Some(policy_type(arrays.model_type).to_owned());
        for (dtype, values) in &arrays.values {
            *self.parameters.entry(dtype.name().to_owned()).or_default() += values;
            self.weight_bytes += dtype.size() * values;
        }
        self.cameras = OPENPI_CAMERAS.map(str::to_owned).to_vec();
        if self.statistics.is_empty() {
            // The folder is params, and the assets are beside it.
            self.statistics = folder.parent().map(statistics::read).unwrap_or_default();
        }
        if arrays.has_adapters {
            self.assumed.push("LoRA with openpi's alpha, the rank".to_owned());
        }
        self.assume_openpi(arrays.model_type);
    }

    /// Notes what openpi's training configuration has and its folders have not.
    fn assume_openpi(&mut self, model_type: ModelType) {
        let published = Pi0Config::published(model_type);
        self.prompt = Some(match model_type {
            ModelType::Pi05 => PI05_PROMPT,
            ModelType::Pi0 => "the task, cleaned, and a newline",
        });
        self.denoise_steps = Some(OPENPI_DENOISE_STEPS as u64);
        self.max_prompt_tokens = Some(published.max_prompt_tokens as u64);
        self.assumed.push("actions are absolute".to_owned());
        self.assumed
            .push(format!("prompts of up to {} tokens", published.max_prompt_tokens));
        self.assumed
            .push(format!("{OPENPI_DENOISE_STEPS} denoising steps"));
        self.assumed.push(match model_type {
            ModelType::Pi05 => {
                "states and actions are scaled by quantiles, and the state is in the prompt".to_owned()
            }
            ModelType::Pi0 => "states and actions are scaled by mean and standard deviation".to_owned(),
        });
        if self.action_horizon.is_none() {
            let horizon = published.action_horizon;
            self.action_horizon = Some(horizon as u64);
            self.assumed.push(format!("{horizon} actions in a chunk"));
        }
    }

    /// Takes the sizes of the weights; their network, where there are any.
    fn take_weights(&mut self, folder: &Path) -> Option<ModelType> {
        let files = TensorFiles::open_model(folder);
        let files = files.or_else(|_| TensorFiles::open(&folder.join("adapter_model.safetensors")));
        let files = files.ok()?;
        for (_, tensor) in files.iter() {
            let values: usize = tensor.shape.iter().product();
            let name = match tensor.float_type() {
                Some(dtype) => dtype.name().to_owned(),
                None => format!("{:?}", tensor.dtype),
            };
            *self.parameters.entry(name).or_default() += values;
            self.weight_bytes += values * tensor.dtype.bitsize() / 8;
        }
        Some(names::model_type(files.iter().map(|(name, _)| name)))
    }

    /// Takes the configuration; openpi's does not tell the network, which is that of the `stored` weights.
    fn take_config(&mut self, folder: &Path, config: &Value, stored: Option<ModelType>) {
        let text = |key: &str| config.get(key).and_then(Value::as_str).map(str::to_owned);
        let number = |key: &str| config.get(key).and_then(Value::as_u64);
        let Some(policy) = text("type") else {
            // Only π0.5 is known by its tensors alone.
            let is_known = stored == Some(ModelType::Pi05);
            self.policy = is_known.then(|| policy_type(ModelType::Pi05).to_owned());
            let is_openpi = config.get("action_horizon").is_some();
            let has_weights = !self.parameters.is_empty();
            self.writer = match text("model_type") {
                Some(class) => format!("transformers, its class {class}"),
                None if is_openpi => "openpi, its conversion to PyTorch".to_owned(),
                None if has_weights && folder.join("assets").is_dir() => {
                    "openpi, its PyTorch training".to_owned()
                }
                None => "unknown".to_owned(),
            };
            if self.writer.starts_with("openpi") {
                let model_type = stored.unwrap_or_default();
                self.policy = Some(policy_type(model_type).to_owned());
                self.cameras = OPENPI_CAMERAS.map(str::to_owned).to_vec();
                self.action_horizon = number("action_horizon");
                self.configured_dims = [number("action_dim"); 2];
                self.assume_openpi(model_type);
            }
            return;
        };
        let is_pi05 = policy == policy_type(ModelType::Pi05);
        self.writer = format!("LeRobot {}", version::of(config));
        let inputs = config.get("input_features").and_then(Value::as_object);
        let cameras = inputs.into_iter().flatten();
        let cameras = cameras.filter(|(_, feature)| feature["type"] == "VISUAL");
        let name = |name: &String| {
            name.trim_start_matches("observation.")
                .trim_start_matches("images.")
                .to_owned()
        };
        self.cameras = cameras.map(|(feature, _)| name(feature)).collect();
        self.configured_dims = [
            config["input_features"]["observation.state"]["shape"][0].as_u64(),
            config["output_features"]["action"]["shape"][0].as_u64(),
        ];
        let names = config.get("action_feature_names").and_then(Value::as_array);
        let names = names.into_iter().flatten().filter_map(Value::as_str);
        self.action_names = names.map(str::to_owned).collect();
        self.action_horizon = number("chunk_size");
        self.denoise_steps = number("num_inference_steps").or(number("num_steps"));
        self.max_prompt_tokens = prompt_limit(folder).or(number("tokenizer_max_length"));
        self.prompt = match policy.as_str() {
            "pi0" => Some("the task and a newline"),
            "pi05" => Some(PI05_PROMPT),
            _ => None,
        };
        if version::of(config) != "0.3" && version::is_before_0_5_1(config) {
            let keys = config.as_object().cloned().unwrap_or_default();
            self.assumed.push(match ImageWriter::of_lerobot(&keys, false).bars() {
                ImageBars::BelowBlack => "bars beside images that are no squares are −3, as in LeRobot 0.4",
                ImageBars::Black => "bars beside images that are no squares are black (−1); LeRobot 0.4.3 and 0.4.4 trained with −3",
            }
            .to_owned());
            if is_pi05 {
                self.assumed.push(
                    "the state in the prompt is padded to its configured length, as in LeRobot 0.4"
                        .to_owned(),
                );
            }
        }
        self.policy = Some(policy);
    }

    fn take_adapter(&mut self, folder: &Path) {
        let Ok(adapter) = json::read::<Value>(&folder.join("adapter_config.json")) else {
            return;
        };
        let text = |key: &str| adapter[key].as_str().unwrap_or("unknown").to_owned();
        self.writer = format!("{}, an adapter of peft ({})", self.writer, text("peft_type"));
        self.assumed
            .push(format!("its base is {}", text("base_model_name_or_path")));
    }

    fn note_missing(&mut self, folder: &Path) {
        if self.parameters.is_empty() {
            self.missing.push("weights".to_owned());
        }
        if !self.has_tokenizer {
            self.missing
                .push("tokenizer.json of google/paligemma-3b-pt-224".to_owned());
        }
        let is_openpi = self.writer.starts_with("openpi");
        if is_openpi && self.statistics.is_empty() {
            self.missing
                .push("assets/<robot>/norm_stats.json, the statistics".to_owned());
        }
        if !is_openpi
            && self
                .statistics
                .iter()
                .all(|statistics| statistics.length.is_none())
        {
            self.missing.push("normalisation statistics".to_owned());
        }
        if self.writer == "unknown" && !folder.join("config.json").exists() {
            self.missing.push("config.json".to_owned());
        }
    }
}

/// Limit of the tokenizer's step, which is the one that counts.
fn prompt_limit(folder: &Path) -> Option<u64> {
    let pipeline: Value = json::read(&folder.join("policy_preprocessor.json")).ok()?;
    let steps = pipeline["steps"].as_array()?;
    steps
        .iter()
        .find_map(|step| step["config"]["max_length"].as_u64())
}
