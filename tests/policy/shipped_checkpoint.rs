//! The policies that come with the package equal LeRobot's PyTorch code on the simulated robot.

use std::path::Path;
use std::sync::Arc;

use pi0_node::checkpoint::Checkpoint;
use pi0_node::device::{CpuDevice, Precision};
use pi0_node::policy::{CameraOptions, Crop, Observation, Pi0Policy, PolicyOptions};

use crate::equals_reference::{max_difference, picture};
use crate::folder::read_tensors;

/// What `config/aloha_sim.yaml` cuts out of the frames.
const CROP: Crop = Crop {
    x: 120,
    y: 60,
    width: 120,
    height: 120,
};

const PROMPTS: [(&str, &str); 3] = [
    ("right_pick", "pick up the cube with the right arm"),
    ("left_pick", "pick up the cube with the left arm"),
    ("hand_over", "hand the cube to the left arm"),
];

#[test]
fn every_skill_of_pi0_gets_the_reference_s_actions_from_the_same_noise() {
    every_skill_gets_the_reference_s_actions_from_the_same_noise("aloha_sim");
}

#[test]
fn every_skill_of_pi05_gets_the_reference_s_actions_from_the_same_noise() {
    every_skill_gets_the_reference_s_actions_from_the_same_noise("aloha_sim_pi05");
}

fn every_skill_gets_the_reference_s_actions_from_the_same_noise(name: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let checkpoint = Checkpoint::open(root.join("checkpoints").join(name)).unwrap();
    let options = PolicyOptions {
        cameras: Some(vec![CameraOptions {
            crop: Some(CROP),
            ..CameraOptions::new("top")
        }]),
        ..PolicyOptions::default()
    };
    let mut policy =
        Pi0Policy::new(&checkpoint, CpuDevice::new(Precision::F32, 1).unwrap(), &options).unwrap();
    for (skill, prompt) in PROMPTS {
        let fixture = read_tensors(&root.join(format!("tests/fixtures/{name}/{skill}.safetensors")));
        let observation = Observation {
            images: [("top".to_owned(), Arc::new(picture(&fixture["picture.top"])))].into(),
            state: fixture["state"].to_f32(),
            prompt: prompt.to_owned(),
        };
        let noise = fixture["noise"].to_f32();
        let chunk = policy.predict_from_noise(&observation, &noise, None).unwrap();
        let actions = &fixture["actions"];
        assert_eq!([chunk.horizon(), chunk.action_dim()], actions.shape[..]);
        let difference = max_difference(chunk.values(), &actions.to_f32());
        assert!(difference < 1e-4, "{skill}: off by {difference} rad");
    }
}
