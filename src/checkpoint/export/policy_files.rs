//! LeRobot's files of a policy beside its weights: configuration, processors and statistics.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::tensor_file::{NewTensor, TensorFile};
use crate::checkpoint::config::policy_type;
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::json;
use crate::device::Dtype;
use crate::model::{GemmaConfig, ModelType, Pi0Config, SiglipConfig};

const STATE: &str = "observation.state";
const ACTION: &str = "action";
const TOKENIZER: &str = "google/paligemma-3b-pt-224";

/// Statistics of one feature by LeRobot's names (`mean`, `q01` …).
pub(in crate::checkpoint) type FeatureStatistics = Vec<(&'static str, Vec<f32>)>;

/// A policy of π0 or π0.5 as LeRobot describes it.
pub(in crate::checkpoint) struct PolicyFiles<'a> {
    pub model: &'a Pi0Config,
    pub dtype: Dtype,
    /// Names of the cameras, without `observation.images.`.
    pub cameras: &'a [&'a str],
    pub denoise_steps: usize,
    /// Way in which states and actions are scaled, as LeRobot's `NormalizationMode` names it.
    pub normalisation: &'a str,
    pub epsilon: f64,
    pub state: FeatureStatistics,
    pub action: FeatureStatistics,
    /// Whether each value of an action is relative to the state; empty when none is.
    pub relative: &'a [bool],
}

