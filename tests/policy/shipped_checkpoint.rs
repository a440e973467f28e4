//! The policies that come with the package equal LeRobot's PyTorch code on the simulated robots.

use std::path::Path;
use std::sync::Arc;

use pi0_node::checkpoint::Checkpoint;
use pi0_node::device::{CpuDevice, Precision};
use pi0_node::policy::{CameraOptions, Crop, Observation, Pi0Policy, PolicyOptions};

use crate::equals_reference::{max_difference, picture};
use crate::folder::read_tensors;

/// Skills by the names of their fixtures, with the prompts that ask for them.
type Skills = [(&'static str, &'static str); 3];

const ALOHA_SKILLS: Skills = [
    ("right_pick", "pick up the cube with the right arm"),
    ("left_pick", "pick up the cube with the left arm"),
    ("hand_over", "hand the cube to the left arm"),
];

const PANDA_SKILLS: Skills = [
    ("lift", "lift the red cube"),
    ("stack", "stack the red cube on the green cube"),
    ("pick_place_can", "put the can into its bin"),
];

const METAWORLD_SKILLS: Skills = [
    ("reach-v3", "Reach a goal position"),
    ("drawer-open-v3", "Open a drawer"),
    ("pick-place-v3", "Pick and place a puck to a goal"),
];

#[test]
fn every_skill_of_pi0_gets_the_reference_s_actions_from_the_same_noise() {
    every_skill_gets_the_reference_s_actions_from_the_same_noise(
        "aloha_sim",
        &aloha_cameras(),
        &ALOHA_SKILLS,
    );
}

#[test]
fn every_skill_of_pi05_gets_the_reference_s_actions_from_the_same_noise() {
    every_skill_gets_the_reference_s_actions_from_the_same_noise(
        "aloha_sim_pi05",
        &aloha_cameras(),
        &ALOHA_SKILLS,
    );
}

#[test]
fn every_skill_of_the_panda_s_pi05_gets_the_reference_s_actions_from_the_same_noise() {
    let cameras = ["front", "wrist"].map(CameraOptions::new);
    every_skill_gets_the_reference_s_actions_from_the_same_noise("panda_sim_pi05", &cameras, &PANDA_SKILLS);
}

#[test]
fn meta_world_s_pi0_gets_the_reference_s_actions_from_the_same_noise() {
    let cameras = [CameraOptions::new("image")];
    every_skill_gets_the_reference_s_actions_from_the_same_noise(
        "metaworld_sim",
        &cameras,
        &METAWORLD_SKILLS,
    );
}

/// With what `config/aloha_sim.yaml` cuts out of the frames.
fn aloha_cameras() -> [CameraOptions; 1] {
    let crop = Some(Crop {
        x: 120,
        y: 60,
        width: 120,
        height: 120,
    });
    [CameraOptions {
        crop,
        ..CameraOptions::new("top")
    }]
}

/// Actions are in radians, metres and radians, or centimetres.
fn every_skill_gets_the_reference_s_actions_from_the_same_noise(
    name: &str,
    cameras: &[CameraOptions],
    skills: &Skills,
) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let checkpoint = Checkpoint::open(root.join("checkpoints").join(name)).unwrap();
    let options = PolicyOptions {
        cameras: Some(cameras.to_vec()),
        ..PolicyOptions::default()
    };
    let mut policy =
        Pi0Policy::new(&checkpoint, CpuDevice::new(Precision::F32, 1).unwrap(), &options).unwrap();
    for (skill, prompt) in skills {
        let fixture = read_tensors(&root.join(format!("tests/fixtures/{name}/{skill}.safetensors")));
        let frame = |camera: &CameraOptions| {
            let frame = picture(&fixture[&format!("picture.{}", camera.name)]);
            (camera.name.clone(), Arc::new(frame))
        };
        let observation = Observation {
            images: cameras.iter().map(frame).collect(),
            state: fixture["state"].to_f32(),
            prompt: (*prompt).to_owned(),
        };
        let noise = fixture["noise"].to_f32();
        let chunk = policy.predict_from_noise(&observation, &noise, None).unwrap();
        let actions = &fixture["actions"];
        assert_eq!([chunk.horizon(), chunk.action_dim()], actions.shape[..]);
        let difference = max_difference(chunk.values(), &actions.to_f32());
        assert!(difference < 1e-4, "{skill}: off by {difference}");
    }
}
