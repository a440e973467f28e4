//! An observation that does not fit gives one message that names what does not, and no actions; the next one
//! that fits gives them.

use std::num::NonZeroUsize;
use std::sync::Arc;

use image::RgbImage;
use pi0_node::device::{CpuDevice, Precision};
use pi0_node::policy::{
    Crop, DeviceChoice, DeviceOptions, Observation, OpenError, Pi0Policy, Policy, PolicyOptions, open_with,
};

use crate::folder::{Folder, reference};
use crate::robot::{FEW_STEPS, frame, observation, options};

const CPU: DeviceOptions = DeviceOptions::cpu().threads(1);

fn open(options: PolicyOptions) -> Box<dyn Policy + Send> {
    let mut policy = open_with(reference("checkpoint"), CPU, options).unwrap();
    policy.set_denoise_steps(FEW_STEPS).unwrap();
    policy
}

/// The message for an observation after a change; one without the change must be predicted afterwards.
fn refusal(change: impl FnOnce(&mut Observation)) -> String {
    let mut policy = open(options());
    let mut changed = observation();
    change(&mut changed);
    let message = policy.predict(&changed).expect_err("refused").to_string();
    let chunk = policy.predict(&observation()).unwrap();
    assert_eq!((chunk.horizon(), chunk.action_dim()), (50, 14));
    message
}

#[test]
fn not_a_number_in_the_state() {
    for value in [f32::NAN, f32::INFINITY] {
        let message = refusal(|observation| observation.state[7] = value);
        assert_eq!(
            message,
            format!("value 7 of the state is {value}, expected a finite number")
        );
    }
}

#[test]
fn state_of_another_length() {
    let message = refusal(|observation| observation.state.truncate(13));
    assert_eq!(message, "the state has 13 values, expected 14");
}

#[test]
fn camera_without_an_image() {
    let message = refusal(|observation| {
        observation.images.remove("top");
    });
    assert_eq!(
        message,
        "the observation has no image of camera top; it has images of: right_wrist"
    );
}

#[test]
fn image_without_pixels() {
    let message = refusal(|observation| {
        observation
            .images
            .insert("top".to_owned(), Arc::new(RgbImage::new(0, 0)));
    });
    assert_eq!(
        message,
        "camera top: the image is 0 × 0 pixels, expected at least 1 × 1"
    );
}

#[test]
fn crop_that_leaves_the_image() {
    let mut options = options();
    options.cameras.as_mut().unwrap()[1].crop = Some(Crop {
        x: 10,
        y: 0,
        width: 31,
        height: 30,
    });
    let message = open(options).predict(&observation()).unwrap_err().to_string();
    assert_eq!(
        message,
        "camera top: the crop of 31 × 30 pixels at (10, 0) is empty or reaches out of the image of 40 × 30"
    );
}

#[test]
fn prompt_that_is_empty_or_too_long() {
    for empty in ["", " ", "\n"] {
        let message = refusal(|observation| observation.prompt = empty.to_owned());
        assert!(message.contains("prompt is empty"), "{message}");
    }
    let message = refusal(|observation| observation.prompt = "a".repeat(47));
    assert!(
        message.contains("49 tokens long") && message.contains("allows 48"),
        "{message}"
    );
}

#[test]
fn noise_of_another_length() {
    let checkpoint = pi0_node::checkpoint::Checkpoint::open(reference("checkpoint")).unwrap();
    let device = CpuDevice::new(Precision::F32, 1).unwrap();
    let mut policy = Pi0Policy::new(&checkpoint, device, &options()).unwrap();
    let message = policy
        .predict_from_noise(&observation(), &[0.0; 3], None)
        .unwrap_err()
        .to_string();
    assert_eq!(message, "the noise has 3 values, expected 1600");
}

