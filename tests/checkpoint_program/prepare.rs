//! Prepared folders against the checkpoints that they are of.

use std::fs;
use std::path::Path;

use half::bf16;
use pi0_node::checkpoint::Checkpoint;
use pi0_node::device::Dtype;
use pi0_node::model::Weights;
use pi0_node::model::parameters::parameters;
use serde_json::{Value, json};

use crate::program::{Scratch, copy_folder, fixture, run};

fn prepare(scratch: &Scratch, folder: &Path, more: &[&str]) -> Checkpoint {
    let out = scratch.text("prepared");
    let printed = run(&[&["prepare", folder.to_str().unwrap(), &out], more].concat());
    assert!(printed.succeeded, "{}", printed.error);
    Checkpoint::open(out).unwrap()
}

#[test]
fn a_prepared_folder_is_the_same_policy() {
    for folder in ["reference/checkpoint", "reference/pi05/checkpoint"] {
        expect_the_same_policy(&fixture(folder));
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

fn expect_the_same_policy(folder: &Path) {
    let scratch = Scratch::new();
    let source = Checkpoint::open(folder).unwrap();
    let prepared = prepare(&scratch, source.folder(), &[]);
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
