//! The network on inputs that fit it, and on those that do not.

mod common {
    pub mod prefix_input;
}

use std::path::Path;

use common::prefix_input::PrefixInput;
use pi0_node::checkpoint::Checkpoint;
use pi0_node::device::{CpuDevice, Device, DeviceError, Precision};
use pi0_node::model::Pi0;

fn small_pi0() -> Pi0<CpuDevice> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reference/checkpoint");
    let checkpoint = Checkpoint::open(folder).unwrap();
    let device = CpuDevice::new(Precision::F32, 1).unwrap();
    Pi0::new(checkpoint.config().model.clone(), device, &checkpoint).unwrap()
}

/// An input that fits, to be changed.
struct Input {
    images: Vec<Option<Vec<f32>>>,
    tokens: Vec<u32>,
    state: Vec<f32>,
    noise: Vec<f32>,
}

impl Input {
    fn new(pi0: &Pi0<CpuDevice>) -> Self {
        let config = &pi0.config;
        Self {
            images: vec![Some(vec![0.5; 3 * config.vision.image_size.pow(2)])],
            tokens: vec![2, 10, 4],
            state: vec![0.1; config.max_state_dim],
            noise: vec![0.3; config.action_horizon * config.max_action_dim],
        }
    }

    fn sample(&self, pi0: &Pi0<CpuDevice>) -> Result<Vec<f32>, DeviceError> {
        let input = PrefixInput {
            images: &self.images,
            tokens: &self.tokens,
            valid_tokens: self.tokens.len(),
        };
        let mut session = input.prefill(pi0)?;
        pi0.sample_actions(&mut session, &self.state, &self.noise, None, &pi0.schedule(2)?)
    }
}

#[test]
fn an_input_of_the_right_shapes_becomes_finite_actions() {
    let pi0 = small_pi0();
    let actions = Input::new(&pi0).sample(&pi0).unwrap();
    assert_eq!(
        actions.len(),
        pi0.config.action_horizon * pi0.config.max_action_dim
    );
    assert!(actions.iter().all(|action| action.is_finite()));
}

#[test]
fn wrong_shapes_are_refused_and_named() {
    let pi0 = small_pi0();
    let refusal = |change: fn(&mut Input)| {
        let mut input = Input::new(&pi0);
        change(&mut input);
        input.sample(&pi0).unwrap_err().to_string()
    };
    let image = refusal(|input| input.images = vec![Some(vec![0.0; 10])]);
    assert!(image.contains("10 values for shape [3, 56, 56]"), "{image}");
    let state = refusal(|input| input.state.truncate(3));
    assert!(state.contains("3 values for shape [1, 24]"), "{state}");
    let noise = refusal(|input| input.noise.truncate(7));
    assert!(noise.contains("7 values for shape [50, 32]"), "{noise}");
    let token = refusal(|input| input.tokens.push(300));
    assert!(
        token.contains("token 300 is not in the vocabulary of 300"),
        "{token}"
    );
}

#[test]
fn an_absent_camera_changes_nothing() {
    let pi0 = small_pi0();
    let mut input = Input::new(&pi0);
    let alone = input.sample(&pi0).unwrap();
    input.images.push(None);
    let beside_an_absent_one = input.sample(&pi0).unwrap();
    for (alone, beside) in alone.iter().zip(&beside_an_absent_one) {
        assert!((alone - beside).abs() < 1e-5, "{alone} and {beside}");
    }
}

#[test]
fn a_chunk_is_read_back_once() {
    let pi0 = small_pi0();
    let before = pi0.device.read_backs();
    Input::new(&pi0).sample(&pi0).unwrap();
    assert_eq!(pi0.device.read_backs(), before + 1);
}

#[test]
fn the_number_of_threads_does_not_change_the_actions() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reference/checkpoint");
    let checkpoint = Checkpoint::open(folder).unwrap();
    let actions = [1, 2, 5].map(|threads| {
        let device = CpuDevice::new(Precision::Bf16, threads).unwrap();
        let pi0 = Pi0::new(checkpoint.config().model.clone(), device, &checkpoint).unwrap();
        Input::new(&pi0).sample(&pi0).unwrap()
    });
    for other in &actions[1..] {
        for (one, other) in actions[0].iter().zip(other) {
            assert!((one - other).abs() < 1e-5, "{one} and {other}");
        }
    }
}
