//! The small checkpoint in the layouts of openpi, and what a user chooses where these do not tell.

use std::fs;
use std::path::Path;

use pi0_node::checkpoint::{
    Checkpoint, CheckpointOptions, ImageBars, ImageFit, ImagePosition, Normalisation, OpenpiNormalisation,
    OpenpiOptions, Resize,
};
use pi0_node::device::{CpuDevice, Precision};
use pi0_node::policy::{ActionChunk, Observation, Pi0Policy, Policy, PolicyOptions};
use serde_json::{Value, json};

use crate::folder::{Folder, Tensor};
use crate::robot::{FEW_STEPS, observation};

/// The small checkpoint as openpi's conversion would write it: state and action of one width, statistics of 14
/// values padded with zeros.
fn openpi() -> Folder {
    let folder = Folder::new();
    folder.change_tensors("model.safetensors", |tensors| {
        let openpi = |name: &str| name.strip_prefix("model.").unwrap().to_owned();
        *tensors = tensors
            .iter()
            .map(|(name, tensor)| (openpi(name), tensor.clone()))
            .collect();
        let weight = Tensor::f32(&[0.5; 48 * 32], &[48, 32]);
        tensors.insert("state_proj.weight".to_owned(), weight);
    });
    for file in ["policy_preprocessor.json", "policy_postprocessor.json"] {
        folder.remove(file);
    }
    let config = json!({
        "action_dim": 32, "action_horizon": 50, "paligemma_variant": "gemma_2b",
        "action_expert_variant": "gemma_300m", "precision": "float32",
    });
    fs::write(folder.file("config.json"), config.to_string()).unwrap();
    write_statistics(&folder, "physical/aloha", &of_vectors());
    folder
}

fn of_vectors() -> Value {
    let padded = |value: f32| -> Vec<f32> {
        (0..32)
            .map(|index| if index < 14 { value } else { 0.0 })
            .collect()
    };
    json!({"mean": padded(0.25), "std": padded(2.0), "q01": padded(-1.0), "q99": padded(3.0)})
}

fn write_statistics(folder: &Folder, asset: &str, of_vector: &Value) {
    let asset = folder.file("assets").join(asset);
    fs::create_dir_all(&asset).unwrap();
    let statistics = json!({"norm_stats": {"state": of_vector, "actions": of_vector}});
    fs::write(asset.join("norm_stats.json"), statistics.to_string()).unwrap();
}

fn open(folder: &Path, openpi: OpenpiOptions) -> Result<Checkpoint, String> {
    let options = CheckpointOptions {
        openpi,
        ..CheckpointOptions::default()
    };
    Checkpoint::open_with(folder, &options).map_err(|error| error.to_string())
}

fn refused_with(folder: &Folder, options: OpenpiOptions, words: &[&str]) {
    let error = open(folder.path(), options).err().expect("refused");
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
}

fn asset(name: &str) -> OpenpiOptions {
    OpenpiOptions {
        asset: Some(name.to_owned()),
        ..OpenpiOptions::default()
    }
}

#[test]
fn openpi_configuration_and_statistics() {
    let folder = openpi();
    let checkpoint = open(folder.path(), OpenpiOptions::default()).unwrap();
    assert_eq!((checkpoint.state_dim(), checkpoint.action_dim()), (14, 14));
    assert_eq!(
        checkpoint.config().cameras,
        ["base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb"]
    );
    assert_eq!(checkpoint.config().model.max_state_dim, 32);
    let expected = Normalisation::MeanStd {
        mean: vec![0.25; 14],
        std: vec![2.0; 14],
        epsilon: 1e-6,
        epsilon_back: 1e-6,
    };
    assert_eq!(checkpoint.statistics().state, expected);
    assert_eq!(checkpoint.statistics().action, expected);
    let expected = ImageFit {
        position: ImagePosition::Centre,
        bars: ImageBars::Black,
        resize: Resize::Antialiased,
    };
    assert_eq!(checkpoint.config().image_fit, expected);
}

#[test]
fn one_of_several_robots_statistics_is_chosen_by_its_asset() {
    let folder = openpi();
    let other = json!({"mean": vec![1.0; 7], "std": vec![1.0; 7]});
    write_statistics(&folder, "ur5e", &other);
    let words = [
        "found those of 2",
        "set openpi_asset to one of: physical/aloha, ur5e",
    ];
    refused_with(&folder, OpenpiOptions::default(), &words);
    refused_with(
        &folder,
        asset("ur5"),
        &["openpi_asset is \"ur5\"", "physical/aloha, ur5e"],
    );
    assert_eq!(open(folder.path(), asset("ur5e")).unwrap().state_dim(), 7);
    assert_eq!(
        open(folder.path(), asset("physical/aloha")).unwrap().state_dim(),
        14
    );
}

#[test]
fn without_statistics_openpi_is_refused() {
    let folder = openpi();
    fs::remove_dir_all(folder.file("assets")).unwrap();
    refused_with(
        &folder,
        OpenpiOptions::default(),
        &["no <asset>/norm_stats.json", "copy the assets folder"],
    );
}

