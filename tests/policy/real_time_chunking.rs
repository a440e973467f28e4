//! Guidance by the chunk before, against LeRobot's `RTCProcessor`: every step, and the whole policy.

use std::num::NonZeroUsize;

use pi0_node::checkpoint::Checkpoint;
use pi0_node::device::{CpuDevice, Precision};
use pi0_node::model::denoise::EulerSteps;
use pi0_node::model::{
    self, Conditioning, Guidance, ModelType, Pi0, Pi0Config, PrefixAttentionSchedule, Session,
    guidance_weight,
};
use pi0_node::policy::{
    ActionChunk, ActionPrefix, Observation, Pi0Policy, Policy, PolicyError, PolicyOptions,
};

use crate::common::prefix_input::PrefixInput;
use crate::equals_reference::{max_difference, picture};
use crate::folder::{Folder, Tensors, read_tensors, reference};
use crate::robot::{observation, options};

/// Folders of π0's and π0.5's fixtures.
pub const FOLDERS: [&str; 2] = ["", "pi05/"];

/// A network on a device, for chunks of another length, and as if it had been trained for so long a delay.
pub fn network(
    folder: &str,
    horizon: usize,
    rtc_training_max_delay: usize,
    device: CpuDevice,
) -> Pi0<CpuDevice> {
    let checkpoint = Checkpoint::open(reference(&format!("{folder}checkpoint"))).unwrap();
    let config = Pi0Config {
        action_horizon: horizon,
        rtc_training_max_delay,
        ..checkpoint.config().model.clone()
    };
    Pi0::new(config, device, &checkpoint).unwrap()
}

/// A guidance that LeRobot ran.
struct Case {
    name: String,
    guidance: Guidance,
    inference_delay: usize,
    steps: usize,
}

fn cases(fixture: &Tensors) -> Vec<Case> {
    let names = fixture.keys().filter_map(|name| name.strip_suffix(".settings"));
    let case = |name: &str| {
        let settings = fixture[&format!("{name}.settings")].integers::<8, _>(i64::from_le_bytes);
        let [inference_delay, horizon, bound, steps] = settings[..] else {
            panic!("{settings:?}")
        };
        let schedule = match name.split('_').next().unwrap() {
            "linear" => PrefixAttentionSchedule::Linear,
            "exp" => PrefixAttentionSchedule::Exp,
            "ones" => PrefixAttentionSchedule::Ones,
            "zeros" => PrefixAttentionSchedule::Zeros,
            other => panic!("{other}"),
        };
        Case {
            name: name.to_owned(),
            guidance: Guidance {
                schedule,
                prefix_attention_horizon: NonZeroUsize::new(horizon as usize),
                max_guidance_weight: Some(bound as f32),
            },
            inference_delay: inference_delay as usize,
            steps: steps as usize,
        }
    };
    names.map(case).collect()
}

/// Rows of the chunk before, padded with zeros to the network's width.
pub fn padded_previous(fixture: &Tensors, width: usize) -> Vec<f32> {
    let joints = fixture["previous"].shape[1];
    let values = fixture["previous"].to_f32();
    let rows = values.chunks_exact(joints);
    rows.flat_map(|row| {
        row.iter()
            .copied()
            .chain(std::iter::repeat_n(0.0, width - joints))
    })
    .collect()
}

/// A session behind the images and the prompt of a fixture.
pub fn prefilled(model: &Pi0<CpuDevice>, fixture: &Tensors) -> Session<CpuDevice> {
    let tokens = fixture["tokens"].integers::<8, _>(i64::from_le_bytes);
    let tokens: Vec<u32> = tokens.into_iter().map(|token| token as u32).collect();
    let input = PrefixInput {
        images: &[Some(fixture["images"].to_f32())],
        tokens: &tokens,
        valid_tokens: tokens.len(),
    };
    input.prefill(model).unwrap()
}

/// The state that the network of a fixture reads.
pub fn state_of(model: &Pi0<CpuDevice>, fixture: &Tensors) -> Vec<f32> {
    match model.config.model_type {
        ModelType::Pi0 => fixture["state"].to_f32(),
        ModelType::Pi05 => Vec::new(),
    }
}

#[test]
fn every_guided_step_is_lerobot_s_from_the_same_noise() {
    for folder in FOLDERS {
        let fixture = read_tensors(&reference(&format!("{folder}rtc.safetensors")));
        let [horizon, width] = fixture["noise"].shape[..] else {
            panic!("{:?}", fixture["noise"].shape)
        };
        for tile in [1, 32] {
            let device = CpuDevice::new(Precision::F32, 1).unwrap().with_tile(tile);
            let model = network(folder, horizon, 0, device);
            check_steps(&model, &fixture, [horizon, width]);
        }
    }
}

