//! A checkpoint that is broken in any way is refused with words that name the file and what is wrong.

use std::fs;
use std::time::{Duration, SystemTime};

use pi0_node::checkpoint::{Checkpoint, CheckpointError, TensorProblem};
use pi0_node::device::{CpuDevice, Precision};
use pi0_node::policy::Pi0Policy;
use serde_json::json;

use crate::folder::{Folder, Tensor};
use crate::robot::options;

const EMBEDDING: &str = "model.paligemma_with_expert.paligemma.model.language_model.embed_tokens.weight";

fn refuse(folder: &Folder) -> CheckpointError {
    Checkpoint::open(folder.path()).err().expect("refused")
}

/// Opens the folder and finds all of these words in the refusal.
fn refused_with(folder: &Folder, words: &[&str]) {
    let error = refuse(folder).to_string();
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
}

#[test]
fn missing_folder() {
    let error = Checkpoint::open("/no/such/checkpoint").err().unwrap().to_string();
    assert!(
        error.contains("/no/such/checkpoint") && error.contains("no such folder"),
        "{error}"
    );
}

#[test]
fn missing_weights() {
    let folder = Folder::new();
    folder.remove("model.safetensors");
    refused_with(
        &folder,
        &["neither model.safetensors nor model.safetensors.index.json"],
    );
}

#[test]
fn empty_weights() {
    let folder = Folder::new();
    fs::write(folder.file("model.safetensors"), []).unwrap();
    refused_with(&folder, &["model.safetensors", "is empty"]);
}

#[test]
fn truncated_weights() {
    let folder = Folder::new();
    let whole = fs::read(folder.file("model.safetensors")).unwrap();
    for length in [whole.len() - 1, whole.len() / 2, 100, 5] {
        fs::write(folder.file("model.safetensors"), &whole[..length]).unwrap();
        refused_with(&folder, &["model.safetensors", "truncated"]);
    }
}

#[test]
fn weights_that_are_no_safetensors() {
    let folder = Folder::new();
    let header = b"this is not JSON";
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    fs::write(folder.file("model.safetensors"), bytes).unwrap();
    refused_with(&folder, &["model.safetensors", "not a safetensors file"]);
}

#[test]
fn index_that_names_a_missing_shard() {
    let folder = Folder::new();
    folder.remove("model.safetensors");
    let index = json!({"weight_map": {"model.state_proj.weight": "model-00001-of-00001.safetensors"}});
    fs::write(folder.file("model.safetensors.index.json"), index.to_string()).unwrap();
    refused_with(
        &folder,
        &["model-00001-of-00001.safetensors: missing", "index.json names it"],
    );
}

#[test]
fn index_that_names_a_file_outside_of_the_folder() {
    let folder = Folder::new();
    folder.remove("model.safetensors");
    let elsewhere = Folder::new();
    let shard = elsewhere.file("model.safetensors");
    let index = json!({"weight_map": {"model.state_proj.weight": shard}});
    fs::write(folder.file("model.safetensors.index.json"), index.to_string()).unwrap();
    refused_with(&folder, &["missing in this folder", "index.json names it"]);
}

#[test]
fn index_that_names_a_tensor_which_is_in_no_shard() {
    let folder = Folder::new();
    fs::rename(folder.file("model.safetensors"), folder.file("shard.safetensors")).unwrap();
    let index = json!({"weight_map": {"model.flux_capacitor.weight": "shard.safetensors"}});
    fs::write(folder.file("model.safetensors.index.json"), index.to_string()).unwrap();
    refused_with(
        &folder,
        &["index.json", "in no shard", "model.flux_capacitor.weight"],
    );
}

