//! Everything around the network equals LeRobot's, and so does the whole policy.

use std::fs;
use std::sync::Arc;

use image::RgbImage;
use pi0_node::checkpoint::{Checkpoint, CheckpointOptions, ImageFit, PromptError, Resize, StateInPrompt};
use pi0_node::device::{CpuDevice, Pixels, Precision};
use pi0_node::policy::{CameraOptions, Observation, Pi0Policy, Policy, PolicyOptions, prepare_image};
use serde::Deserialize;
use serde_json::Value;

use crate::folder::{Folder, Tensor, Tensors, read_tensors, reference};
use crate::robot::observation;

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
    /// Normalised; of π0.5.
    #[serde(default)]
    state: Vec<f32>,
    text: Option<String>,
    tokens: Vec<u32>,
    mask: Vec<u32>,
}

#[test]
fn tokens_of_prompts_that_fit_and_refusal_of_those_that_do_not() {
    for (checkpoint, prompts, limit, expected) in [
        ("checkpoint", "prompts.json", 48, (9, 2)),
        ("pi05/checkpoint", "pi05/prompts.json", 200, (10, 1)),
    ] {
        let checkpoint = Checkpoint::open(reference(checkpoint)).unwrap();
        let form = checkpoint.config().prompt_form();
        let cases: Vec<PromptCase> =
            serde_json::from_str(&fs::read_to_string(reference(prompts)).unwrap()).unwrap();
        let (mut equal, mut refused) = (0, 0);
        for case in cases {
            let name = &case.name;
            let mut tokens = case.tokens;
            tokens.truncate(case.mask.iter().sum::<u32>() as usize);
            let text = form.text(&case.prompt, &case.state);
            match checkpoint.tokenizer().encode(&text) {
                Ok(found) => {
                    assert_eq!(found, tokens, "{name}");
                    if let Some(expected) = case.text {
                        assert_eq!(text, expected, "{name}");
                    }
                    equal += 1;
                }
                Err(PromptError::Empty) => assert_eq!(name, "empty"),
                Err(PromptError::TooLong {
                    found, limit: stated, ..
                }) => {
                    assert!(name.ends_with("too_long") && found > limit, "{name}: {found}");
                    assert_eq!(stated, limit);
                    refused += 1;
                }
                Err(error) => panic!("{name}: {error}"),
            }
        }
        assert_eq!((equal, refused), expected, "{prompts}");
    }
}

#[test]
fn texts_and_tokens_of_pi05_s_prompts_with_ten_thousand_states() {
    let fixture = read_tensors(&reference("pi05/state_prompts.safetensors"));
    let checkpoint = Checkpoint::open(reference("pi05/checkpoint")).unwrap();
    let form = checkpoint.config().prompt_form();
    let states = fixture["states"].to_f32();
    let state_dim = fixture["states"].shape[1];
    let bins = fixture["bins"].integers::<2, _>(i16::from_le_bytes);
    let texts = parts(&fixture, "texts", fixture["texts"].bytes.clone());
    let tokens = fixture["tokens"].integers::<2, _>(i16::from_le_bytes);
    let tokens = parts(&fixture, "tokens", tokens);
    assert_eq!(states.len(), 10_000 * state_dim);
    let rows = states.chunks(state_dim).zip(bins.chunks(state_dim)).zip(texts);
    for (row, ((state, bins), text)) in rows.enumerate() {
        let text = String::from_utf8(text).unwrap();
        let (before, rest) = text.split_once(", State: ").unwrap();
        let task = before.strip_prefix("Task: ").unwrap();
        let ours = form.text(task, state);
        assert_eq!(ours, text, "row {row}: {state:?}");
        let digits = rest.strip_suffix(";\nAction: ").unwrap().split(' ');
        let digits: Vec<i64> = digits.map(|digits| digits.parse().unwrap()).collect();
        assert_eq!(digits, bins, "row {row}");
        if let Some(tokens) = tokens.get(row) {
            let ours = checkpoint.tokenizer().encode(&ours).unwrap();
            assert!(
                ours.iter()
                    .map(|&token| i64::from(token))
                    .eq(tokens.iter().copied())
            );
        }
    }
    assert_eq!(tokens.len(), 300);
}

