//! What does not change from one observation to the next is not computed again, and the actions are the same.

use pi0_node::checkpoint::Checkpoint;
use pi0_node::device::{CpuDevice, Precision};
use pi0_node::policy::{Computed, Observation, Policy};

use crate::folder::reference;
use crate::robot::{frame, observation, options};

fn policy() -> Policy<CpuDevice> {
    let checkpoint = Checkpoint::open(reference("checkpoint")).unwrap();
    Policy::new(&checkpoint, CpuDevice::new(Precision::F32, 1).unwrap(), options()).unwrap()
}

/// Predicts one observation after the other with one policy, and each with a policy that has seen nothing before;
/// the actions are the same to the last bit. Returns what the one policy computed for the last observation.
fn computed_for_the_last(observations: &[Observation]) -> Computed {
    let mut policy = policy();
    let noise = vec![0.3; 50 * 32];
    let mut before = Computed::default();
    for observation in observations {
        before = policy.computed();
        let actions = policy.predict_from_noise(observation, &noise).unwrap();
        let alone = self::policy().predict_from_noise(observation, &noise).unwrap();
        assert_eq!(actions, alone);
    }
    let after = policy.computed();
    Computed {
        images: after.images - before.images,
        prompts: after.prompts - before.prompts,
        prefixes: after.prefixes - before.prefixes,
    }
}

#[test]
fn the_first_observation_computes_everything() {
    let computed = computed_for_the_last(&[observation()]);
    let expected = Computed {
        images: 2,
        prompts: 1,
        prefixes: 1,
    };
    assert_eq!(computed, expected);
}

#[test]
fn another_state_alone_computes_no_part_of_the_prefix() {
    let mut moved = observation();
    moved.state[3] = -0.4;
    let computed = computed_for_the_last(&[observation(), moved]);
    assert_eq!(computed, Computed::default());
}

#[test]
fn a_frame_of_the_same_pixels_is_not_embedded_again() {
    let mut sent_again = observation();
    sent_again.images.insert("top".to_owned(), frame(10));
    let computed = computed_for_the_last(&[observation(), sent_again]);
    assert_eq!(computed, Computed::default());
}

#[test]
fn one_changed_frame_embeds_that_camera_alone() {
    let mut changed = observation();
    changed.images.insert("right_wrist".to_owned(), frame(201));
    let computed = computed_for_the_last(&[observation(), changed]);
    let expected = Computed {
        images: 1,
        prompts: 0,
        prefixes: 1,
    };
    assert_eq!(computed, expected);
}

#[test]
fn another_prompt_embeds_no_frame() {
    let mut told = observation();
    told.prompt = "open the drawer".to_owned();
    let computed = computed_for_the_last(&[observation(), told]);
    let expected = Computed {
        images: 0,
        prompts: 1,
        prefixes: 1,
    };
    assert_eq!(computed, expected);
}

#[test]
fn a_frame_that_came_with_a_refused_prompt_is_not_lost() {
    let mut changed = observation();
    changed.images.insert("top".to_owned(), frame(99));
    let mut refused = changed.clone();
    refused.prompt = String::new();
    let mut policy = policy();
    let noise = vec![0.3; 50 * 32];
    policy.predict_from_noise(&observation(), &noise).unwrap();
    policy.predict_from_noise(&refused, &noise).unwrap_err();
    let actions = policy.predict_from_noise(&changed, &noise).unwrap();
    let alone = self::policy().predict_from_noise(&changed, &noise).unwrap();
    assert_eq!(actions, alone);
}

#[test]
fn an_optional_camera_that_is_missing_is_as_one_that_the_robot_does_not_have() {
    let checkpoint = Checkpoint::open(reference("checkpoint")).unwrap();
    let device = || CpuDevice::new(Precision::F32, 1).unwrap();
    let mut optional = options();
    optional.cameras[0].is_optional = true;
    let name = optional.cameras[0].name.clone();
    let mut without = options();
    without.cameras.remove(0);
    without.absent_cameras.push(name.clone());
    let mut optional = Policy::new(&checkpoint, device(), optional).unwrap();
    let mut without = Policy::new(&checkpoint, device(), without).unwrap();
    let noise = vec![0.3; 50 * 32];
    let mut missing = observation();
    missing.images.remove(&name);
    let expected_without = without.predict_from_noise(&missing, &noise).unwrap();
    let expected_with = policy().predict_from_noise(&observation(), &noise).unwrap();
    assert_ne!(expected_with, expected_without);
    for _ in 0..2 {
        let found = optional.predict_from_noise(&observation(), &noise).unwrap();
        assert_eq!(found, expected_with);
        let found = optional.predict_from_noise(&missing, &noise).unwrap();
        assert_eq!(found, expected_without);
    }
}
