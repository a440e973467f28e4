//! The small checkpoint in the layout of every version of LeRobot: it is the same policy.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use image::RgbImage;
use pi0_node::checkpoint::{Checkpoint, ImagePosition, PromptError};
use pi0_node::device::{CpuDevice, Precision};
use pi0_node::model::Weights;
use pi0_node::model::parameters::parameters;
use pi0_node::policy::{ActionChunk, Observation, Pi0Policy, Policy};
use serde_json::json;

use crate::folder::{Folder, Tensor, Tensors};
use crate::robot::{FEW_STEPS, observation, options};

const PREPROCESSOR: &str = "policy_preprocessor.json";
const POSTPROCESSOR: &str = "policy_postprocessor.json";
const NORMALISER: &str = "policy_preprocessor_step_6_normalizer_processor.safetensors";
const UNNORMALISER: &str = "policy_postprocessor_step_0_unnormalizer_processor.safetensors";

fn open(path: &Path) -> Checkpoint {
    Checkpoint::open(path).unwrap_or_else(|error| panic!("{error}"))
}

fn actions(checkpoint: &Checkpoint, observation: &Observation) -> ActionChunk {
    let device = CpuDevice::new(Precision::F32, 1).unwrap();
    let mut policy = Pi0Policy::new(checkpoint, device, &options()).unwrap();
    policy.set_denoise_steps(FEW_STEPS).unwrap();
    policy
        .predict_from_noise(observation, &[0.3; 50 * 32], None)
        .unwrap()
}

/// Compares everything that decides about actions with that of another folder.
fn assert_same_policy(found: &Checkpoint, expected: &Folder) {
    let expected = open(expected.path());
    assert_eq!(found.state_dim(), expected.state_dim());
    assert_eq!(found.action_dim(), expected.action_dim());
    assert_eq!(found.statistics(), expected.statistics());
    assert_eq!(found.config().model, expected.config().model);
    assert_eq!(found.config().cameras, expected.config().cameras);
    assert_eq!(found.config().denoise_steps, expected.config().denoise_steps);
    for parameter in parameters(&expected.config().model) {
        assert_eq!(
            found.tensor(&parameter.name).bytes,
            expected.tensor(&parameter.name).bytes,
            "{}",
            parameter.name
        );
    }
}

fn rename_tensors(folder: &Folder, rename: impl Fn(&str) -> String) {
    folder.change_tensors("model.safetensors", |tensors| {
        let before = tensors.clone();
        *tensors = before
            .iter()
            .map(|(name, tensor)| (rename(name), tensor.clone()))
            .collect();
        assert_ne!(
            tensors.keys().collect::<Vec<_>>(),
            before.keys().collect::<Vec<_>>()
        );
    });
}

/// The small checkpoint with the features of a base: state and action of the padded lengths.
fn fine_tuned_from_a_base() -> Folder {
    let folder = Folder::new();
    folder.change_json("config.json", |config| {
        config["input_features"]["observation.state"]["shape"] = json!([24]);
        config["output_features"]["action"]["shape"] = json!([32]);
    });
    folder
}

#[test]
fn a_fine_tune_of_a_base_has_the_lengths_of_its_statistics() {
    let checkpoint = open(fine_tuned_from_a_base().path());
    assert_same_policy(&checkpoint, &Folder::new());
    let expected = actions(&open(Folder::new().path()), &observation());
    assert_eq!(actions(&checkpoint, &observation()), expected);
}

#[test]
fn a_fine_tune_of_a_base_may_have_other_lengths_of_state_and_action() {
    let folder = fine_tuned_from_a_base();
    folder.change_json("config.json", |config| {
        config["output_features"]["action"]["shape"] = json!([7]);
    });
    let short = |tensors: &mut Tensors, feature: &str, dim: usize| {
        for statistic in ["mean", "std"] {
            let tensor = Tensor::f32(&vec![1.0; dim], &[dim]);
            tensors.insert(format!("{feature}.{statistic}"), tensor);
        }
    };
    folder.change_tensors(NORMALISER, |tensors| short(tensors, "observation.state", 8));
    folder.change_tensors(UNNORMALISER, |tensors| short(tensors, "action", 7));
    let checkpoint = open(folder.path());
    assert_eq!((checkpoint.state_dim(), checkpoint.action_dim()), (8, 7));
}