fn check_steps(model: &Pi0<CpuDevice>, fixture: &Tensors, [horizon, width]: [usize; 2]) {
    let state = state_of(model, fixture);
    let previous = padded_previous(fixture, width);
    let cases = cases(fixture);
    assert_eq!(cases.len(), 5);
    for case in cases {
        let Case {
            name,
            guidance,
            inference_delay,
            steps,
        } = case;
        let weights = guidance.prefix_weights(inference_delay, previous.len() / width, horizon);
        let difference = max_difference(&weights, &fixture[&format!("{name}.weights")].to_f32());
        assert!(difference < 1e-6, "{name}: weights are off by {difference}");
        let points = fixture[&format!("{name}.x_t")].to_f32();
        let point = |step: usize| &points[step * horizon * width..][..horizon * width];

        let schedule = model.schedule(steps).unwrap();
        let mut session = prefilled(model, fixture);
        let uploaded_state = model.upload_state(&state).unwrap();
        let mut denoiser = model.denoiser(&mut session, uploaded_state.as_ref()).unwrap();
        for (step, t) in EulerSteps::new(steps).times().enumerate() {
            let x_t = point(step);
            let uploaded = model.upload_noise(x_t).unwrap();
            let v_t = denoiser.velocity(&uploaded, &schedule.times[step]).unwrap();
            let v_t = pi0_node::device::Device::read_back(&model.device, &v_t).unwrap();
            let c = guidance_weight(t, guidance.max_guidance_weight.unwrap());
            let next: Vec<f32> = (0..horizon * width)
                .map(|index| {
                    let target = previous.get(index).copied().unwrap_or(0.0);
                    let error = target - (x_t[index] - t * v_t[index]);
                    let guided = v_t[index] - c * weights[index / width] * error;
                    x_t[index] + schedule.dt * guided
                })
                .collect();
            let difference = max_difference(&next, point(step + 1));
            assert!(difference < 1e-4, "{name}: step {step} is off by {difference}");
        }

        let prefix = model::ActionPrefix {
            actions: &previous,
            conditioning: Conditioning::Guided {
                guidance,
                inference_delay,
            },
        };
        let noise = fixture["noise"].to_f32();
        let actions = model
            .sample_actions(&mut session, &state, &noise, Some(&prefix), &schedule)
            .unwrap();
        let difference = max_difference(&actions, point(steps));
        assert!(difference < 1e-4, "{name}: the actions are off by {difference}");
        let free = model
            .sample_actions(&mut session, &state, &noise, None, &schedule)
            .unwrap();
        let difference = max_difference(&free, &actions);
        assert!(
            difference > 0.01,
            "{name}: the guidance changes nothing: {difference}"
        );
    }
}

pub fn robot_observation(fixture: &Tensors) -> Observation {
    let pictures = fixture.iter().filter_map(|(name, tensor)| {
        let camera = name.strip_prefix("picture.")?;
        Some((camera.to_owned(), std::sync::Arc::new(picture(tensor))))
    });
    Observation {
        images: pictures.collect(),
        state: fixture["state"].to_f32(),
        prompt: "pick up the cube".to_owned(),
    }
}

/// LeRobot's `reanchor_relative_rtc_prefix`: absolute actions count from the state of the new observation before they are
/// normalised.
#[test]
fn a_policy_with_relative_actions_is_guided_as_lerobot_guides_it() {
    for folder in FOLDERS {
        let folders = [
            format!("{folder}checkpoint"),
            format!("{folder}checkpoint_relative_actions"),
        ];
        let checkpoint_folder = Folder::joined(&[&folders[0], &folders[1]]);
        let checkpoint = Checkpoint::open(checkpoint_folder.path()).unwrap();
        let device = CpuDevice::new(Precision::F32, 1).unwrap();
        let mut policy = Pi0Policy::new(&checkpoint, device, &PolicyOptions::default()).unwrap();
        let robot = read_tensors(&reference(&format!(
            "{folder}policy_relative_actions.safetensors"
        )));
        let fixture = read_tensors(&reference(&format!("{folder}rtc_relative_actions.safetensors")));
        let prefix = ActionPrefix {
            actions: ActionChunk::new(fixture["previous"].to_f32(), 14),
            conditioning: Conditioning::Guided {
                guidance: Guidance {
                    schedule: PrefixAttentionSchedule::Linear,
                    prefix_attention_horizon: NonZeroUsize::new(10),
                    max_guidance_weight: None,
                },
                inference_delay: 4,
            },
        };
        let observation = robot_observation(&robot);
        let noise = robot["noise"].to_f32();
        let chunk = policy
            .predict_from_noise(&observation, &noise, Some(&prefix))
            .unwrap();
        let difference = max_difference(chunk.values(), &fixture["actions"].to_f32());
        assert!(difference < 1e-4, "{folder}: off by {difference}");
        let free = policy.predict_from_noise(&observation, &noise, None).unwrap();
        assert!(max_difference(chunk.values(), free.values()) > 0.01);
        // What is played before the chunk arrives is nearer to the chunk before than it would be without guidance.
        let distance = |chunk: &ActionChunk| {
            max_difference(&chunk.values()[..4 * 14], &prefix.actions.values()[..4 * 14])
        };
        assert!(distance(&chunk) < 0.2 * distance(&free), "{}", distance(&chunk));
    }
}

#[test]
fn a_prefix_that_does_not_fit_is_refused() {
    let checkpoint = Checkpoint::open(reference("checkpoint")).unwrap();
    let device = CpuDevice::new(Precision::F32, 1).unwrap();
    let mut policy = Pi0Policy::new(&checkpoint, device, &options()).unwrap();
    let mut predict = |values: Vec<f32>, action_dim| {
        let prefix = ActionPrefix {
            actions: ActionChunk::new(values, action_dim),
            conditioning: Conditioning::Guided {
                guidance: Guidance::default(),
                inference_delay: 3,
            },
        };
        policy.predict_after(&observation(), &prefix)
    };
    for error in [
        predict(vec![0.0; 51 * 14], 14).unwrap_err(),
        predict(vec![0.0; 13], 13).unwrap_err(),
    ] {
        assert!(matches!(error, PolicyError::PrefixShape { .. }), "{error}");
    }
    let error = predict(vec![f32::NAN; 14], 14).unwrap_err();
    assert!(
        matches!(error, PolicyError::PrefixValue { index: 0, .. }),
        "{error}"
    );
    assert!(error.is_not_finite());
    assert_eq!(predict(vec![0.0; 50 * 14], 14).unwrap().horizon(), 50);
}