#[test]
fn links_in_a_circle_among_assets_are_followed_once() {
    let folder = openpi();
    for name in ["again", "once_more"] {
        std::os::unix::fs::symlink("..", folder.file("assets/physical").join(name)).unwrap();
    }
    assert_eq!(
        open(folder.path(), OpenpiOptions::default()).unwrap().state_dim(),
        14
    );
}

#[test]
fn quantiles_have_openpi_s_epsilon_and_must_be_there() {
    let quantiles = || OpenpiOptions {
        normalisation: Some(OpenpiNormalisation::Quantiles),
        ..OpenpiOptions::default()
    };
    let folder = openpi();
    let expected = Normalisation::Range {
        low: vec![-1.0; 14],
        high: vec![3.0; 14],
        epsilon: 1e-6,
    };
    assert_eq!(
        open(folder.path(), quantiles()).unwrap().statistics().state,
        expected
    );
    write_statistics(
        &folder,
        "physical/aloha",
        &json!({"mean": vec![1.0; 7], "std": vec![1.0; 7], "q01": null}),
    );
    refused_with(
        &folder,
        quantiles(),
        &["state has no q01 and q99", "set normalisation to mean_std"],
    );
}

#[test]
fn openpi_s_own_training_has_no_configuration() {
    let folder = openpi();
    folder.remove("config.json");
    let checkpoint = open(folder.path(), OpenpiOptions::default()).unwrap();
    let config = &checkpoint.config().model;
    assert_eq!(
        (
            config.max_action_dim,
            config.action_horizon,
            config.max_prompt_tokens
        ),
        (32, 50, 48)
    );
    let options = OpenpiOptions {
        action_horizon: Some(10),
        max_prompt_tokens: Some(100),
        ..OpenpiOptions::default()
    };
    let checkpoint = open(folder.path(), options.clone()).unwrap();
    let config = &checkpoint.config().model;
    assert_eq!((config.action_horizon, config.max_prompt_tokens), (10, 100));

    // Of other sizes than those that are published.
    folder.remove("architecture.json");
    refused_with(
        &folder,
        OpenpiOptions::default(),
        &["the weights do not fit the configuration"],
    );
    refused_with(
        &openpi(),
        options,
        &["action_horizon is 50, but openpi_action_horizon 10"],
    );
}

#[test]
fn a_lerobot_folder_that_lost_its_configuration_is_not_taken_for_openpi_s() {
    let folder = Folder::new();
    folder.remove("config.json");
    refused_with(
        &folder,
        OpenpiOptions::default(),
        &["config.json", "No such file"],
    );
}

#[test]
fn choices_about_openpi_are_refused_for_a_folder_of_lerobot() {
    let options = OpenpiOptions {
        asset: Some("aloha".to_owned()),
        normalisation: Some(OpenpiNormalisation::MeanStd),
        delta_actions: vec![true; 6],
        ..OpenpiOptions::default()
    };
    let words = [
        "the parameter openpi_asset is set",
        "the parameter normalisation is set",
        "the parameter delta_actions is set",
    ];
    refused_with(&Folder::new(), options, &words);
}

fn actions(folder: &Folder, delta_actions: Vec<bool>) -> ActionChunk {
    let openpi = OpenpiOptions {
        delta_actions,
        ..OpenpiOptions::default()
    };
    let checkpoint = open(folder.path(), openpi).unwrap();
    let device = CpuDevice::new(Precision::F32, 1).unwrap();
    let mut policy = Pi0Policy::new(&checkpoint, device, &PolicyOptions::default()).unwrap();
    policy.set_denoise_steps(FEW_STEPS).unwrap();
    let frame = observation().images.into_values().next().unwrap();
    let cameras = policy.info().cameras.clone();
    let observation = Observation {
        images: cameras.into_iter().map(|name| (name, frame.clone())).collect(),
        ..observation()
    };
    policy
        .predict_from_noise(&observation, &[0.3; 50 * 32], None)
        .unwrap()
}

#[test]
fn the_state_is_added_to_the_actions_that_the_mask_marks() {
    let folder = openpi();
    // openpi's make_bool_mask(6, -1).
    let mut mask = vec![true; 6];
    mask.push(false);
    let (absolute, relative) = (actions(&folder, Vec::new()), actions(&folder, mask.clone()));
    let state = observation().state;
    for index in 0..absolute.horizon() {
        for (joint, (absolute, relative)) in absolute
            .action(index)
            .iter()
            .zip(relative.action(index))
            .enumerate()
        {
            let is_relative = mask.get(joint) == Some(&true);
            let expected = if is_relative {
                absolute + state[joint]
            } else {
                *absolute
            };
            assert_eq!(*relative, expected, "joint {joint} of action {index}");
        }
    }
    let longer = OpenpiOptions {
        delta_actions: vec![true; 15],
        ..OpenpiOptions::default()
    };
    refused_with(&folder, longer, &["15 values are relative to a state of 14"]);
}