#[test]
fn every_tensor_that_does_not_fit_is_listed_at_once() {
    let folder = Folder::new();
    folder.change_tensors("model.safetensors", |tensors| {
        tensors.remove("model.action_in_proj.bias").unwrap();
        let weight = tensors.remove("model.state_proj.weight").unwrap();
        tensors.insert("model.state_projection.weight".to_owned(), weight);
        tensors.insert(
            "model.action_out_proj.bias".to_owned(),
            Tensor::f32(&[0.0; 7], &[7]),
        );
        let doubled = tensors["model.action_out_proj.weight"].clone();
        tensors.insert("action_out_proj.weight".to_owned(), doubled);
        let norm = tensors.get_mut("model.action_time_mlp_in.bias").unwrap();
        norm.dtype = safetensors::Dtype::I32;
    });
    let CheckpointError::Tensors { problems, .. } = refuse(&folder) else {
        panic!("{}", refuse(&folder))
    };
    let name = str::to_owned;
    assert_eq!(
        problems,
        [
            TensorProblem::Missing {
                name: name("action_in_proj.bias"),
                expected: vec![48]
            },
            TensorProblem::Shape {
                name: name("action_out_proj.bias"),
                found: vec![7],
                expected: vec![32]
            },
            TensorProblem::StoredTwice {
                name: name("action_out_proj.weight"),
                also_as: name("action_out_proj.weight")
            },
            TensorProblem::Dtype {
                name: name("action_time_mlp_in.bias"),
                found: name("I32")
            },
            TensorProblem::Missing {
                name: name("state_proj.weight"),
                expected: vec![48, 24]
            },
            TensorProblem::Unexpected {
                name: name("state_projection.weight"),
                found: vec![48, 24]
            },
        ]
    );
    refused_with(
        &folder,
        &[
            "6 problems",
            "action_in_proj.bias: missing, expected [48]",
            "action_out_proj.bias: found [7], expected [32]",
            "state_projection.weight: found [48, 24], expected no such tensor",
        ],
    );
}

#[test]
fn neither_token_embedding_nor_output_layer() {
    let folder = Folder::new();
    folder.change_tensors("model.safetensors", |tensors| {
        tensors.remove(EMBEDDING).unwrap();
        tensors.retain(|name, _| !name.contains("lm_head"));
    });
    refused_with(&folder, &["embed_tokens.weight: missing, expected [300, 80]"]);
}

#[test]
fn output_layer_of_another_shape_in_place_of_the_token_embedding() {
    let folder = Folder::new();
    folder.change_tensors("model.safetensors", |tensors| {
        tensors.remove(EMBEDDING).unwrap();
        tensors.insert(
            "model.paligemma_with_expert.paligemma.lm_head.weight".to_owned(),
            Tensor::f32(&[0.0; 6], &[2, 3]),
        );
    });
    refused_with(
        &folder,
        &["embed_tokens.weight: found [2, 3], expected [300, 80]"],
    );
}

#[test]
fn links_that_lead_nowhere_or_in_a_circle() {
    let folder = Folder::new();
    folder.remove("model.safetensors");
    std::os::unix::fs::symlink("model.safetensors", folder.file("model.safetensors")).unwrap();
    refused_with(&folder, &["model.safetensors", "a link that leads nowhere"]);

    let folder = Folder::new();
    folder.remove("config.json");
    std::os::unix::fs::symlink("gone.json", folder.file("config.json")).unwrap();
    refused_with(&folder, &["config.json", "a link that leads nowhere"]);
}

#[test]
fn configuration_missing_or_no_json_or_of_nobody() {
    let folder = Folder::new();
    fs::write(folder.file("config.json"), "{\"type\": \"pi0\"").unwrap();
    refused_with(&folder, &["config.json", "EOF"]);
    fs::write(folder.file("config.json"), "{}").unwrap();
    refused_with(&folder, &["config.json", "neither LeRobot's configuration"]);
    folder.remove("config.json");
    refused_with(&folder, &["config.json"]);
}

