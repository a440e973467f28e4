//! Folders that are no complete checkpoint of π0 or π0.5, by their kind.

use std::path::Path;

use serde_json::Value;

use super::error::CheckpointError;
use super::json;

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

/// Refuses the configuration of any policy but π0 and π0.5.
///
/// # Errors
/// When the type is another one, or the policy is changed by a memory.
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
        (Some(policy @ ("pi0" | "pi05")), _) => {
            let memories: Vec<&str> = ["use_proprioceptive_memory", "use_visual_memory"]
                .into_iter()
                .filter(|key| json::is_set(config, key))
                .collect();
            if memories.is_empty() {
                return Ok(());
            }
            refused(
                format!("{policy} with a memory ({} is true)", memories.join(" and ")),
                "the memory is not supported, train or choose a policy without",
            )
        }
        (Some("pi052"), _) => refused(
            "pi052".to_owned(),
            "it is not supported, train or choose a policy of the type pi0 or pi05",
        ),
        (Some(fast @ ("pi0_fast" | "pi0fast")), _) => refused(
            format!("{fast} (π0-FAST)"),
            "π0-FAST is not supported, train or choose a policy of the type pi0 or pi05",
        ),
        (Some(policy), _) => refused(
            policy.to_owned(),
            "give LeRobot's checkpoint of a policy of the type pi0 or pi05, or openpi's PyTorch conversion of π0 or π0.5",
        ),
        (None, Some(model)) => refused(
            format!("{model}, saved by a class of transformers (\"model_type\", no \"type\")"),
            "its tensors have other names, save the policy with LeRobot (type pi0 or pi05)",
        ),
        (None, None) => Ok(()),
    }
}