#[test]
fn statistics_longer_than_the_padded_state_are_refused() {
    let folder = fine_tuned_from_a_base();
    folder.change_tensors(NORMALISER, |tensors| {
        for statistic in ["mean", "std"] {
            let tensor = Tensor::f32(&[1.0; 25], &[25]);
            tensors.insert(format!("observation.state.{statistic}"), tensor);
        }
    });
    let error = Checkpoint::open(folder.path()).err().unwrap().to_string();
    assert!(
        error.contains("25 values of the state, the model takes at most 24"),
        "{error}"
    );
}

#[test]
fn delta_actions_of_0_5_1_keep_the_grippers_absolute() {
    let folder = Folder::overlaid(&["checkpoint_relative_actions"]);
    folder.change_json(PREPROCESSOR, |pipeline| {
        let step = &mut pipeline["steps"][5];
        assert_eq!(step["registry_name"], "relative_actions_processor");
        step["registry_name"] = json!("delta_actions_processor");
    });
    let checkpoint = open(folder.path());
    assert_same_policy(&checkpoint, &Folder::overlaid(&["checkpoint_relative_actions"]));
    let absolute: Vec<usize> = (0..14)
        .filter(|joint| !checkpoint.statistics().relative[*joint])
        .collect();
    assert_eq!(absolute, [6, 13], "the grippers");
}

#[test]
fn names_of_transformers_5_6_have_no_vision_model() {
    let folder = Folder::new();
    rename_tensors(&folder, |name| {
        name.replace("vision_tower.vision_model.", "vision_tower.")
    });
    assert_same_policy(&open(folder.path()), &Folder::new());
}

#[test]
fn names_of_compiled_models() {
    for (part, compiled) in [
        ("model.", "model._orig_mod."),
        ("gemma_expert.", "gemma_expert._orig_mod."),
    ] {
        let folder = Folder::new();
        rename_tensors(&folder, |name| name.replacen(part, compiled, 1));
        assert_same_policy(&open(folder.path()), &Folder::new());
    }
}

#[test]
fn steps_named_by_their_classes() {
    let folder = Folder::overlaid(&["checkpoint_relative_actions"]);
    for file in [PREPROCESSOR, POSTPROCESSOR] {
        folder.change_json(file, |pipeline| {
            for step in pipeline["steps"].as_array_mut().unwrap() {
                let (module, class) = match step["registry_name"].as_str().unwrap() {
                    "rename_observations_processor" => ("rename", "RenameObservationsProcessorStep"),
                    "to_batch_processor" => ("batch", "AddBatchDimensionProcessorStep"),
                    "pi0_new_line_processor" => ("pi0", "Pi0NewLineProcessor"),
                    "tokenizer_processor" => ("tokenizer", "TokenizerProcessorStep"),
                    "device_processor" => ("device", "DeviceProcessorStep"),
                    "relative_actions_processor" => ("relative_action", "RelativeActionsProcessorStep"),
                    "normalizer_processor" => ("normalize", "NormalizerProcessorStep"),
                    "unnormalizer_processor" => ("normalize", "UnnormalizerProcessorStep"),
                    "absolute_actions_processor" => ("relative_action", "AbsoluteActionsProcessorStep"),
                    other => panic!("{other}"),
                };
                step.as_object_mut().unwrap().remove("registry_name");
                step["class"] = json!(format!("lerobot.processor.{module}_processor.{class}"));
            }
        });
    }
    let expected = Folder::overlaid(&["checkpoint_relative_actions"]);
    assert_same_policy(&open(folder.path()), &expected);

    folder.change_json(PREPROCESSOR, |pipeline| {
        pipeline["steps"][1]["class"] = json!("my_robot.steps.MirrorProcessorStep");
    });
    let error = Checkpoint::open(folder.path()).err().unwrap().to_string();
    assert!(
        error.contains("\"my_robot.steps.MirrorProcessorStep\""),
        "{error}"
    );
}

