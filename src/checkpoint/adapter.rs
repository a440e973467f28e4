//! Adapters of peft: their configuration, the kinds that can be merged, and the folder of their base.

use std::path::{Path, PathBuf};

use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::CheckpointError;
use super::named::folder_of;
use super::{folder, json};

const CONFIG: &str = "adapter_config.json";

/// Values of `init_lora_weights` that leave the base's weights as they are.
const PLAIN_STARTS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// Settings of peft's `LoraConfig` that change more than the weights' sum, or weights of which nothing is known
/// here.
const OTHER_FORMS: [(&str, &str); 14] = [
    ("use_dora", "DoRA"),
    ("lora_bias", "LoRA with biases (lora_bias)"),
    ("use_qalora", "QALoRA"),
    ("use_bdlora", "BD-LoRA"),
    ("arrow_config", "Arrow"),
    ("kasa_config", "KaSA"),
    ("monteclora_config", "MonteCLoRA"),
    ("velora_config", "VeLoRA"),
    ("alora_invocation_tokens", "activated LoRA"),
    ("layer_replication", "LoRA with layer_replication"),
    ("target_parameters", "LoRA with target_parameters"),
    ("trainable_token_indices", "LoRA with trainable_token_indices"),
    ("ensure_weight_tying", "LoRA with ensure_weight_tying"),
    ("megatron_config", "LoRA with megatron_config"),
];

/// A LoRA adapter (Hu et al. 2021), which changes the weights of another checkpoint.
#[derive(Debug)]
pub(super) struct Adapter {
    folder: PathBuf,
    /// Name or path of the base, as the training had it.
    base: String,
    config: LoraConfig,
}

/// What scales a low-rank change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LowRankScale {
    pub rank: usize,
    /// Factor of the product of the two matrices.
    pub scale: f32,
}

/// peft's `LoraConfig`, with its defaults.
#[derive(Debug, Default, Deserialize)]
struct LoraConfig {
    base_model_name_or_path: Option<String>,
    r: Option<usize>,
    lora_alpha: Option<f64>,
    use_rslora: Option<bool>,
    rank_pattern: Option<Map<String, Value>>,
    alpha_pattern: Option<Map<String, Value>>,
    modules_to_save: Option<Vec<String>>,
}

const DEFAULT_RANK: usize = 8;
const DEFAULT_ALPHA: f64 = 8.0;

impl Adapter {
    /// Finds the adapter of a checkpoint's folder; `None` where the folder has whole weights. An
    /// `adapter_config.json` beside merged weights, without `use_peft` in their configuration, does not count.
    ///
    /// # Errors
    /// When the adapter is of a kind that cannot be merged, or a file of its configuration cannot be read.
    pub fn find(folder: &Path) -> Result<Option<Self>, CheckpointError> {
        let has = |file: &str| folder.join(file).exists();
        let (path, config_path) = (folder.join(CONFIG), folder.join("config.json"));
        if !path.exists() {
            return Ok(None);
        }
        let uses_adapter = config_path.exists() && json::is_set(&json::read(&config_path)?, "use_peft");
        if !uses_adapter && (has("model.safetensors") || has("model.safetensors.index.json")) {
            return Ok(None);
        }
        let value: Value = json::read(&path)?;
        let other = other_form(&value);
        let config: LoraConfig = json::parse(&path, value)?;
        let base = config.base_model_name_or_path.clone().unwrap_or_default();
        match other {
            None => Ok(Some(Self {
                folder: folder.to_owned(),
                base,
                config,
            })),
            Some(kind) => Err(CheckpointError::Adapter {
                path: folder.to_owned(),
                adapter: format!("({kind}) of the base {base:?}"),
                problem: "of which nothing but plain LoRA can be merged here; load it on its base in Python, merge it \
                          with peft's merge_and_unload() and give the folder of the merged policy"
                    .to_owned(),
            }),
        }
    }

