//! What does not change from one observation to the next is not computed again, and the actions are the same.

use pi0_node::checkpoint::Checkpoint;
use pi0_node::device::{CpuDevice, Precision};
use pi0_node::policy::{Observation, Pi0Policy, Policy, PolicyOptions, Reused};

use crate::folder::reference;
use crate::robot::{FEW_STEPS, frame, observation, options};

fn policy() -> Pi0Policy<CpuDevice> {
    let checkpoint = Checkpoint::open(reference("checkpoint")).unwrap();
    on_cpu(&checkpoint, &options())
}

fn on_cpu(checkpoint: &Checkpoint, options: &PolicyOptions) -> Pi0Policy<CpuDevice> {
    let device = CpuDevice::new(Precision::F32, 1).unwrap();
    let mut policy = Pi0Policy::new(checkpoint, device, options).unwrap();
    policy.set_denoise_steps(FEW_STEPS).unwrap();
    policy
}

/// Predicts one observation after the other with one policy, and each with a policy that has seen nothing
/// before; the actions are the same to the last bit. Returns what the one policy reused for the last
/// observation.
fn reused_for_the_last(observations: &[Observation]) -> Reused {
    let mut policy = policy();
    let noise = vec![0.3; 50 * 32];
    for observation in observations {
        let actions = policy.predict_from_noise(observation, &noise, None).unwrap();
        let alone = self::policy()
            .predict_from_noise(observation, &noise, None)
            .unwrap();
        assert_eq!(actions, alone);
    }
    policy.report().reused.unwrap()
}

/// Reuse of the cameras top and right_wrist, of the prompt and of the prefix.
fn reused(cameras: [bool; 2], prompt: bool, prefix: bool) -> Reused {
    Reused {
        cameras: cameras.map(Some).to_vec(),
        prompt,
        prefix,
    }
}

#[test]
fn the_first_observation_computes_everything() {
    let found = reused_for_the_last(&[observation()]);
    assert_eq!(found, reused([false, false], false, false));
}

#[test]
fn another_state_alone_computes_no_part_of_the_prefix() {
    let mut moved = observation();
    moved.state[3] = -0.4;
    let found = reused_for_the_last(&[observation(), moved]);
    assert_eq!(found, reused([true, true], true, true));
}

#[test]
fn a_frame_of_the_same_pixels_is_not_embedded_again() {
    let mut sent_again = observation();
    sent_again.images.insert("top".to_owned(), frame(10));
    let found = reused_for_the_last(&[observation(), sent_again]);
    assert_eq!(found, reused([true, true], true, true));
}

#[test]
fn one_changed_frame_embeds_that_camera_alone() {
    let mut changed = observation();
    changed.images.insert("right_wrist".to_owned(), frame(201));
    let found = reused_for_the_last(&[observation(), changed]);
    assert_eq!(found, reused([true, false], true, false));
}

#[test]
fn another_prompt_embeds_no_frame() {
    let mut told = observation();
    told.prompt = "open the drawer".to_owned();
    let found = reused_for_the_last(&[observation(), told]);
    assert_eq!(found, reused([true, true], false, false));
}

#[test]
fn a_frame_that_came_with_a_refused_prompt_is_not_lost() {
    let mut changed = observation();
    changed.images.insert("top".to_owned(), frame(99));
    let mut refused = changed.clone();
    refused.prompt = String::new();
    let mut policy = policy();
    let noise = vec![0.3; 50 * 32];
    policy.predict_from_noise(&observation(), &noise, None).unwrap();
    policy.predict_from_noise(&refused, &noise, None).unwrap_err();
    let actions = policy.predict_from_noise(&changed, &noise, None).unwrap();
    let alone = self::policy().predict_from_noise(&changed, &noise, None).unwrap();
    assert_eq!(actions, alone);
}

#[test]
fn an_optional_camera_that_is_missing_is_as_one_that_the_robot_does_not_have() {
    let checkpoint = Checkpoint::open(reference("checkpoint")).unwrap();
    let mut optional = options();
    let camera = &mut optional.cameras.as_mut().unwrap()[0];
    camera.is_optional = true;
    let name = camera.name.clone();
    let mut without = options();
    without.cameras.as_mut().unwrap().remove(0);
    without.absent_cameras.push(name.clone());
    let mut optional = on_cpu(&checkpoint, &optional);
    let mut without = on_cpu(&checkpoint, &without);
    let noise = vec![0.3; 50 * 32];
    let mut missing = observation();
    missing.images.remove(&name);
    let expected_without = without.predict_from_noise(&missing, &noise, None).unwrap();
    let expected_with = policy().predict_from_noise(&observation(), &noise, None).unwrap();
    assert_ne!(expected_with, expected_without);
    for _ in 0..2 {
        let found = optional.predict_from_noise(&observation(), &noise, None).unwrap();
        assert_eq!(found, expected_with);
        let found = optional.predict_from_noise(&missing, &noise, None).unwrap();
        assert_eq!(found, expected_without);
        assert_eq!(optional.report().reused.unwrap().cameras, [Some(true), None]);
    }
}
