//! Prepared folders against the checkpoints that they are of.

use std::fs;
use std::path::Path;

use half::bf16;
use pi0_node::checkpoint::{Checkpoint, CheckpointOptions};
use pi0_node::device::Dtype;
use pi0_node::model::Weights;
use pi0_node::model::parameters::parameters;
use serde_json::{Value, json};

use crate::program::{Scratch, copy_folder, fixture, run, run_in};

fn prepare(scratch: &Scratch, folder: &Path, more: &[&str]) -> Checkpoint {
    let out = scratch.text("prepared");
    let printed = run(&[&["prepare", folder.to_str().unwrap(), &out], more].concat());
    assert!(printed.succeeded, "{}", printed.error);
    Checkpoint::open(out).unwrap()
}

#[test]
fn a_prepared_folder_is_the_same_policy() {
    for folder in ["reference/checkpoint", "reference/pi05/checkpoint"] {
        let scratch = Scratch::new();
        let source = Checkpoint::open(fixture(folder)).unwrap();
        expect_the_same_policy(&prepare(&scratch, source.folder(), &[]), &source);
    }
}

#[test]
fn the_tokenizer_is_in_the_prepared_folder_wherever_it_was() {
    let scratch = Scratch::new();
    let folder = scratch.path("without");
    copy_folder(&fixture("reference/checkpoint"), &folder);
    let elsewhere = scratch.path("tokenizer.json");
    fs::rename(folder.join("tokenizer.json"), &elsewhere).unwrap();
    let prepared = prepare(&scratch, &folder, &["--tokenizer", elsewhere.to_str().unwrap()]);
    assert_eq!(
        prepared.tokenizer().file(),
        prepared.folder().join("tokenizer.json")
    );
}

#[test]
fn an_adapter_is_prepared_merged_with_its_base_of_the_hub_s_cache() {
    let scratch = Scratch::new();
    let (adapter, cache, commit) = (scratch.path("adapter"), scratch.path("hub"), "0".repeat(40));
    copy_folder(&fixture("adapters/lerobot_default"), &adapter);
    let path = adapter.join("adapter_config.json");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    config["base_model_name_or_path"] = json!("somebody/pi0_small");
    fs::write(path, config.to_string()).unwrap();
    let model = cache.join("models--somebody--pi0_small");
    let base = model.join("snapshots").join(&commit);
    copy_folder(&fixture("reference/checkpoint"), &base);
    fs::create_dir(model.join("refs")).unwrap();
    fs::write(model.join("refs/main"), commit).unwrap();

    let offline = [("HF_HUB_CACHE", cache.to_str().unwrap()), ("HF_HUB_OFFLINE", "1")];
    let out = scratch.text("prepared");
    let printed = run_in(&offline, &["prepare", adapter.to_str().unwrap(), &out]);
    assert!(printed.succeeded, "{}", printed.error);
    assert!(!Path::new(&out).join("adapter_config.json").exists());
    let options = CheckpointOptions {
        base: Some(base),
        ..CheckpointOptions::default()
    };
    let merged = Checkpoint::open_with(&adapter, &options).unwrap();
    expect_the_same_policy(&Checkpoint::open(&out).unwrap(), &merged);

    let inspected = run_in(&offline, &["inspect", "somebody/pi0_small"]);
    assert!(inspected.succeeded, "{}", inspected.error);
    let refused = run_in(&offline, &["inspect", "somebody/pi0_large"]);
    assert!(
        !refused.succeeded && refused.error.contains("HF_HUB_OFFLINE"),
        "{}",
        refused.error
    );
}

fn expect_the_same_policy(prepared: &Checkpoint, source: &Checkpoint) {
    for parameter in parameters(&source.config().model) {
        let (found, expected) = (prepared.tensor(&parameter.name), source.tensor(&parameter.name));
        assert_eq!(
            (found.dtype, found.bytes),
            (expected.dtype, expected.bytes),
            "{}",
            parameter.name
        );
    }
    assert_eq!(prepared.config(), source.config());
    assert_eq!(prepared.statistics(), source.statistics());
    assert_eq!(
        prepared.tokenizer().encode("pick up the cube").unwrap(),
        source.tokenizer().encode("pick up the cube").unwrap()
    );
}

#[test]
fn shards_become_one_file_in_the_chosen_type() {
    let scratch = Scratch::new();
    let folder = scratch.path("sharded");
    copy_folder(&fixture("reference/checkpoint"), &folder);
    fs::rename(
        folder.join("model.safetensors"),
        folder.join("model-00001-of-00001.safetensors"),
    )
    .unwrap();
    let bytes = fs::read(folder.join("model-00001-of-00001.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let shard = |name: &str| (name.to_owned(), json!("model-00001-of-00001.safetensors"));
    let map: serde_json::Map<String, Value> = tensors.names().into_iter().map(shard).collect();
    fs::write(
        folder.join("model.safetensors.index.json"),
        json!({ "weight_map": map }).to_string(),
    )
    .unwrap();

    let prepared = prepare(&scratch, &folder, &["--dtype", "bfloat16"]);
    let source = Checkpoint::open(&folder).unwrap();
    for parameter in parameters(&source.config().model) {
        let found = prepared.tensor(&parameter.name);
        assert_eq!(found.dtype, Dtype::Bf16);
        let expected: Vec<f32> = source.tensor(&parameter.name).to_f32();
        let rounded: Vec<f32> = expected
            .iter()
            .map(|value| bf16::from_f32(*value).to_f32())
            .collect();
        assert_eq!(found.to_f32(), rounded, "{}", parameter.name);
    }
    assert!(
        !scratch
            .path("prepared")
            .join("model.safetensors.index.json")
            .exists()
    );
    let config = fs::read_to_string(scratch.path("prepared").join("config.json")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["dtype"], "bfloat16");
}

#[test]
fn a_refused_folder_leaves_nothing_behind() {
    let scratch = Scratch::new();
    let folder = scratch.path("policy");
    copy_folder(&fixture("reference/checkpoint"), &folder);
    fs::remove_file(folder.join("tokenizer.json")).unwrap();
    let printed = run(&["prepare", folder.to_str().unwrap(), &scratch.text("prepared")]);
    assert!(!printed.succeeded);
    assert!(printed.error.contains("tokenizer.json"), "{}", printed.error);
    assert_eq!(scratch.names(), ["policy"]);
}