#[test]
fn actions_that_are_not_finite_are_discarded() {
    let folder = Folder::new();
    folder.change_tensors("model.safetensors", |tensors| {
        let bias = tensors.get_mut("model.action_out_proj.bias").unwrap();
        bias.bytes[4 * 2..4 * 3].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    let mut policy = open_with(folder.path(), CPU, options()).unwrap();
    policy.set_denoise_steps(NonZeroUsize::new(1)).unwrap();
    let message = policy.predict(&observation()).unwrap_err().to_string();
    assert_eq!(
        message,
        "value 2 of action 0 came out of the model as NaN; the chunk is discarded"
    );
}

#[test]
fn token_outside_the_vocabulary() {
    let folder = Folder::new();
    folder.change_json("tokenizer.json", |tokenizer| {
        let tokens = tokenizer["model"]["vocab"].as_object_mut().unwrap();
        let newline = tokens.values_mut().find(|id| **id == 4).unwrap();
        *newline = 300.into();
    });
    let mut policy = open_with(folder.path(), CPU, options()).unwrap();
    let message = policy.predict(&observation()).unwrap_err().to_string();
    assert!(
        message.contains("token 300") && message.contains("vocabulary has 300"),
        "{message}"
    );
}

#[test]
fn cameras_that_do_not_fit_the_checkpoint() {
    let mut wrong = options();
    wrong.absent_cameras.clear();
    wrong.cameras.as_mut().unwrap()[0].name = "wrist".to_owned();
    let error = open_with(reference("checkpoint"), CPU, wrong).err().unwrap();
    let message = error.to_string();
    for named in [
        "left_wrist is neither",
        "right_wrist is neither",
        "wrist is unknown",
    ] {
        assert!(message.contains(named), "{named:?} is not in: {message}");
    }
}

#[test]
fn device_that_this_build_does_not_have() {
    let card = DeviceOptions {
        device: DeviceChoice::Tenstorrent,
        ..DeviceOptions::default()
    };
    let error = open_with(reference("checkpoint"), card, options()).err().unwrap();
    assert!(matches!(error, OpenError::NoDevice { .. }), "{error}");
    if cfg!(not(feature = "tenstorrent")) {
        assert!(error.to_string().contains("this build has none"), "{error}");
    }
}

#[test]
fn the_policy_s_cameras_are_in_the_order_of_the_checkpoint() {
    let policy = open(options());
    let info = policy.info();
    assert_eq!(info.cameras, ["top", "right_wrist"]);
    assert_eq!(
        (info.state_dim, info.action_dim, info.action_horizon),
        (14, 14, 50)
    );
    let description = &info.description;
    assert!(description.contains("50 actions of 14 values"), "{description}");
}

#[test]
fn a_checkpoint_opens_with_all_of_its_cameras_when_no_option_is_chosen() {
    let mut policy = open(PolicyOptions::default());
    assert_eq!(policy.info().cameras, ["top", "left_wrist", "right_wrist"]);
    let mut observation = observation();
    let missing = policy.predict(&observation).unwrap_err().to_string();
    assert!(missing.contains("no image of camera left_wrist"), "{missing}");
    observation.images.insert("left_wrist".to_owned(), frame(40));
    policy.predict(&observation).unwrap();
}

#[test]
fn chunks_repeat_for_a_seed_and_follow_prompt_and_seed() {
    let mut first = open(options());
    let mut second = open(options());
    let chunk = first.predict(&observation()).unwrap();
    assert_eq!(chunk, second.predict(&observation()).unwrap());
    let next = first.predict(&observation()).unwrap();
    assert_ne!(chunk, next);
    assert_eq!(next, second.predict(&observation()).unwrap());

    let other_prompt = Observation {
        prompt: "put down the cube".to_owned(),
        ..observation()
    };
    assert_ne!(
        first.predict(&observation()).unwrap(),
        second.predict(&other_prompt).unwrap()
    );

    let mut other_seed = open(PolicyOptions { seed: 6, ..options() });
    assert_ne!(chunk, other_seed.predict(&observation()).unwrap());
}
