//! Folders that are no complete checkpoint of π0, by their kind.

use std::path::Path;

use serde_json::Value;

use super::error::CheckpointError;
use super::json;

/// Tells what to do with a checkpoint of π0.5.
pub(super) const PI05_ADVICE: &str = "π0.5 is not supported, train or choose a policy of the type pi0";

/// Refuses an adapter without the weights that it adapts.
///
/// # Errors
/// When the folder is an adapter, or a file of its configuration cannot be read.
pub(super) fn refuse_adapter(folder: &Path) -> Result<(), CheckpointError> {
    let has = |file: &str| folder.join(file).exists();
    let (adapter_path, config_path) = (folder.join("adapter_config.json"), folder.join("config.json"));
    if !adapter_path.exists() {
        return Ok(());
    }
    let uses_adapter = config_path.exists() && is_set(&json::read(&config_path)?, "use_peft");
    if !uses_adapter && (has("model.safetensors") || has("model.safetensors.index.json")) {
        return Ok(());
    }
    let adapter: Value = json::read(&adapter_path)?;
    let text = |key: &str| {
        adapter
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or("unknown")
            .to_owned()
    };
    Err(CheckpointError::Adapter {
        path: folder.to_owned(),
        kind: text("peft_type"),
        base: text("base_model_name_or_path"),
    })
}

/// Refuses what openpi's JAX training saves.
///
/// # Errors
/// When the folder has no configuration and is one of orbax.
pub(super) fn refuse_orbax(folder: &Path) -> Result<(), CheckpointError> {
    let has = |file: &str| folder.join(file).exists();
    let is_orbax = ["_CHECKPOINT_METADATA", "params/_METADATA", "manifest.ocdbt"]
        .iter()
        .any(|file| has(file));
    if has("config.json") || !is_orbax {
        return Ok(());
    }
    Err(CheckpointError::File {
        path: folder.to_owned(),
        problem: "a JAX checkpoint of openpi, which the node does not take; convert it first: pi0_checkpoint convert \
                  FOLDER OUT"
            .to_owned(),
    })
}

/// Refuses the configuration of any policy but π0.
///
/// # Errors
/// When the type is another one, or π0 is changed by a memory.
pub(super) fn refuse(folder: &Path, config: &Value) -> Result<(), CheckpointError> {
    let text = |key: &str| config.get(key).and_then(Value::as_str);
    let refused = |found: String, advice: &str| {
        Err(CheckpointError::OtherPolicy {
            path: folder.to_owned(),
            found,
            advice: advice.to_owned(),
        })
    };
    match (text("type"), text("model_type")) {
        (Some("pi0"), _) => {
            let memories: Vec<&str> = ["use_proprioceptive_memory", "use_visual_memory"]
                .into_iter()
                .filter(|key| is_set(config, key))
                .collect();
            if memories.is_empty() {
                return Ok(());
            }
            refused(
                format!("pi0 with a memory ({} is true)", memories.join(" and ")),
                "the memory is not supported, train or choose a policy without",
            )
        }
        (Some("pi05"), _) => refused("pi05 (π0.5)".to_owned(), PI05_ADVICE),
        (Some("pi052"), _) => refused(
            "pi052".to_owned(),
            "it is not supported, train or choose a policy of the type pi0",
        ),
        (Some(fast @ ("pi0_fast" | "pi0fast")), _) => refused(
            format!("{fast} (π0-FAST)"),
            "π0-FAST is not supported, train or choose a policy of the type pi0",
        ),
        (Some(policy), _) => refused(
            policy.to_owned(),
            "give LeRobot's checkpoint of a policy of the type pi0, or openpi's PyTorch conversion of π0",
        ),
        (None, Some(model)) => refused(
            format!("{model}, saved by a class of transformers (\"model_type\", no \"type\")"),
            "its tensors have other names, save the policy with LeRobot (type pi0)",
        ),
        (None, None) => Ok(()),
    }
}

fn is_set(config: &Value, key: &str) -> bool {
    config.get(key).and_then(Value::as_bool).unwrap_or(false)
}
