//! A folder that is no complete π0 is refused with its kind and the way out, in one message.

use std::fs;

use pi0_node::checkpoint::Checkpoint;
use serde_json::{Value, json};

use crate::folder::Folder;

/// Opens the folder and finds all of these words in the refusal, which has a single line.
fn refused_with(folder: &Folder, words: &[&str]) {
    let error = Checkpoint::open(folder.path())
        .err()
        .expect("refused")
        .to_string();
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
    assert_eq!(error.lines().count(), 1, "{error}");
}

fn configured(change: impl FnOnce(&mut Value)) -> Folder {
    let folder = Folder::new();
    folder.change_json("config.json", change);
    folder
}

#[test]
fn other_types() {
    for (kind, found) in [
        ("pi052", "the policy pi052, expected pi0 or pi05"),
        ("pi0_fast", "π0-FAST is not supported"),
        ("pi0fast", "π0-FAST is not supported"),
        (
            "smolvla",
            "the policy smolvla, expected pi0 or pi05; give LeRobot's checkpoint of a policy of the type pi0 or pi05",
        ),
    ] {
        refused_with(&configured(|config| config["type"] = json!(kind)), &[found]);
    }
}

#[test]
fn weights_of_pi05_with_a_configuration_of_pi0_and_the_other_way_round() {
    for (folder, weights, words) in [
        (
            Folder::new(),
            Folder::pi05(),
            "is of π0, but the weights are of π0.5",
        ),
        (
            Folder::pi05(),
            Folder::new(),
            "is of π0.5, but the weights are of π0:",
        ),
    ] {
        fs::copy(
            weights.file("model.safetensors"),
            folder.file("model.safetensors"),
        )
        .unwrap();
        refused_with(&folder, &[words]);
    }
}

#[test]
fn prompt_steps_of_the_other_network() {
    let folder = Folder::new();
    let before = "policy_preprocessor.json";
    fs::copy(Folder::pi05().file(before), folder.file(before)).unwrap();
    let step = "the step \"pi05_prepare_state_tokenizer_processor_step\", which this policy does not have";
    let error = Checkpoint::open(folder.path())
        .err()
        .expect("refused")
        .to_string();
    assert!(error.contains(step), "{error}");
    let folder = Folder::pi05();
    folder.change_json("policy_preprocessor.json", |pipeline| {
        let steps = pipeline["steps"].as_array_mut().unwrap();
        steps.retain(|step| step["registry_name"] != "pi05_prepare_state_tokenizer_processor_step");
    });
    let error = Checkpoint::open(folder.path())
        .err()
        .expect("refused")
        .to_string();
    assert!(error.contains("so the prompt has no state"), "{error}");
}

#[test]
fn a_policy_with_a_memory() {
    for folder in [Folder::new(), Folder::pi05()] {
        expect_no_memory(&folder);
    }
}

fn expect_no_memory(folder: &Folder) {
    folder.change_json("config.json", |config| {
        config["use_proprioceptive_memory"] = json!(false);
        config["use_visual_memory"] = json!(false);
    });
    assert!(Checkpoint::open(folder.path()).is_ok());
    folder.change_json("config.json", |config| config["use_visual_memory"] = json!(true));
    refused_with(
        folder,
        &["use_visual_memory is true", "train or choose a policy without"],
    );
    folder.change_json("config.json", |config| {
        config["use_proprioceptive_memory"] = json!(true);
    });
    refused_with(
        folder,
        &["use_proprioceptive_memory and use_visual_memory is true"],
    );
}

#[test]
fn pi0_of_transformers() {
    let folder = configured(|config| *config = json!({"model_type": "pi0", "chunk_size": 50}));
    refused_with(
        &folder,
        &[
            "pi0, saved by a class of transformers",
            "save the policy with LeRobot",
        ],
    );
}

fn adapter(use_peft: bool) -> Folder {
    let folder = configured(|config| config["use_peft"] = json!(use_peft));
    let config = json!({"peft_type": "LORA", "base_model_name_or_path": "lerobot/pi0_base", "r": 16});
    fs::write(folder.file("adapter_config.json"), config.to_string()).unwrap();
    folder
}

#[test]
fn an_adapter_whose_base_is_not_here() {
    let folder = adapter(true);
    fs::rename(
        folder.file("model.safetensors"),
        folder.file("adapter_model.safetensors"),
    )
    .unwrap();
    let words = [
        "an adapter (LoRA) of the base \"lerobot/pi0_base\"",
        "set the parameter checkpoint_base",
    ];
    refused_with(&folder, &words);
    folder.remove("config.json");
    refused_with(&folder, &words);
}

#[test]
fn an_adapter_is_refused_beside_weights_unless_these_are_merged() {
    refused_with(&adapter(true), &["an adapter (LoRA)"]);
    assert!(Checkpoint::open(adapter(false).path()).is_ok());
}

#[test]
fn a_base_model_without_statistics() {
    let folder = Folder::new();
    for (file, state) in [
        (
            "policy_preprocessor.json",
            "policy_preprocessor_step_6_normalizer_processor.safetensors",
        ),
        (
            "policy_postprocessor.json",
            "policy_postprocessor_step_0_unnormalizer_processor.safetensors",
        ),
    ] {
        folder.remove(state);
        folder.change_json(file, |pipeline| {
            for step in pipeline["steps"].as_array_mut().unwrap() {
                step.as_object_mut().unwrap().remove("state_file");
            }
        });
    }
    refused_with(
        &folder,
        &[
            "no normalisation statistics",
            "a base model",
            "fine-tuned on this robot",
        ],
    );
}

#[test]
fn openpi_s_jax_checkpoint() {
    let folder = Folder::new();
    folder.remove("config.json");
    fs::create_dir(folder.file("params")).unwrap();
    fs::write(folder.file("params/_METADATA"), "{}").unwrap();
    refused_with(&folder, &["a JAX checkpoint of openpi", "pi0_checkpoint convert"]);
}