#[test]
fn every_problem_of_the_configuration_is_listed_at_once() {
    let folder = Folder::new();
    folder.change_json("config.json", |config| {
        config["image_resolution"] = json!([56, 70]);
        config["num_inference_steps"] = json!(0);
        config["n_action_steps"] = json!(51);
        config["min_period"] = json!(9.0);
        config["input_features"] = json!({"observation.state": {"type": "STATE", "shape": [25]}});
        config["output_features"]["action"]["shape"] = json!([2, 7]);
    });
    folder.change_json("architecture.json", |architecture| {
        architecture["expert"]["head_dim"] = json!(12)
    });
    let CheckpointError::Config { problems, .. } = refuse(&folder) else {
        panic!("{}", refuse(&folder))
    };
    let problems = problems.join("\n");
    for named in [
        "image_resolution is [56, 70], expected a square",
        "vision.image_size is 56",
        "num_inference_steps is 0",
        "n_action_steps is 51, expected 1 to chunk_size, 50",
        "observation.state has shape [25], expected one size from 1 to 24",
        "action has shape [2, 7]",
        "no camera",
        "vlm.head_dim 16 and expert.head_dim 12 differ",
        "min_period 9",
    ] {
        assert!(problems.contains(named), "{named:?} is not in: {problems}");
    }
    assert_eq!(problems.lines().count(), 9, "{problems}");
}

#[test]
fn unknown_variants() {
    let folder = Folder::new();
    folder.remove("architecture.json");
    folder.change_json("config.json", |config| {
        config["paligemma_variant"] = json!("gemma_7b");
        config["action_expert_variant"] = json!("gemma_nano");
    });
    refused_with(
        &folder,
        &[
            "\"gemma_7b\"",
            "\"gemma_nano\"",
            "expected \"gemma_2b\" or \"gemma_300m\"",
        ],
    );
}

#[test]
fn missing_pipelines_and_statistics() {
    let folder = Folder::new();
    folder.remove("policy_postprocessor.json");
    refused_with(&folder, &["policy_postprocessor.json: missing", "statistics"]);

    let folder = Folder::new();
    folder.remove("policy_preprocessor_step_6_normalizer_processor.safetensors");
    refused_with(
        &folder,
        &[
            "step_6_normalizer_processor.safetensors is missing",
            "observation.state.mean",
        ],
    );

    let folder = Folder::new();
    folder.change_tensors(
        "policy_postprocessor_step_0_unnormalizer_processor.safetensors",
        |tensors| {
            tensors.remove("action.std").unwrap();
        },
    );
    refused_with(&folder, &["action.std is missing in policy_postprocessor_step_0"]);

    let folder = Folder::new();
    folder.change_json("policy_preprocessor.json", |pipeline| {
        pipeline["steps"] = json!([])
    });
    refused_with(
        &folder,
        &["no step normalizer_processor, so observation.state cannot be scaled"],
    );
}

#[test]
fn statistics_that_cannot_be_used() {
    let folder = Folder::new();
    let mut std = [1.0; 14];
    std[3] = 0.0;
    folder.change_tensors(
        "policy_preprocessor_step_6_normalizer_processor.safetensors",
        |tensors| {
            tensors.insert("observation.state.std".to_owned(), Tensor::f32(&std, &[14]));
            tensors.insert(
                "observation.state.mean".to_owned(),
                Tensor::f32(&[0.0; 13], &[13]),
            );
        },
    );
    folder.change_tensors(
        "policy_postprocessor_step_0_unnormalizer_processor.safetensors",
        |tensors| {
            tensors.insert("action.mean".to_owned(), Tensor::f32(&[f32::NAN; 14], &[14]));
        },
    );
    refused_with(
        &folder,
        &[
            "state.std[3] is 0, expected more than 0: the value never changed in the data",
            "state.mean has 13 values, expected 14",
            "action.mean[13] is NaN",
        ],
    );
}

