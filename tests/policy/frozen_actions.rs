//! A chunk that begins with frozen actions: their point of the flow at every step, and the rest that goes on
//! from them.

use pi0_node::checkpoint::Checkpoint;
use pi0_node::device::{CpuDevice, Device, DeviceError, Precision};
use pi0_node::model::denoise::{EulerSteps, sample_noise};
use pi0_node::model::{self, Conditioning, Pi0};
use pi0_node::policy::{ActionChunk, ActionPrefix, Pi0Policy, Policy, PolicyError};

use crate::common::prefix_input::PrefixInput;
use crate::equals_reference::max_difference;
use crate::folder::reference;
use crate::robot::{observation, options};

const STEPS: usize = 5;
const FROZEN: usize = 7;

fn policy() -> Pi0Policy<CpuDevice> {
    let checkpoint = Checkpoint::open(reference("checkpoint")).unwrap();
    let device = CpuDevice::new(Precision::F32, 1).unwrap();
    Pi0Policy::new(&checkpoint, device, &options()).unwrap()
}

fn inpainted(actions: &[f32]) -> model::ActionPrefix<'_> {
    model::ActionPrefix {
        actions,
        conditioning: Conditioning::Inpainted,
    }
}

fn of_robot(values: Vec<f32>, action_dim: usize) -> ActionPrefix {
    ActionPrefix {
        actions: ActionChunk::new(values, action_dim),
        conditioning: Conditioning::Inpainted,
    }
}

/// Euler's method in f64, written down plainly: before every step the frozen rows of x_t are t · noise +
/// (1 − t) · action, and in the end they are the actions.
fn by_definition(
    velocity: &mut dyn FnMut(usize, &[f32]) -> Vec<f32>,
    noise: &[f32],
    frozen: &[f32],
) -> Vec<f32> {
    let mut x: Vec<f64> = noise.iter().map(|&value| f64::from(value)).collect();
    for step in 0..STEPS {
        let t = 1.0 - step as f64 / STEPS as f64;
        for (index, &action) in frozen.iter().enumerate() {
            x[index] = t * f64::from(noise[index]) + (1.0 - t) * f64::from(action);
        }
        let x_t: Vec<f32> = x.iter().map(|&value| value as f32).collect();
        for (x, v) in x.iter_mut().zip(velocity(step, &x_t)) {
            *x -= f64::from(v) / STEPS as f64;
        }
    }
    let actions = x.iter().map(|&value| value as f32);
    let mut actions: Vec<f32> = actions.collect();
    actions[..frozen.len()].copy_from_slice(frozen);
    actions
}

#[test]
fn frozen_actions_are_at_their_point_of_the_flow_at_every_step() {
    for tile in [1, 32] {
        check_frozen(CpuDevice::new(Precision::F32, 1).unwrap().with_tile(tile));
    }
}

fn check_frozen(device: CpuDevice) {
    let checkpoint = Checkpoint::open(reference("checkpoint")).unwrap();
    let config = checkpoint.config().model.clone();
    let model = Pi0::new(config.clone(), device, &checkpoint).unwrap();
    let pixels = vec![0.5; 3 * config.vision.image_size.pow(2)];
    let state = vec![0.1; config.max_state_dim];
    let input = PrefixInput {
        images: &[Some(pixels)],
        tokens: &[2, 5, 7],
        valid_tokens: 3,
    };
    let noise = sample_noise(3, 0, config.action_horizon * config.max_action_dim);
    let frozen: Vec<f32> = (0..FROZEN * config.max_action_dim)
        .map(|index| (index as f32 * 0.37).sin())
        .collect();
    let schedule = model.schedule(STEPS).unwrap();
    let mut session = input.prefill(&model).unwrap();
    let uploaded_state = model.upload_state(&state).unwrap();
    assert_eq!(EulerSteps::new(STEPS).times().len(), schedule.times.len());
    let mut velocity = |step: usize, x_t: &[f32]| {
        let x_t = model.upload_noise(x_t).unwrap();
        let mut denoiser = model.denoiser(&mut session, uploaded_state.as_ref()).unwrap();
        let v_t = denoiser.velocity(&x_t, &schedule.times[step]).unwrap();
        let mut v_t = model.device.read_back(&v_t).unwrap();
        v_t.truncate(noise.len());
        v_t
    };
    let expected = by_definition(&mut velocity, &noise, &frozen);
    let mut session = input.prefill(&model).unwrap();
    let actions = model
        .sample_actions(&mut session, &state, &noise, Some(&inpainted(&frozen)), &schedule)
        .unwrap();
    let difference = max_difference(&actions, &expected);
    assert!(difference < 1e-5, "off by {difference}");
    assert_eq!(actions[..frozen.len()], frozen);
    let free = model
        .sample_actions(&mut session, &state, &noise, None, &schedule)
        .unwrap();
    let rest = frozen.len()..;
    assert!(
        max_difference(&free[rest.clone()], &actions[rest]) > 1e-3,
        "the rest does not depend on the frozen actions"
    );
    // In one step x_t is all noise, frozen or not, so that free actions cannot depend on frozen ones.
    let one_step = model.schedule(1).unwrap();
    let mut in_one_step = |prefix: Option<&model::ActionPrefix>| {
        model
            .sample_actions(&mut session, &state, &noise, prefix, &one_step)
            .unwrap()
    };
    let (with_frozen, free) = (in_one_step(Some(&inpainted(&frozen))), in_one_step(None));
    assert_eq!(with_frozen[frozen.len()..], free[frozen.len()..]);
    for count in [noise.len() + config.max_action_dim, 7] {
        let values = vec![0.0; count];
        let refused =
            model.sample_actions(&mut session, &state, &noise, Some(&inpainted(&values)), &schedule);
        assert!(
            matches!(refused, Err(DeviceError::Shape { .. })),
            "{count} values"
        );
    }
}

#[test]
fn a_policy_s_chunk_begins_with_the_frozen_actions_in_the_robot_s_units() {
    for checkpoint in ["checkpoint", "checkpoint_relative_actions"] {
        let folder = crate::folder::Folder::overlaid(&[checkpoint]);
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        let device = CpuDevice::new(Precision::F32, 1).unwrap();
        let mut policy = Pi0Policy::new(&checkpoint, device, &options()).unwrap();
        let values = (0..FROZEN * 14).map(|index| 0.3 * (index as f32 * 0.7).sin());
        let frozen = of_robot(values.collect(), 14);
        let chunk = policy.predict_after(&observation(), &frozen).unwrap();
        assert_eq!(chunk.horizon(), 50);
        let difference = max_difference(&chunk.values()[..FROZEN * 14], frozen.actions.values());
        assert!(difference < 1e-5, "off by {difference}");
    }
}

#[test]
fn frozen_actions_that_do_not_fit_are_refused() {
    let mut policy = policy();
    let mut refusal = |values: Vec<f32>, action_dim| {
        let frozen = of_robot(values, action_dim);
        policy.predict_after(&observation(), &frozen).unwrap_err()
    };
    for error in [refusal(vec![0.0; 50 * 14], 14), refusal(vec![0.0; 13], 13)] {
        assert!(matches!(error, PolicyError::PrefixShape { .. }), "{error}");
    }
    let mut values = vec![0.0; 14];
    values[3] = f32::INFINITY;
    let error = refusal(values, 14);
    assert!(
        matches!(error, PolicyError::PrefixValue { index: 3, .. }),
        "{error}"
    );
}