    /// Finds the folder of the checkpoint that the adapter changes: `given`, or else what the adapter names: a
    /// path, also as seen from the adapter's folder, or a model of the Hugging Face Hub.
    ///
    /// # Errors
    /// When there is no such folder and no such model, or it is an adapter itself.
    pub fn base_folder(&self, given: Option<&Path>) -> Result<PathBuf, CheckpointError> {
        let beside = self.folder.join(&self.base);
        let found = match given {
            Some(given) => folder_of(given).map_err(|error| format!("checkpoint_base: {error}")),
            None if self.base.is_empty() => Err("set the parameter checkpoint_base to the base's folder".to_owned()),
            None if beside.is_dir() && !Path::new(&self.base).is_dir() => Ok(beside),
            None => folder_of(&self.base).map_err(|error| {
                format!(
                    "which is not to be had: {error}; copy the base's folder here and set the parameter checkpoint_base to it"
                )
            }),
        };
        let base = folder::of_policy(&found.map_err(|problem| self.error(problem))?);
        if base.join(CONFIG).exists() && !base.join("model.safetensors").exists() {
            return Err(self.error(format!(
                "whose folder {} is an adapter too, expected whole weights; merge that one first",
                base.display()
            )));
        }
        Ok(base)
    }

    /// Folder of the adapter.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Modules whose weights are stored whole.
    pub fn modules_to_save(&self) -> &[String] {
        self.config.modules_to_save.as_deref().unwrap_or_default()
    }

    /// Rank and scale of the change of a module: those of the first pattern that the end of its path matches, as
    /// in peft's `get_pattern_key`, else those of all modules.
    ///
    /// # Errors
    /// A sentence about a pattern or a number that cannot be used.
    pub fn low_rank(&self, module: &str) -> Result<LowRankScale, String> {
        let config = &self.config;
        let rank = match pattern_value(config.rank_pattern.as_ref(), module)? {
            Some(rank) => rank.as_u64().map(|rank| rank as usize).ok_or_else(|| {
                format!("rank_pattern gives {module} the rank {rank}, expected a whole number")
            })?,
            None => config.r.unwrap_or(DEFAULT_RANK),
        };
        let alpha = match pattern_value(config.alpha_pattern.as_ref(), module)? {
            Some(alpha) => alpha.as_f64().ok_or_else(|| {
                format!("alpha_pattern gives {module} the alpha {alpha}, expected a number")
            })?,
            None => config.lora_alpha.unwrap_or(DEFAULT_ALPHA),
        };
        if rank == 0 {
            return Err(format!("{module} has the rank 0, expected at least 1"));
        }
        let divisor = match config.use_rslora {
            Some(true) => (rank as f64).sqrt(),
            _ => rank as f64,
        };
        Ok(LowRankScale {
            rank,
            scale: (alpha / divisor) as f32,
        })
    }

    fn error(&self, problem: String) -> CheckpointError {
        CheckpointError::Adapter {
            path: self.folder.clone(),
            adapter: format!("(LoRA) of the base {:?}", self.base),
            problem,
        }
    }
}

/// Name of an adapter's kind, where it is not plain LoRA.
fn other_form(config: &Value) -> Option<String> {
    let kind = config
        .get("peft_type")
        .and_then(Value::as_str)
        .unwrap_or("unknown");
    if kind != "LORA" {
        return Some(kind.to_owned());
    }
    let is_used = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(values) => !values.is_empty(),
        Value::Object(values) => !values.is_empty(),
        _ => true,
    };
    let named = OTHER_FORMS
        .iter()
        .find(|(key, _)| config.get(key).is_some_and(is_used));
    if let Some((_, name)) = named {
        return Some((*name).to_owned());
    }
    match config.get("init_lora_weights") {
        Some(Value::String(start)) if !PLAIN_STARTS.contains(&start.as_str()) => Some(format!(
            "LoRA with init_lora_weights {start:?}, which changes the base itself"
        )),
        _ => None,
    }
}

/// Value of the first pattern that the end of a module's path matches.
fn pattern_value<'a>(
    patterns: Option<&'a Map<String, Value>>,
    module: &str,
) -> Result<Option<&'a Value>, String> {
    for (pattern, value) in patterns.into_iter().flatten() {
        let anchored = Regex::new(&format!(r"^(?:.*\.)?(?:{pattern})$")).map_err(|error| {
            format!("the pattern {pattern:?} of adapter_config.json cannot be used: {error}")
        })?;
        if anchored.is_match(module) {
            return Ok(Some(value));
        }
    }
    Ok(None)
}
