//! The flow-matching loss of the shipped policy, against what it predicts itself.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use pi0_node::checkpoint::{Checkpoint, Normalisation};
use pi0_node::device::{CpuDevice, Precision};
use pi0_node::policy::{ActionChunk, Observation, Pi0Policy, Policy, PolicyError, PolicyOptions};

use crate::robot::frame;

fn policy(denoise_steps: usize) -> (Pi0Policy<CpuDevice>, Checkpoint, Observation) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let checkpoint = Checkpoint::open(root.join("checkpoints/aloha_sim")).unwrap();
    let options = PolicyOptions {
        seed: 3,
        ..PolicyOptions::default()
    };
    let device = CpuDevice::new(Precision::F32, 1).unwrap();
    let mut policy = Pi0Policy::new(&checkpoint, device, &options).unwrap();
    policy
        .set_denoise_steps(NonZeroUsize::new(denoise_steps))
        .unwrap();
    let observation = Observation {
        images: [("top".to_owned(), frame(90))].into(),
        state: vec![0.1; 14],
        prompt: "pick up the cube with the right arm".to_owned(),
    };
    (policy, checkpoint, observation)
}

/// With one step the actions are the noise less the velocity, so the velocity is off by as much as the
/// actions are: the loss at t = 1 is the mean square distance of what was recorded from what is predicted, in
/// normalised units.
#[test]
fn with_one_step_the_loss_is_the_square_of_the_prediction_s_own_error() {
    let (mut policy, checkpoint, observation) = policy(1);
    let predicted = policy.predict(&observation).unwrap();
    let recorded: Vec<f32> = (0..50 * 14)
        .map(|value| (value as f32 * 0.37).sin() * 0.5)
        .collect();
    let losses = policy
        .flow_matching_loss(&observation, &ActionChunk::new(recorded.clone(), 14), 0)
        .unwrap();
    let Normalisation::MeanStd { std, epsilon, .. } = &checkpoint.statistics().action else {
        panic!("the shipped policy is normalised by mean and std");
    };
    assert!(!checkpoint.statistics().relative.contains(&true));
    let squares =
        recorded
            .iter()
            .zip(predicted.values())
            .enumerate()
            .map(|(index, (recorded, predicted))| {
                f64::from((recorded - predicted) / (std[index % 14] + epsilon)).powi(2)
            });
    let expected = squares.sum::<f64>() / (50.0 * 14.0);
    let [[time, loss]] = losses[..] else {
        panic!("one step has one loss: {losses:?}");
    };
    assert_eq!(time, 1.0);
    assert!(
        (loss / expected - 1.0).abs() < 1e-3,
        "{loss}, expected {expected}"
    );
}

#[test]
fn there_is_a_loss_for_the_time_of_every_step_and_less_for_what_the_policy_would_do() {
    let (mut policy, _, observation) = policy(4);
    let predicted = policy.predict(&observation).unwrap();
    let own = policy.flow_matching_loss(&observation, &predicted, 0).unwrap();
    assert_eq!(
        own.iter().map(|[time, _]| *time).collect::<Vec<_>>(),
        [1.0, 0.75, 0.5, 0.25]
    );
    let other = ActionChunk::new(predicted.values().iter().map(|value| value + 0.5).collect(), 14);
    let other = policy.flow_matching_loss(&observation, &other, 0).unwrap();
    assert!(
        own.iter().zip(&other).all(|(own, other)| own[1] < other[1]),
        "{own:?} {other:?}"
    );
}

#[test]
fn the_loss_changes_no_chunk_that_comes_after_it() {
    let (mut with, _, observation) = policy(2);
    let (mut without, ..) = policy(2);
    let mut other = observation.clone();
    other.images = [("top".to_owned(), Arc::clone(&frame(200)))].into();
    for (noise, observation) in (0..).zip([&observation, &other, &observation]) {
        let chunk = with.predict(observation).unwrap();
        assert_eq!(chunk, without.predict(observation).unwrap());
        with.flow_matching_loss(observation, &chunk, noise).unwrap();
    }
}

#[test]
fn recorded_actions_of_another_shape_are_refused() {
    let (mut policy, _, observation) = policy(1);
    let refused = policy.flow_matching_loss(&observation, &ActionChunk::new(vec![0.0; 14], 14), 0);
    assert!(matches!(refused, Err(PolicyError::RecordedActions { .. })));
}
