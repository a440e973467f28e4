//! What the program tells of folders that the node takes or refuses.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::program::{Scratch, copy_folder, fixture, run};

fn inspect(folder: &Path) -> Value {
    let printed = run(&["inspect", folder.to_str().unwrap(), "--json"]);
    assert!(printed.succeeded, "{}", printed.error);
    serde_json::from_str(&printed.output).unwrap()
}

/// A copy of the reference's small checkpoint.
fn copied(scratch: &Scratch) -> std::path::PathBuf {
    let folder = scratch.path("policy");
    copy_folder(&fixture("reference/checkpoint"), &folder);
    folder
}

fn change_json(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

#[test]
fn a_policy_of_lerobot_that_the_node_takes() {
    let found = inspect(&fixture("reference/checkpoint"));
    assert_eq!(found["policy"], "pi0");
    assert_eq!(found["writer"], "LeRobot 0.6.0 or later");
    assert_eq!(found["cameras"], json!(["top", "left_wrist", "right_wrist"]));
    assert_eq!(found["configured_dims"], json!([14, 14]));
    assert_eq!(
        found["statistics"],
        json!([
            { "asset": null, "of": "state", "mode": "MEAN_STD", "length": 14, "without_extent": [] },
            { "asset": null, "of": "action", "mode": "MEAN_STD", "length": 14, "without_extent": [] },
        ])
    );
    assert_eq!(found["max_prompt_tokens"], 48);
    assert_eq!(found["action_horizon"], 50);
    assert_eq!(found["denoise_steps"], 10);
    assert_eq!(found["has_tokenizer"], true);
    assert_eq!(found["missing"], json!([]));
    assert_eq!(found["refusal"], Value::Null);
    let stored = found["parameters"].as_object().unwrap();
    let bytes: u64 = stored
        .iter()
        .map(|(dtype, values)| values.as_u64().unwrap() * if dtype == "float32" { 4 } else { 2 })
        .sum();
    assert_eq!(found["weight_bytes"], bytes);
}

#[test]
fn a_text_for_people_ends_with_what_the_node_does() {
    let folder = fixture("reference/checkpoint");
    let printed = run(&["inspect", folder.to_str().unwrap()]);
    assert!(
        printed
            .output
            .contains("cameras     top, left_wrist, right_wrist\n"),
        "{}",
        printed.output
    );
    assert!(
        printed.output.ends_with("the node takes it\n"),
        "{}",
        printed.output
    );
}

#[test]
fn a_missing_tokenizer_and_a_joint_that_never_moved_are_told_with_the_refusal() {
    let scratch = Scratch::new();
    let folder = copied(&scratch);
    fs::remove_file(folder.join("tokenizer.json")).unwrap();
    for file in ["policy_preprocessor.json", "policy_postprocessor.json"] {
        change_json(&folder.join(file), |pipeline| {
            for step in pipeline["steps"].as_array_mut().unwrap() {
                if step["config"]["norm_map"].is_object() {
                    step["config"]["norm_map"] = json!({ "STATE": "MIN_MAX", "ACTION": "MIN_MAX" });
                }
            }
        });
    }
    let found = inspect(&folder);
    assert_eq!(found["statistics"][0]["mode"], "MIN_MAX");
    assert_eq!(found["has_tokenizer"], false);
    assert_eq!(
        found["missing"],
        json!(["tokenizer.json of google/paligemma-3b-pt-224"])
    );
    assert!(
        found["refusal"].as_str().unwrap().contains("tokenizer"),
        "{found}"
    );
}

#[test]
fn openpi_s_jax_training_is_known_with_its_robots() {
    let found = inspect(&fixture("orbax/pi05/1000"));
    assert_eq!(found["policy"], "pi05");
    assert_eq!(found["writer"], "openpi, its JAX training (orbax)");
    assert_eq!(
        found["parameters"]
            .as_object()
            .unwrap()
            .keys()
            .collect::<Vec<_>>(),
        ["bfloat16"]
    );
    let robots: Vec<&Value> = found["statistics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|statistics| &statistics["asset"])
        .collect();
    let libero = "physical-intelligence/libero";
    assert_eq!(robots, ["droid", "droid", libero, libero]);
    // Padding counts neither as a value nor as one that never changed.
    assert_eq!(found["statistics"][0]["length"], 5);
    assert_eq!(found["statistics"][0]["without_extent"], json!([]));
    assert_eq!(found["max_prompt_tokens"], 200);
    assert!(
        found["refusal"]
            .as_str()
            .unwrap()
            .contains("pi0_checkpoint convert"),
        "{found}"
    );
}

#[test]
fn what_an_older_version_leaves_open_is_listed_as_assumed() {
    let scratch = Scratch::new();
    let folder = copied(&scratch);
    change_json(&folder.join("config.json"), |config| {
        let config = config.as_object_mut().unwrap();
        for key in ["pretrained_revision", "use_relative_actions"] {
            config.remove(key);
        }
    });
    let found = inspect(&folder);
    assert_eq!(found["writer"], "LeRobot 0.4.3 to 0.5.0");
    assert!(found["assumed"][0].as_str().unwrap().contains("bars"), "{found}");
}

#[test]
fn other_policies_and_empty_folders_are_no_errors() {
    let scratch = Scratch::new();
    let folder = copied(&scratch);
    change_json(&folder.join("config.json"), |config| {
        config["type"] = json!("smolvla")
    });
    let found = inspect(&folder);
    assert_eq!(found["policy"], "smolvla");
    assert!(found["refusal"].as_str().unwrap().contains("smolvla"), "{found}");

    let empty = scratch.path("empty");
    fs::create_dir(&empty).unwrap();
    let found = inspect(&empty);
    assert_eq!(
        (&found["policy"], &found["writer"]),
        (&Value::Null, &json!("unknown"))
    );
    assert!(
        found["missing"].as_array().unwrap().contains(&json!("weights")),
        "{found}"
    );
}