/// Cuts values at the ends that the fixture has under `name.ends`.
fn parts<T: Clone>(fixture: &Tensors, name: &str, values: Vec<T>) -> Vec<Vec<T>> {
    let ends = fixture[&format!("{name}.ends")].integers::<8, _>(i64::from_le_bytes);
    let mut start = 0;
    ends.into_iter()
        .map(|end| {
            let part = values[start..end as usize].to_vec();
            start = end as usize;
            part
        })
        .collect()
}

#[test]
fn a_prompt_that_a_rarer_state_would_make_too_long_is_refused_at_once() {
    let folder = Folder::pi05();
    folder.change_json("policy_preprocessor.json", |pipeline| {
        let steps = pipeline["steps"].as_array_mut().unwrap();
        let is_tokenizer = |step: &&mut Value| step["registry_name"] == "tokenizer_processor";
        let tokenizer = steps.iter_mut().find(is_tokenizer).unwrap();
        tokenizer["config"]["max_length"] = 75.into();
    });
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let device = CpuDevice::new(Precision::F32, 1).unwrap();
    let mut policy = Pi0Policy::new(&checkpoint, device, &PolicyOptions::default()).unwrap();
    let cameras = policy.info().cameras.clone();
    let mut observation = observation();
    let picture = observation.images["top"].clone();
    observation.images = cameras
        .into_iter()
        .map(|camera| (camera, picture.clone()))
        .collect();
    let form = checkpoint.config().prompt_form();
    let short = form.text(&observation.prompt, &[-1.0; 14]);
    assert!(checkpoint.tokenizer().encode(&short).is_ok());
    // Any state: what counts is the longest.
    let error = policy.predict(&observation).unwrap_err().to_string();
    assert!(error.contains("up to") && error.contains("allows 75"), "{error}");
}

#[test]
fn a_state_is_padded_in_the_prompts_of_lerobot_0_4_and_is_no_part_of_them_where_chosen_so() {
    let folder = Folder::pi05();
    let open = |state_in_prompt| {
        let options = CheckpointOptions {
            state_in_prompt,
            ..CheckpointOptions::default()
        };
        Checkpoint::open_with(folder.path(), &options).unwrap()
    };
    let text = |choice| open(choice).config().prompt_form().text("go", &[1.0, -1.0]);
    let zeros = open(None).config().model.max_state_dim - 2;
    let plain = "Task: go, State: 255 0;\nAction: ";
    assert_eq!(text(None), plain);
    folder.change_json("config.json", |config| {
        config.as_object_mut().unwrap().remove("use_relative_actions");
    });
    let padded = format!("Task: go, State: 255 0{};\nAction: ", " 128".repeat(zeros));
    assert_eq!(text(None), padded);
    assert_eq!(text(Some(StateInPrompt::Values)), plain);
    assert_eq!(text(Some(StateInPrompt::None)), "go\n");
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
fn actions_of_pi05_s_whole_policy() {
    for (folders, fixture, absent) in [
        (vec!["pi05/checkpoint"], "pi05/policy.safetensors", vec![]),
        (
            vec!["pi05/checkpoint"],
            "pi05/policy_missing_camera.safetensors",
            vec!["left_wrist"],
        ),
        (
            vec!["pi05/checkpoint", "pi05/checkpoint_relative_actions"],
            "pi05/policy_relative_actions.safetensors",
            vec![],
        ),
    ] {
        compare_policy(&Folder::joined(&folders), fixture, &absent, Precision::F32, 1e-4);
    }
}

#[test]
fn actions_with_weights_in_bf16_are_close() {
    compare_policy(&Folder::new(), "policy.safetensors", &[], Precision::Bf16, 0.05);
}