#[test]
fn the_tokenizer_step_limits_prompts() {
    let folder = Folder::new();
    folder.change_json(PREPROCESSOR, |pipeline| {
        pipeline["steps"][3]["config"]["max_length"] = json!(5);
    });
    let checkpoint = open(folder.path());
    assert_eq!(checkpoint.config().model.max_prompt_tokens, 5);
    let refused = checkpoint.tokenizer().encode("pick up the cube and put it down");
    assert!(
        matches!(refused, Err(PromptError::TooLong { limit: 5, .. })),
        "{refused:?}"
    );

    folder.change_json(PREPROCESSOR, |pipeline| {
        pipeline["steps"][3]["config"]["max_length"] = json!(0);
    });
    let error = Checkpoint::open(folder.path()).err().unwrap().to_string();
    assert!(error.contains("max_length 0"), "{error}");
}

/// A training run with the small checkpoint as each of these steps.
fn run(steps: &[&str]) -> tempfile::TempDir {
    let run = tempfile::tempdir().unwrap();
    let policy = Folder::new();
    for step in steps {
        let step = run.path().join("checkpoints").join(step);
        fs::create_dir_all(step.join("training_state")).unwrap();
        fs::create_dir_all(step.join("pretrained_model")).unwrap();
        for file in fs::read_dir(policy.path()).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), step.join("pretrained_model").join(file.file_name())).unwrap();
        }
    }
    run
}

#[test]
fn a_training_step_or_run_stands_for_its_policy() {
    let run = run(&["002000", "020000", "010000"]);
    let steps = run.path().join("checkpoints");
    let opened = |folder: &Path| open(folder).folder().strip_prefix(run.path()).unwrap().to_owned();
    let policy = Path::new("checkpoints/020000/pretrained_model");
    assert_eq!(opened(&run.path().join(policy)), policy);
    assert_eq!(opened(&steps.join("020000")), policy);
    assert_eq!(opened(&steps), policy);
    assert_eq!(opened(run.path()), policy);

    let last = steps.join("last");
    std::os::unix::fs::symlink("010000", &last).unwrap();
    let policy = Path::new("checkpoints/last/pretrained_model");
    assert_eq!(opened(&steps), policy);
    assert_eq!(opened(run.path()), policy);

    fs::remove_file(&last).unwrap();
    std::os::unix::fs::symlink("last", &last).unwrap();
    assert_eq!(opened(&steps), Path::new("checkpoints/020000/pretrained_model"));
}

/// The small checkpoint as LeRobot 0.3 saves it: its configuration, its nesting of PaliGemma, statistics among
/// the weights and no processors.
fn lerobot_0_3() -> Folder {
    let folder = Folder::new();
    let statistics = [
        (
            NORMALISER,
            "observation.state",
            "normalize_inputs.buffer_observation_state",
        ),
        (UNNORMALISER, "action", "normalize_targets.buffer_action"),
        (UNNORMALISER, "action", "unnormalize_outputs.buffer_action"),
    ];
    let mut buffers = Tensors::new();
    for (file, feature, buffer) in statistics {
        let stored = crate::folder::read_tensors(&folder.file(file));
        for statistic in ["mean", "std"] {
            let tensor = stored[&format!("{feature}.{statistic}")].clone();
            buffers.insert(format!("{buffer}.{statistic}"), tensor);
        }
    }
    let paligemma = "paligemma_with_expert.paligemma.";
    rename_tensors(&folder, |name| {
        name.replace(
            &format!("{paligemma}model.language_model."),
            &format!("{paligemma}language_model.model."),
        )
        .replace(
            &format!("{paligemma}lm_head."),
            &format!("{paligemma}language_model.lm_head."),
        )
        .replace(&format!("{paligemma}model."), paligemma)
    });
    folder.change_tensors("model.safetensors", |tensors| tensors.append(&mut buffers));
    for file in [PREPROCESSOR, POSTPROCESSOR, NORMALISER, UNNORMALISER] {
        folder.remove(file);
    }
    folder.change_json("config.json", |config| {
        *config = json!({
            "type": "pi0",
            "n_obs_steps": 1,
            "normalization_mapping": config["normalization_mapping"],
            "input_features": config["input_features"],
            "output_features": config["output_features"],
            "chunk_size": 50,
            "n_action_steps": 50,
            "max_state_dim": 24,
            "max_action_dim": 32,
            "resize_imgs_with_padding": [56, 56],
            "empty_cameras": 0,
            "adapt_to_pi_aloha": false,
            "use_delta_joint_actions_aloha": false,
            "tokenizer_max_length": 48,
            "proj_width": 48,
            "num_steps": 10,
            "use_cache": true,
            "attention_implementation": "eager",
            "freeze_vision_encoder": true,
            "train_expert_only": false,
            "train_state_proj": true,
        });
    });
    folder
}