impl PolicyFiles<'_> {
    /// Writes the files.
    ///
    /// # Errors
    /// When one cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), CheckpointError> {
        json::write(&folder.join("config.json"), &self.config())?;
        if let Some(architecture) = self.architecture() {
            json::write(&folder.join("architecture.json"), &architecture)?;
        }
        self.write_pipeline(folder, "policy_preprocessor", self.steps_before())?;
        self.write_pipeline(folder, "policy_postprocessor", self.steps_after())
    }

    fn config(&self) -> Value {
        let size = self.model.vision.image_size;
        let mut inputs = Map::new();
        inputs.insert(STATE.to_owned(), feature("STATE", json!([self.state_dim()])));
        for camera in self.cameras {
            let image = feature("VISUAL", json!([3, size, size]));
            inputs.insert(format!("observation.images.{camera}"), image);
        }
        json!({
            "type": policy_type(self.model.model_type),
            "n_obs_steps": 1,
            "input_features": inputs,
            "output_features": { ACTION: feature("ACTION", json!([self.action_dim()])) },
            "paligemma_variant": "gemma_2b",
            "action_expert_variant": "gemma_300m",
            "dtype": self.dtype.name(),
            "chunk_size": self.model.action_horizon,
            "n_action_steps": self.model.action_horizon,
            "max_state_dim": self.model.max_state_dim,
            "max_action_dim": self.model.max_action_dim,
            "num_inference_steps": self.denoise_steps,
            "min_period": self.model.min_period,
            "max_period": self.model.max_period,
            "use_relative_actions": self.is_relative(),
            "relative_exclude_joints": self.excluded_joints(),
            "action_feature_names": self.action_names(),
            "image_resolution": [size, size],
            "empty_cameras": 0,
            "normalization_mapping": self.norm_map(),
            "tokenizer_max_length": self.model.max_prompt_tokens,
        })
    }

    /// Sizes, where they are not the published ones, which LeRobot names by variant.
    fn architecture(&self) -> Option<Value> {
        let model = self.model;
        let published = Pi0Config::pi0();
        let is_published = model.vision == SiglipConfig::so400m_14_224()
            && model.vlm == GemmaConfig::gemma_2b()
            && model.expert == GemmaConfig::gemma_300m()
            && model.vocab_size == published.vocab_size;
        (!is_published).then(|| {
            json!({
                "vision": model.vision,
                "vlm": model.vlm,
                "expert": model.expert,
                "vocab_size": model.vocab_size,
            })
        })
    }

    /// The pipeline before the model, in the order of LeRobot 0.6 for each of the two policies.
    fn steps_before(&self) -> Vec<Value> {
        let mut features = self.config()["input_features"].clone();
        features[ACTION] = feature("ACTION", json!([self.action_dim()]));
        let normaliser = json!({
            "registry_name": "normalizer_processor",
            "config": { "eps": self.epsilon, "features": features, "norm_map": self.norm_map() },
        });
        let relative = json!({
            "registry_name": "relative_actions_processor",
            "config": {
                "enabled": self.is_relative(),
                "exclude_joints": self.excluded_joints(),
                "action_names": self.action_names(),
            },
        });
        let tokenizer = json!({
            "registry_name": "tokenizer_processor",
            "config": {
                "max_length": self.model.max_prompt_tokens,
                "task_key": "task",
                "padding_side": "right",
                "padding": "max_length",
                "truncation": true,
                "tokenizer_name": TOKENIZER,
            },
        });
        let mut steps = vec![
            json!({ "registry_name": "rename_observations_processor", "config": { "rename_map": {} } }),
            json!({ "registry_name": "to_batch_processor", "config": {} }),
        ];
        steps.extend(if self.model.model_type == ModelType::Pi05 {
            let state =
                json!({ "registry_name": "pi05_prepare_state_tokenizer_processor_step", "config": {} });
            [relative, normaliser, state, tokenizer, device()]
        } else {
            let newline = json!({ "registry_name": "pi0_new_line_processor", "config": {} });
            [newline, tokenizer, device(), relative, normaliser]
        });
        steps
    }

    fn steps_after(&self) -> Vec<Value> {
        let features = json!({ ACTION: feature("ACTION", json!([self.action_dim()])) });
        vec![
            json!({
                "registry_name": "unnormalizer_processor",
                "config": { "eps": self.epsilon, "features": features, "norm_map": self.norm_map() },
            }),
            json!({ "registry_name": "absolute_actions_processor", "config": { "enabled": self.is_relative() } }),
            device(),
        ]
    }

    /// Writes a pipeline, and the statistics beside it.
    fn write_pipeline(
        &self,
        folder: &Path,
        name: &str,
        mut steps: Vec<Value>,
    ) -> Result<(), CheckpointError> {
        for (index, step) in steps.iter_mut().enumerate() {
            let registry_name = step["registry_name"].as_str().unwrap_or_default();
            if matches!(registry_name, "normalizer_processor" | "unnormalizer_processor") {
                let file = format!("{name}_step_{index}_{registry_name}.safetensors");
                self.write_statistics(&folder.join(&file))?;
                step["state_file"] = Value::String(file);
            }
        }
        let path = folder.join(format!("{name}.json"));
        json::write(&path, &json!({ "name": name, "steps": steps }))
    }

    fn write_statistics(&self, path: &Path) -> Result<(), CheckpointError> {
        let statistics = |feature, statistics: &FeatureStatistics| {
            let named = statistics
                .iter()
                .map(|(name, values)| (format!("{feature}.{name}"), values.clone()));
            named.collect::<Vec<_>>()
        };
        let all = [statistics(STATE, &self.state), statistics(ACTION, &self.action)].concat();
        let new = |(name, values): &(String, Vec<f32>)| NewTensor {
            name: name.clone(),
            dtype: Dtype::F32,
            shape: vec![values.len()],
        };
        let mut file = TensorFile::create(path, all.iter().map(new).collect())?;
        for (name, values) in &all {
            file.append(name, values)?;
        }
        file.finish()
    }

    fn state_dim(&self) -> usize {
        self.state[0].1.len()
    }

    fn action_dim(&self) -> usize {
        self.action[0].1.len()
    }

    fn norm_map(&self) -> Value {
        json!({ "VISUAL": "IDENTITY", "STATE": self.normalisation, "ACTION": self.normalisation })
    }

    fn is_relative(&self) -> bool {
        self.relative.contains(&true)
    }

    fn excluded_joints(&self) -> Value {
        json!(if self.is_relative() {
            &["absolute"][..]
        } else {
            &["gripper"][..]
        })
    }

    /// Names of the actions, by which LeRobot tells the absolute ones; none when all are.
    fn action_names(&self) -> Value {
        if !self.is_relative() {
            return Value::Null;
        }
        let kind = |index: usize| match self.relative.get(index) {
            Some(true) => "relative",
            _ => "absolute",
        };
        (0..self.action_dim())
            .map(|index| format!("{}_{index}", kind(index)))
            .collect()
    }
}

fn feature(kind: &str, shape: Value) -> Value {
    json!({ "type": kind, "shape": shape })
}

fn device() -> Value {
    json!({ "registry_name": "device_processor", "config": { "device": "cpu", "float_dtype": null } })
}