#[test]
fn actions_relative_to_a_shorter_state() {
    let folder = Folder::overlaid(&["checkpoint_relative_actions"]);
    folder.change_json("config.json", |config| {
        config["input_features"]["observation.state"]["shape"] = json!([13]);
    });
    folder.change_tensors(
        "policy_preprocessor_step_6_normalizer_processor.safetensors",
        |tensors| {
            for statistic in ["mean", "std"] {
                let name = format!("observation.state.{statistic}");
                tensors.insert(name, Tensor::f32(&[1.0; 13], &[13]));
            }
        },
    );
    refused_with(&folder, &["actions of 14 values are relative to a state of 13"]);
}

#[test]
fn a_processor_step_that_is_none_of_pi0() {
    let folder = Folder::new();
    folder.change_json("policy_postprocessor.json", |pipeline| {
        let steps = pipeline["steps"].as_array_mut().unwrap();
        steps.push(json!({"registry_name": "mirror_actions_processor", "config": {}}));
    });
    refused_with(
        &folder,
        &["policy_postprocessor.json", "\"mirror_actions_processor\""],
    );
}

#[test]
fn relative_actions_that_no_step_makes_absolute_and_the_reverse() {
    for (file, step, found) in [
        (
            "policy_postprocessor.json",
            1,
            "relative_actions_processor is on and absolute_actions_processor is off",
        ),
        (
            "policy_preprocessor.json",
            5,
            "relative_actions_processor is off or missing and absolute_actions_processor is on",
        ),
    ] {
        let folder = Folder::overlaid(&["checkpoint_relative_actions"]);
        folder.change_json(file, |pipeline| {
            pipeline["steps"].as_array_mut().unwrap().remove(step);
        });
        refused_with(&folder, &[found, "expected both or neither"]);
    }
}

#[test]
fn images_that_the_pipeline_scales() {
    let folder = Folder::new();
    folder.change_json("policy_preprocessor.json", |pipeline| {
        pipeline["steps"][6]["config"]["norm_map"]["VISUAL"] = json!("MEAN_STD");
    });
    refused_with(&folder, &["scales VISUAL by \"MEAN_STD\", expected \"IDENTITY\""]);
}

#[test]
fn tokenizer_that_is_none_or_does_not_begin_prompts() {
    let folder = Folder::new();
    folder.change_json("tokenizer.json", |tokenizer| {
        tokenizer["post_processor"] = json!(null)
    });
    refused_with(&folder, &["tokenizer.json", "<bos>"]);
    fs::write(folder.file("tokenizer.json"), "{}").unwrap();
    refused_with(&folder, &["tokenizer.json", "not a tokenizer"]);
}

#[test]
fn problems_of_several_files_are_listed_at_once() {
    let folder = Folder::new();
    fs::write(folder.file("tokenizer.json"), "{}").unwrap();
    folder.remove("policy_preprocessor.json");
    folder.change_tensors("model.safetensors", |tensors| {
        tensors.remove("model.action_in_proj.bias").unwrap();
    });
    refused_with(
        &folder,
        &[
            "tokenizer.json: not a tokenizer",
            "policy_preprocessor.json: missing",
            "action_in_proj.bias: missing",
        ],
    );
}

#[test]
fn weights_that_are_truncated_or_rewritten_while_they_are_loaded_make_no_policy() {
    let folder = Folder::new();
    let path = folder.file("model.safetensors");
    let whole = fs::read(&path).unwrap();
    let truncate = || {
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(5000)
            .unwrap()
    };
    let rewrite = || {
        fs::write(&path, &whole).unwrap();
        let later = SystemTime::now() + Duration::from_secs(1);
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(later)
            .unwrap();
    };
    for (change, words) in [
        (&truncate as &dyn Fn(), "to 5000 bytes while it was read"),
        (&rewrite, "written to while it was read"),
    ] {
        fs::write(&path, &whole).unwrap();
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        change();
        let device = CpuDevice::new(Precision::F32, 1).unwrap();
        let error = Pi0Policy::new(&checkpoint, device, &options())
            .err()
            .expect("refused");
        let error = error.to_string();
        assert!(
            error.contains("model.safetensors") && error.contains(words),
            "{error}"
        );
    }
}
