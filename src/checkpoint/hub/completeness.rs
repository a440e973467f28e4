//! Check whether all of a policy is in a folder.

use std::fs;
use std::path::Path;

use serde_json::Value;

pub(super) const WEIGHTS: &str = "model.safetensors";
pub(super) const SHARD_INDEX: &str = "model.safetensors.index.json";
pub(super) const ADAPTER: &str = "adapter_model.safetensors";

/// Whether the folder of a policy has every file that it needs, as far as its own files tell.
pub(super) fn is_whole(folder: &Path) -> bool {
    let exists = |file: &str| folder.join(file).exists();
    let config = json(&folder.join("config.json"));
    let has_weights = match exists("adapter_config.json") {
        true => exists(ADAPTER) || exists(WEIGHTS),
        false => exists(WEIGHTS) || has_shards(folder),
    };
    let has_statistics = match config.is_some_and(|config| config.get("type").is_some()) {
        true => ["policy_preprocessor.json", "policy_postprocessor.json"]
            .iter()
            .all(|pipeline| has_states(folder, pipeline)),
        false => exists("assets"),
    };
    has_weights && has_statistics
}

fn has_shards(folder: &Path) -> bool {
    let index = json(&folder.join(SHARD_INDEX));
    let shards = index
        .as_ref()
        .and_then(|index| index.get("weight_map")?.as_object());
    let exists = |shard: &Value| shard.as_str().is_some_and(|shard| folder.join(shard).exists());
    shards.is_some_and(|shards| shards.values().all(exists))
}

/// Whether a pipeline and the files that its steps name are there.
fn has_states(folder: &Path, pipeline: &str) -> bool {
    let pipeline = json(&folder.join(pipeline));
    let steps = pipeline
        .as_ref()
        .and_then(|pipeline| pipeline.get("steps")?.as_array());
    let has_state = |step: &Value| {
        let file = step.get("state_file").and_then(Value::as_str);
        file.is_none_or(|file| folder.join(file).exists())
    };
    steps.is_some_and(|steps| steps.iter().all(has_state))
}

fn json(path: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_whole_with_weights_and_every_state_of_its_steps() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).unwrap();
        let whole = || is_whole(folder.path());
        write("config.json", r#"{"type": "pi0"}"#);
        write(
            "policy_preprocessor.json",
            r#"{"steps": [{}, {"state_file": "state.safetensors"}]}"#,
        );
        write(
            "policy_postprocessor.json",
            r#"{"steps": [{"state_file": null}]}"#,
        );
        write("state.safetensors", "");
        assert!(!whole());
        write(
            SHARD_INDEX,
            r#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}"#,
        );
        write("model-1.safetensors", "");
        assert!(!whole());
        write("model-2.safetensors", "");
        assert!(whole());
        fs::remove_file(folder.path().join("state.safetensors")).unwrap();
        assert!(!whole());
        write("config.json", r#"{"action_horizon": 50}"#);
        assert!(!whole());
        fs::create_dir(folder.path().join("assets")).unwrap();
        assert!(whole());
        write("adapter_config.json", "{}");
        assert!(!whole());
        write(ADAPTER, "");
        assert!(whole());
    }
}
