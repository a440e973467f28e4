//! What a user chooses where LeRobot's folder does not tell, and what is taken without a choice.

use pi0_node::checkpoint::{Checkpoint, CheckpointOptions, ImageBars, JointLabels, Resize};
use pi0_node::device::{CpuDevice, Precision};
use pi0_node::policy::{CameraOptions, DeviceOptions, Pi0Policy, Policy, PolicyOptions, open_with};
use serde_json::json;

use crate::folder::{Folder, Tensor};
use crate::robot::{FEW_STEPS, observation, options};

const CPU: DeviceOptions = DeviceOptions::cpu().threads(1);
const NORMALISER: &str = "policy_preprocessor_step_6_normalizer_processor.safetensors";
const UNNORMALISER: &str = "policy_postprocessor_step_0_unnormalizer_processor.safetensors";
const GRIPPER: usize = 6;

#[test]
fn bars_beside_images_are_those_of_the_version_that_wrote_the_checkpoint_unless_they_are_chosen() {
    let folder = Folder::new();
    let bars = |chosen: Option<ImageBars>| {
        let options = CheckpointOptions {
            image_bars: chosen,
            ..CheckpointOptions::default()
        };
        let checkpoint = Checkpoint::open_with(folder.path(), &options).unwrap();
        checkpoint.config().image_fit.bars
    };
    let remove = |key: &str| {
        folder.change_json("config.json", |config| {
            config.as_object_mut().unwrap().remove(key).unwrap();
        });
    };
    assert_eq!(bars(None), ImageBars::Black, "0.6");
    assert_eq!(bars(Some(ImageBars::BelowBlack)), ImageBars::BelowBlack);
    remove("use_relative_actions");
    assert_eq!(bars(None), ImageBars::Black, "0.4.3 to 0.5.0");
    remove("use_peft");
    assert_eq!(bars(None), ImageBars::BelowBlack, "0.4.0 to 0.4.2");
    assert_eq!(bars(Some(ImageBars::Black)), ImageBars::Black);
}

#[test]
fn lerobot_resizes_without_antialiasing_unless_it_is_chosen() {
    for (chosen, expected) in [
        (None, Resize::Plain),
        (Some(Resize::Antialiased), Resize::Antialiased),
    ] {
        let options = CheckpointOptions {
            resize: chosen,
            ..CheckpointOptions::default()
        };
        let checkpoint = Checkpoint::open_with(Folder::new().path(), &options).unwrap();
        assert_eq!(checkpoint.config().image_fit.resize, expected);
    }
}

/// The small checkpoint, whose left gripper never moved from 0.7 in the data.
fn with_a_still_gripper() -> Folder {
    let folder = Folder::new();
    for (file, feature) in [(NORMALISER, "observation.state"), (UNNORMALISER, "action")] {
        folder.change_tensors(file, |tensors| {
            for (statistic, value) in [("mean", 0.7), ("std", 0.0)] {
                let tensor = tensors.get_mut(&format!("{feature}.{statistic}")).unwrap();
                let mut values = tensor.to_f32();
                values[GRIPPER] = value;
                *tensor = Tensor::f32(&values, &[14]);
            }
        });
    }
    folder
}

#[test]
fn a_joint_that_never_moved_is_refused_by_name_or_constant_where_the_user_says_so() {
    let folder = with_a_still_gripper();
    let labelled = |constant: &[&str]| {
        let joints: Vec<String> = (0..14).map(|joint| format!("joint_{joint}")).collect();
        PolicyOptions {
            checkpoint: CheckpointOptions {
                joints: JointLabels {
                    actions: joints.iter().cloned().map(Some).collect(),
                    state: joints,
                    constant: constant.iter().map(|name| (*name).to_owned()).collect(),
                },
                ..CheckpointOptions::default()
            },
            ..options()
        }
    };
    let error = open_with(folder.path(), CPU, labelled(&[]))
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("state.std[6] is 0") && error.contains("set joints.joint_6.constant to true"),
        "{error}"
    );

    let constant = labelled(&["joint_6"]);
    let checkpoint = Checkpoint::open_with(folder.path(), &constant.checkpoint).unwrap();
    let device = CpuDevice::new(Precision::F32, 1).unwrap();
    let mut policy = Pi0Policy::new(&checkpoint, device, &constant).unwrap();
    policy.set_denoise_steps(FEW_STEPS).unwrap();
    let mut predicted = |gripper: f32| {
        let mut observation = observation();
        observation.state[GRIPPER] = gripper;
        policy
            .predict_from_noise(&observation, &[0.3; 50 * 32], None)
            .unwrap()
    };
    let chunk = predicted(0.7);
    assert_eq!(chunk, predicted(0.2), "the model does not see it");
    for index in 0..chunk.horizon() {
        assert_eq!(chunk.action(index)[GRIPPER], 0.7);
    }
}

#[test]
fn cameras_that_were_renamed_for_training_are_named_by_both_names() {
    let folder = Folder::new();
    folder.change_json("policy_preprocessor.json", |pipeline| {
        let step = &mut pipeline["steps"][0];
        assert_eq!(step["registry_name"], "rename_observations_processor");
        step["config"]["rename_map"] = json!({"observation.images.cam_high": "observation.images.top"});
    });
    let wrong = PolicyOptions {
        cameras: Some(["cam_high", "right_wrist"].map(CameraOptions::new).to_vec()),
        ..options()
    };
    let error = open_with(folder.path(), CPU, wrong).err().unwrap().to_string();
    for words in [
        "camera top (cam_high in the data that it was trained with) is neither configured nor said to be absent",
        "camera cam_high is unknown, the checkpoint has: top (cam_high in the data that it was trained with), left",
    ] {
        assert!(error.contains(words), "{words:?} is not in: {error}");
    }
}
