//! Everything around the network equals LeRobot's, and so does the whole policy.

use std::fs;
use std::sync::Arc;

use image::RgbImage;
use pi0_node::checkpoint::{Checkpoint, ImageFit, PromptError, Resize};
use pi0_node::device::{CpuDevice, Pixels, Precision};
use pi0_node::policy::{CameraOptions, Observation, Pi0Policy, PolicyOptions, prepare_image};
use serde::Deserialize;

use crate::folder::{Folder, Tensor, read_tensors, reference};

pub fn picture(tensor: &Tensor) -> RgbImage {
    let [height, width, 3] = tensor.shape[..] else {
        panic!("{:?}", tensor.shape)
    };
    RgbImage::from_raw(width as u32, height as u32, tensor.bytes.clone()).unwrap()
}

pub fn max_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn images_of_any_size() {
    let fixture = read_tensors(&reference("images.safetensors"));
    let mut cases = 0;
    for (name, input) in &fixture {
        let Some(case) = name.strip_suffix(".input") else {
            continue;
        };
        let output = &fixture[&format!("{case}.output")];
        let image = prepare_image(&picture(input), None, output.shape[1], ImageFit::default()).unwrap();
        let difference = max_difference(&image.values(), &output.to_f32());
        assert!(difference < 1e-4, "{case}: off by {difference}");
        cases += 1;
    }
    assert!(cases >= 14, "{cases} cases");
}

/// openpi's pictures, which `make_openpi_images` resized with openpi's own client.
#[test]
fn images_of_openpi_s_clients() {
    let inputs = read_tensors(&reference("images.safetensors"));
    let outputs = read_tensors(&reference("../openpi/images.safetensors"));
    let fit = ImageFit {
        resize: Resize::Antialiased,
        ..ImageFit::default()
    };
    let (mut furthest, mut differing, mut total) = (0, 0, 0);
    for (case, output) in &outputs {
        let side = output.shape[0];
        let picture = picture(&inputs[&format!("{case}.input")]);
        let Pixels::Bytes(image) = prepare_image(&picture, None, side, fit).unwrap() else {
            panic!("{case}: bytes are what openpi has")
        };
        for (index, &expected) in output.bytes.iter().enumerate() {
            let (pixel, channel) = (index / 3, index % 3);
            let difference = image[channel * side * side + pixel].abs_diff(expected);
            assert!(difference <= 1, "{case}: {difference} grey levels at {pixel}");
            furthest = furthest.max(difference);
            differing += usize::from(difference > 0);
            total += 1;
        }
    }
    println!("at most {furthest} grey levels, {differing} of {total} values differ");
    assert!(outputs.len() >= 12, "{} cases", outputs.len());
}

#[derive(Deserialize)]
struct PromptCase {
    name: String,
    prompt: String,
    tokens: Vec<u32>,
    mask: Vec<u32>,
}

#[test]
fn tokens_of_prompts_that_fit_and_refusal_of_those_that_do_not() {
    let checkpoint = Checkpoint::open(reference("checkpoint")).unwrap();
    let cases: Vec<PromptCase> =
        serde_json::from_str(&fs::read_to_string(reference("prompts.json")).unwrap()).unwrap();
    let (mut equal, mut refused) = (0, 0);
    for PromptCase {
        name,
        prompt,
        mut tokens,
        mask,
    } in cases
    {
        tokens.truncate(mask.iter().sum::<u32>() as usize);
        match checkpoint.tokenizer().encode(&prompt) {
            Ok(found) => {
                assert_eq!(found, tokens, "{name}");
                equal += 1;
            }
            Err(PromptError::Empty) => assert_eq!(name, "empty"),
            Err(PromptError::TooLong { found, limit: 48, .. }) => {
                assert!(name.ends_with("too_long") && found > 48, "{name}: {found}");
                refused += 1;
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
    assert_eq!((equal, refused), (8, 2));
}

/// The whole policy of a folder on one observation of the reference, against the reference's actions.
fn compare_policy(
    folder: &Folder,
    fixture: &str,
    absent_cameras: &[&str],
    precision: Precision,
    tolerance: f32,
) {
    let fixture = read_tensors(&reference(fixture));
    let pictures = || {
        fixture
            .iter()
            .filter_map(|(name, tensor)| Some((name.strip_prefix("picture.")?.to_owned(), tensor)))
    };
    let options = PolicyOptions {
        cameras: Some(pictures().map(|(name, _)| CameraOptions::new(name)).collect()),
        absent_cameras: absent_cameras.iter().map(|name| (*name).to_owned()).collect(),
        ..PolicyOptions::default()
    };
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let device = CpuDevice::new(precision, 1).unwrap();
    let mut policy = Pi0Policy::new(&checkpoint, device, &options).unwrap();
    let observation = Observation {
        images: pictures()
            .map(|(name, tensor)| (name, Arc::new(picture(tensor))))
            .collect(),
        state: fixture["state"].to_f32(),
        prompt: "pick up the cube".to_owned(),
    };
    let chunk = policy
        .predict_from_noise(&observation, &fixture["noise"].to_f32(), None)
        .unwrap();
    let actions = &fixture["actions"];
    assert_eq!([chunk.horizon(), chunk.action_dim()], actions.shape[..]);
    let difference = max_difference(chunk.values(), &actions.to_f32());
    assert!(difference < tolerance, "off by {difference}");
}

#[test]
fn actions_of_the_whole_policy() {
    compare_policy(&Folder::new(), "policy.safetensors", &[], Precision::F32, 1e-4);
}

#[test]
fn actions_with_a_camera_absent() {
    compare_policy(
        &Folder::new(),
        "policy_missing_camera.safetensors",
        &["left_wrist"],
        Precision::F32,
        1e-4,
    );
}

#[test]
fn actions_relative_to_the_state_with_grippers_excluded() {
    let folder = Folder::overlaid(&["checkpoint_relative_actions"]);
    compare_policy(
        &folder,
        "policy_relative_actions.safetensors",
        &[],
        Precision::F32,
        1e-4,
    );
}

#[test]
fn actions_with_weights_in_bf16_are_close() {
    compare_policy(&Folder::new(), "policy.safetensors", &[], Precision::Bf16, 0.05);
}
