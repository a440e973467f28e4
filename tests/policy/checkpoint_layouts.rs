//! One set of weights under every name and in every layout that LeRobot and openpi write.

use std::fs;

use pi0_node::checkpoint::{Checkpoint, Normalisation};
use pi0_node::model::Weights;
use pi0_node::model::parameters::{EMBED_TOKENS, parameters};
use serde_json::json;

use crate::folder::{Folder, Tensor, Tensors, write_tensors};

const LANGUAGE_HEAD: &str = "paligemma_with_expert.paligemma.lm_head.weight";

fn without_model(tensors: Tensors) -> Tensors {
    let name = |name: String| name.strip_prefix("model.").unwrap_or(&name).to_owned();
    tensors
        .into_iter()
        .map(|(stored, tensor)| (name(stored), tensor))
        .collect()
}

fn assert_same_weights(folder: &Folder) {
    let expected = Folder::new();
    let expected = Checkpoint::open(expected.path()).unwrap();
    let found = Checkpoint::open(folder.path()).unwrap();
    for parameter in parameters(&expected.config().model) {
        assert_eq!(
            found.tensor(&parameter.name).bytes,
            expected.tensor(&parameter.name).bytes,
            "{}",
            parameter.name
        );
    }
}

#[test]
fn names_without_a_leading_model() {
    let folder = Folder::new();
    folder.change_tensors("model.safetensors", |tensors| {
        *tensors = without_model(tensors.clone())
    });
    assert_same_weights(&folder);
}

#[test]
fn the_time_mlp_under_its_other_name() {
    let folder = Folder::new();
    folder.change_tensors("model.safetensors", |tensors| {
        *tensors = without_model(tensors.clone())
            .into_iter()
            .map(|(name, tensor)| (name.replace("action_time_mlp", "time_mlp"), tensor))
            .collect();
    });
    assert_same_weights(&folder);
}

#[test]
fn the_token_embedding_wins_over_the_output_layer() {
    let folder = Folder::new();
    let stored = folder.weights();
    let head = stored
        .get(&format!("model.{LANGUAGE_HEAD}"))
        .expect("the reference stores both");
    let embedding = &stored[&format!("model.{EMBED_TOKENS}")];
    assert_ne!(head.bytes, embedding.bytes);
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(*checkpoint.tensor(EMBED_TOKENS).bytes, embedding.bytes);
}

#[test]
fn the_output_layer_stands_in_for_the_token_embedding() {
    let folder = Folder::new();
    folder.change_tensors("model.safetensors", |tensors| {
        let embedding = tensors.remove(&format!("model.{EMBED_TOKENS}")).unwrap();
        tensors.insert(format!("model.{LANGUAGE_HEAD}"), embedding);
    });
    assert_same_weights(&folder);
}

#[test]
fn output_layers_need_not_be_stored() {
    let folder = Folder::new();
    folder.change_tensors("model.safetensors", |tensors| {
        tensors.retain(|name, _| !name.contains("lm_head"))
    });
    assert_same_weights(&folder);
}

#[test]
fn shards_with_an_index() {
    let folder = Folder::new();
    let (first, second): (Tensors, Tensors) = folder
        .weights()
        .into_iter()
        .partition(|(name, _)| name.contains("gemma_expert"));
    let shards = [
        ("model-00001-of-00002.safetensors", first),
        ("model-00002-of-00002.safetensors", second),
    ];
    let mut weight_map = serde_json::Map::new();
    for (file, tensors) in &shards {
        write_tensors(&folder.file(file), tensors);
        weight_map.extend(tensors.keys().map(|name| (name.clone(), json!(file))));
    }
    folder.remove("model.safetensors");
    let index = json!({"metadata": {"total_size": 0}, "weight_map": weight_map});
    fs::write(folder.file("model.safetensors.index.json"), index.to_string()).unwrap();
    assert_same_weights(&folder);
}

#[test]
fn cameras_keep_the_order_of_the_configuration_without_those_that_are_always_empty() {
    let folder = Folder::new();
    folder.change_json("config.json", |config| {
        config["empty_cameras"] = json!(1);
        let features = config["input_features"].as_object_mut().unwrap();
        features.insert(
            "observation.images.empty_camera_0".to_owned(),
            json!({"type": "VISUAL", "shape": [3, 56, 56]}),
        );
    });
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(checkpoint.config().cameras, ["top", "left_wrist", "right_wrist"]);
}

#[test]
fn quantiles_and_minimum_with_maximum_scale_as_the_processors_say() {
    let folder = Folder::new();
    let tensor = |value: f32| Tensor::f32(&[value; 14], &[14]);
    for (file, mode, step) in [
        ("policy_preprocessor", "QUANTILES", "step_6_normalizer_processor"),
        ("policy_postprocessor", "MIN_MAX", "step_0_unnormalizer_processor"),
    ] {
        folder.change_json(&format!("{file}.json"), |pipeline| {
            for step in pipeline["steps"].as_array_mut().unwrap() {
                if let Some(map) = step["config"].get_mut("norm_map") {
                    *map = json!({"STATE": mode, "ACTION": mode});
                }
            }
        });
        folder.change_tensors(&format!("{file}_{step}.safetensors"), |tensors| {
            for (statistic, value) in [("q01", -3.0), ("q99", 4.0), ("min", -5.0), ("max", 6.0)] {
                tensors.insert(format!("observation.state.{statistic}"), tensor(value));
                tensors.insert(format!("action.{statistic}"), tensor(value));
            }
        });
    }
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let range = |low: f32, high: f32| Normalisation::Range {
        low: vec![low; 14],
        high: vec![high; 14],
        epsilon: 0.0,
    };
    assert_eq!(checkpoint.statistics().state, range(-3.0, 4.0));
    assert_eq!(checkpoint.statistics().action, range(-5.0, 6.0));
}
