//! Choice of the files that a policy is read from: never pickles, optimizer states or other training steps.

use super::completeness::{ADAPTER, SHARD_INDEX, WEIGHTS};

/// Beginnings of the names that training states have.
const TRAINING_STATES: [&str; 3] = ["optimizer", "scheduler", "rng_state"];

/// Chooses among the files of a repository, whose folders are separated by `/`; none where no weights are
/// among them.
pub(super) fn needed<'a>(files: &[&'a str]) -> Vec<&'a str> {
    let folder = policy_folder(files);
    let name = |file: &&'a str| file.strip_prefix(folder.as_str()).unwrap_or_default();
    let is_whole = files.iter().any(|file| name(file) == WEIGHTS);
    let has_weights = files.iter().any(|file| is_weights(name(file)));
    let is_chosen = |file: &&&'a str| has_weights && is_safe(file) && is_needed(name(file), is_whole);
    files.iter().filter(is_chosen).copied().collect()
}

/// Folder of the policy within the repository, with a slash at its end: none for the root, or the
/// `pretrained_model` of the newest training step.
fn policy_folder(files: &[&str]) -> String {
    let is_policy = |name: &str| name == "config.json" || is_weights(name);
    if files.iter().any(|file| is_policy(file)) {
        return String::new();
    }
    let step = |file: &&str| {
        let (folder, name) = file.rsplit_once('/')?;
        let step = folder.strip_suffix("pretrained_model")?.trim_end_matches('/');
        let number = match step.rsplit('/').next() {
            Some("last") => u64::MAX,
            number => number?.parse().unwrap_or_default(),
        };
        is_policy(name).then(|| (number, format!("{folder}/")))
    };
    files
        .iter()
        .filter_map(step)
        .max()
        .map(|(_, folder)| folder)
        .unwrap_or_default()
}

fn is_weights(name: &str) -> bool {
    [WEIGHTS, SHARD_INDEX, ADAPTER].contains(&name)
}

/// Whether a policy needs the file `name` of its folder; shards are not needed beside whole weights.
fn is_needed(name: &str, has_whole_weights: bool) -> bool {
    if let Some(asset) = name.strip_prefix("assets/") {
        return asset.ends_with(".json");
    }
    let is_shard = name.starts_with("model-") || name == SHARD_INDEX;
    let is_training_state = TRAINING_STATES.iter().any(|state| name.starts_with(state));
    if name.contains('/') || is_training_state || is_shard && has_whole_weights {
        return false;
    }
    name.ends_with(".json") || name.ends_with(".safetensors") || name == "tokenizer.model"
}

/// Whether a file of a listing stays within the folder that it is put into.
fn is_safe(file: &str) -> bool {
    file.split('/')
        .all(|part| !["", ".", ".."].contains(&part) && !part.contains(['\\', '\0']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_policy_is_read_from_is_needed() {
        let files = [
            ".gitattributes",
            "README.md",
            "config.json",
            "model.safetensors",
            "model-00001-of-00002.safetensors",
            "model.safetensors.index.json",
            "policy_preprocessor.json",
            "policy_preprocessor_step_5_normalizer_processor.safetensors",
            "tokenizer.json",
            "train_config.json",
            "assets/droid/norm_stats.json",
            "assets/physical-intelligence/libero/norm_stats.json",
            "assets/film.mp4",
            "pytorch_model.bin",
            "optimizer.pt",
            "optimizer_state.safetensors",
            "rng_state.safetensors",
            "training_state/optimizer_state.safetensors",
            "checkpoints/020000/pretrained_model/model.safetensors",
            "../model.safetensors",
            "assets/../../norm_stats.json",
        ];
        assert_eq!(
            needed(&files),
            [
                "config.json",
                "model.safetensors",
                "policy_preprocessor.json",
                "policy_preprocessor_step_5_normalizer_processor.safetensors",
                "tokenizer.json",
                "train_config.json",
                "assets/droid/norm_stats.json",
                "assets/physical-intelligence/libero/norm_stats.json",
            ]
        );
    }

    #[test]
    fn shards_are_needed_without_whole_weights() {
        let files = [
            "config.json",
            "model.safetensors.index.json",
            "model-00001-of-00001.safetensors",
        ];
        assert_eq!(needed(&files), files);
    }

    #[test]
    fn an_adapter_has_no_other_weights() {
        let files = ["adapter_config.json", "adapter_model.safetensors", "config.json"];
        assert_eq!(needed(&files), files);
    }

    #[test]
    fn the_newest_step_stands_for_a_training_run() {
        let files = [
            "README.md",
            "checkpoints/005000/pretrained_model/config.json",
            "checkpoints/005000/pretrained_model/model.safetensors",
            "checkpoints/020000/pretrained_model/config.json",
            "checkpoints/020000/pretrained_model/model.safetensors",
            "checkpoints/020000/training_state/optimizer_state.safetensors",
        ];
        assert_eq!(needed(&files), &files[3..5]);
    }

    #[test]
    fn nothing_is_needed_of_a_repository_without_weights() {
        assert!(needed(&["config.json", "pytorch_model.bin", "params/_METADATA"]).is_empty());
        assert!(needed(&[]).is_empty());
    }
}