#[test]
fn lerobot_0_3_with_its_statistics_among_the_weights() {
    let folder = lerobot_0_3();
    let checkpoint = open(folder.path());
    assert_same_policy(&checkpoint, &Folder::new());
    assert_eq!(checkpoint.config().image_fit.position, ImagePosition::BottomRight);
    folder.change_json("config.json", |config| config["num_steps"] = json!(4));
    assert_eq!(open(folder.path()).config().denoise_steps, 4);
}

#[test]
fn lerobot_0_3_with_processors_that_were_added_later() {
    let folder = lerobot_0_3();
    let today = Folder::new();
    for file in [PREPROCESSOR, POSTPROCESSOR, NORMALISER, UNNORMALISER] {
        fs::copy(today.file(file), folder.file(file)).unwrap();
    }
    folder.change_tensors("model.safetensors", |tensors| {
        tensors.retain(|name, _| !name.contains("buffer_"));
    });
    let checkpoint = open(folder.path());
    assert_same_policy(&checkpoint, &today);
    assert_eq!(checkpoint.config().image_fit.position, ImagePosition::BottomRight);
}

/// Frames of 56 × 42 pixels at the bottom of a black square are what 0.3 makes of them alone.
#[test]
fn lerobot_0_3_sees_images_at_the_bottom_right() {
    let wide = |shade: u8| RgbImage::from_fn(56, 42, |x, y| image::Rgb([shade, x as u8 * 4, y as u8 * 5]));
    let at_bottom = |shade: u8| {
        let mut square = RgbImage::new(56, 56);
        image::imageops::replace(&mut square, &wide(shade), 0, 14);
        square
    };
    let seen = |frame: &dyn Fn(u8) -> RgbImage| Observation {
        images: [("top", 10), ("right_wrist", 200)]
            .map(|(name, shade)| (name.to_owned(), Arc::new(frame(shade))))
            .into(),
        ..observation()
    };
    let today = open(Folder::new().path());
    let expected = actions(&today, &seen(&at_bottom));
    assert_eq!(actions(&open(lerobot_0_3().path()), &seen(&wide)), expected);
    assert_ne!(actions(&today, &seen(&wide)), expected);
}

#[test]
fn what_lerobot_0_3_does_to_joints_or_without_a_size_of_images_is_refused() {
    let folder = lerobot_0_3();
    folder.change_json("config.json", |config| {
        config["adapt_to_pi_aloha"] = json!(true);
        config["use_delta_joint_actions_aloha"] = json!(true);
        config["resize_imgs_with_padding"] = json!(null);
        config["num_inference_steps"] = json!(5);
        config["image_resolution"] = json!([56, 56]);
    });
    let error = Checkpoint::open(folder.path()).err().unwrap().to_string();
    for words in [
        "adapt_to_pi_aloha is true, expected false",
        "use_delta_joint_actions_aloha is true, expected false",
        "resize_imgs_with_padding is null, expected width and height",
        "num_steps is 10 and num_inference_steps 5",
    ] {
        assert!(error.contains(words), "{words:?} is not in: {error}");
    }
}

#[test]
fn statistics_of_lerobot_0_3_that_are_missing_or_were_never_set_are_refused() {
    let folder = lerobot_0_3();
    folder.change_tensors("model.safetensors", |tensors| {
        tensors.remove("unnormalize_outputs.buffer_action.std").unwrap();
    });
    let error = Checkpoint::open(folder.path()).err().unwrap().to_string();
    assert!(
        error.contains("unnormalize_outputs.buffer_action.std is missing"),
        "{error}"
    );

    let folder = lerobot_0_3();
    folder.change_tensors("model.safetensors", |tensors| {
        for (name, tensor) in tensors {
            if name.contains("buffer_") {
                *tensor = Tensor::f32(&[f32::INFINITY; 14], &[14]);
            }
        }
    });
    let error = Checkpoint::open(folder.path()).err().unwrap().to_string();
    assert!(error.contains("no normalisation statistics"), "{error}");
}
