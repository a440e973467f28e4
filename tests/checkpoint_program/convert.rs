//! Folders that orbax and tensorstore wrote, against the weights that numpy makes of the same arrays.

use std::fs;

use half::bf16;
use pi0_node::checkpoint::{Checkpoint, Normalisation};
use serde_json::Value;

use crate::program::{Scratch, copy_folder, fixture, run, tensors};

/// Converts a step of the fixtures and returns what the program printed.
fn convert(scratch: &Scratch, step: &str, more: &[&str]) -> String {
    let out = scratch.text("converted");
    let step = fixture("orbax").join(step);
    let printed = run(&[&["convert", step.to_str().unwrap(), &out], more].concat());
    assert!(printed.succeeded, "{}", printed.error);
    assert_eq!(scratch.names(), ["converted"]);
    printed.output
}

fn json(scratch: &Scratch, file: &str) -> Value {
    let path = scratch.path("converted").join(file);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Checks names, shapes and values; `rounded` where they are written in bf16.
fn assert_weights(scratch: &Scratch, expected: &str, tolerance: f32, rounded: bool) {
    let expected = tensors(&fixture("orbax").join(expected).join("expected.safetensors"));
    let found = tensors(&scratch.path("converted").join("model.safetensors"));
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (name, (shape, expected)) in &expected {
        let (found_shape, found) = &found[name];
        assert_eq!(found_shape, shape, "{name}");
        for (found, expected) in found.iter().zip(expected) {
            let expected = if rounded {
                bf16::from_f32(*expected).to_f32()
            } else {
                *expected
            };
            assert!(
                (found - expected).abs() <= tolerance,
                "{name}: {found}, expected {expected}"
            );
        }
    }
}

#[test]
fn pi0_with_value_leaves_in_f32_is_converted_exactly() {
    let scratch = Scratch::new();
    let output = convert(&scratch, "pi0/1000", &["--dtype", "float32"]);
    assert_weights(&scratch, "pi0", 0.0, false);
    assert!(output.contains("π0,"), "{output}");
    assert!(
        output.contains("trossen, 7 values of a state and 6 of an action, MEAN_STD"),
        "{output}"
    );
    let config = json(&scratch, "config.json");
    assert_eq!(config["type"], "pi0");
    assert_eq!(config["chunk_size"], 50);
    assert_eq!(config["tokenizer_max_length"], 48);
    assert_eq!(config["dtype"], "float32");
}

#[test]
fn the_params_folder_alone_stands_for_its_step() {
    let scratch = Scratch::new();
    convert(&scratch, "pi0/1000/params", &[]);
    assert_weights(&scratch, "pi0", 0.0, true);
}

#[test]
fn the_database_of_two_processes_without_compression_and_with_a_deep_tree_is_the_same_policy() {
    let scratch = Scratch::new();
    let step = scratch.path("step");
    copy_folder(&fixture("orbax/pi0_two_processes/1000"), &step);
    copy_folder(&fixture("orbax/pi0/1000/assets"), &step.join("assets"));
    let out = scratch.text("converted");
    let printed = run(&["convert", step.to_str().unwrap(), &out, "--dtype", "float32"]);
    assert!(printed.succeeded, "{}", printed.error);
    assert_weights(&scratch, "pi0", 0.0, false);
}

#[test]
fn pi05_without_value_leaves_in_bf16_is_known_by_its_norms() {
    let scratch = Scratch::new();
    let output = convert(
        &scratch,
        "pi05/1000",
        &["--asset", "droid", "--action-horizon", "15"],
    );
    assert_weights(&scratch, "pi05", 0.0, true);
    assert!(output.contains("π0.5,"), "{output}");
    let config = json(&scratch, "config.json");
    assert_eq!(config["type"], "pi05");
    assert_eq!(config["chunk_size"], 15);
    assert_eq!(config["tokenizer_max_length"], 200);
    assert_eq!(config["normalization_mapping"]["STATE"], "QUANTILES");
    let before = json(&scratch, "policy_preprocessor.json");
    let names: Vec<_> = before["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| &step["registry_name"])
        .collect();
    assert_eq!(
        names,
        [
            "rename_observations_processor",
            "to_batch_processor",
            "relative_actions_processor",
            "normalizer_processor",
            "pi05_prepare_state_tokenizer_processor_step",
            "tokenizer_processor",
            "device_processor"
        ]
    );
}

#[test]
fn lora_is_merged_and_arrays_of_many_chunks_are_put_together() {
    let scratch = Scratch::new();
    let output = convert(&scratch, "pi05_lora/1000", &["--dtype", "float32"]);
    // Sums of 32 products of values near one, in another order.
    assert_weights(&scratch, "pi05_lora", 2e-4, false);
    assert!(output.contains("merged: LoRA of 10 arrays"), "{output}");
}

#[test]
fn the_asset_chooses_the_statistics_and_their_padding_is_left_out() {
    let scratch = Scratch::new();
    convert(
        &scratch,
        "pi05/1000",
        &["--asset", "physical-intelligence/libero"],
    );
    let folder = scratch.path("converted");
    let stored = tensors(&folder.join("policy_preprocessor_step_3_normalizer_processor.safetensors"));
    let path = fixture("orbax/pi05/1000/assets/physical-intelligence/libero/norm_stats.json");
    let written: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    for (key, feature, length) in [("state", "observation.state", 6), ("actions", "action", 7)] {
        for statistic in ["mean", "std", "q01", "q99"] {
            let expected: Vec<f32> = written["norm_stats"][key][statistic]
                .as_array()
                .unwrap()
                .iter()
                .take(length)
                .map(|value| value.as_f64().unwrap() as f32)
                .collect();
            let (shape, values) = &stored[&format!("{feature}.{statistic}")];
            assert_eq!(
                (shape, values),
                (&vec![length], &expected),
                "{feature}.{statistic}"
            );
        }
    }
    assert_eq!(
        fs::read(folder.join("policy_preprocessor_step_3_normalizer_processor.safetensors")).unwrap(),
        fs::read(folder.join("policy_postprocessor_step_0_unnormalizer_processor.safetensors")).unwrap()
    );
}

#[test]
fn several_assets_need_a_choice() {
    let scratch = Scratch::new();
    let step = fixture("orbax/pi05/1000");
    let printed = run(&["convert", step.to_str().unwrap(), &scratch.text("converted")]);
    assert!(!printed.succeeded);
    assert!(
        printed
            .error
            .contains("choose one with --asset: droid, physical-intelligence/libero"),
        "{}",
        printed.error
    );
    assert!(scratch.names().is_empty());
}

#[test]
fn a_converted_folder_with_a_tokenizer_is_a_checkpoint() {
    let scratch = Scratch::new();
    convert(
        &scratch,
        "pi0/1000",
        &["--delta-actions", "5,-1", "--max-prompt-tokens", "60"],
    );
    let folder = scratch.path("converted");
    fs::copy(
        fixture("reference/checkpoint/tokenizer.json"),
        folder.join("tokenizer.json"),
    )
    .unwrap();
    let checkpoint = Checkpoint::open(&folder).unwrap();
    assert_eq!((checkpoint.state_dim(), checkpoint.action_dim()), (7, 6));
    assert_eq!(checkpoint.config().model.max_prompt_tokens, 60);
    assert_eq!(
        checkpoint.config().cameras,
        ["base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb"]
    );
    let statistics = checkpoint.statistics();
    assert_eq!(statistics.relative, [true, true, true, true, true, false]);
    assert!(matches!(
        statistics.state,
        Normalisation::MeanStd { epsilon: 1e-6, .. }
    ));
}

#[test]
fn an_existing_folder_is_not_touched() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("converted")).unwrap();
    let step = fixture("orbax/pi0/1000");
    let printed = run(&["convert", step.to_str().unwrap(), &scratch.text("converted")]);
    assert!(!printed.succeeded);
    assert!(printed.error.contains("exists already"), "{}", printed.error);
    assert_eq!(fs::read_dir(scratch.path("converted")).unwrap().count(), 0);
}

#[test]
fn a_training_folder_names_its_steps() {
    let scratch = Scratch::new();
    let run_folder = fixture("orbax/pi0");
    let printed = run(&[
        "convert",
        run_folder.to_str().unwrap(),
        &scratch.text("converted"),
    ]);
    assert!(
        printed.error.contains("a training with the steps 1000"),
        "{}",
        printed.error
    );
    assert!(scratch.names().is_empty());
}
