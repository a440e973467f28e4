//! Training-time real-time chunking, against LeRobot's modules with clean actions at time 0: every step, and the whole
//! policy; LeRobot 0.6.2 (7427f31) samples π0.5 so itself, and its points x_t are those of the fixture within 2e-6.

use pi0_node::checkpoint::Checkpoint;
use pi0_node::device::{CpuDevice, Device, DeviceError, KernelLevel, Precision};
use pi0_node::model::{self, Conditioning, Pi0};
use pi0_node::policy::{ActionChunk, ActionPrefix, Pi0Policy, Policy, PolicyError, PolicyOptions};

use crate::equals_reference::max_difference;
use crate::folder::{Folder, Tensors, read_tensors, reference};
use crate::real_time_chunking::{FOLDERS, network, padded_previous, prefilled, robot_observation, state_of};
use crate::robot::{observation, options};

const MAX_DELAY: usize = 10;

fn clean(actions: &[f32]) -> model::ActionPrefix<'_> {
    model::ActionPrefix {
        actions,
        conditioning: Conditioning::Trained,
    }
}

fn devices() -> Vec<(String, CpuDevice)> {
    let at_level = |level: KernelLevel| {
        let device = CpuDevice::with_kernel_level(Precision::F32, 1, level).unwrap();
        (level.name().to_owned(), device)
    };
    let mut devices: Vec<_> = KernelLevel::available().map(at_level).collect();
    let tiled = CpuDevice::new(Precision::F32, 1).unwrap().with_tile(32);
    devices.push(("tiles".to_owned(), tiled));
    devices
}

#[test]
fn every_step_from_clean_actions_is_the_reference_s_from_the_same_noise() {
    for folder in FOLDERS {
        let inputs = read_tensors(&reference(&format!("{folder}rtc.safetensors")));
        let fixture = read_tensors(&reference(&format!("{folder}rtc_trained.safetensors")));
        for (device_name, device) in devices() {
            let model = network(folder, inputs["noise"].shape[0], MAX_DELAY, device);
            let mut cases = 0;
            for name in fixture.keys().filter_map(|name| name.strip_suffix(".settings")) {
                check_steps(&model, &inputs, &fixture, name, &device_name);
                cases += 1;
            }
            assert_eq!(cases, 3);
        }
    }
}

fn check_steps(model: &Pi0<CpuDevice>, inputs: &Tensors, fixture: &Tensors, name: &str, device: &str) {
    let settings = fixture[&format!("{name}.settings")].integers::<8, _>(i64::from_le_bytes);
    let [delay, steps] = settings[..] else {
        panic!("{settings:?}")
    };
    let noise = inputs["noise"].to_f32();
    let width = model.config.max_action_dim;
    let previous = padded_previous(inputs, width);
    let (previous, state) = (&previous[..delay as usize * width], state_of(model, inputs));
    let points = fixture[&format!("{name}.x_t")].to_f32();
    let point = |step: usize| &points[step * noise.len()..][..noise.len()];
    let schedule = model.schedule(steps as usize).unwrap();

    let mut session = prefilled(model, inputs);
    let expert_width = model.config.expert.width;
    let rows = model
        .config
        .action_horizon
        .next_multiple_of(model.device.tile_size());
    let mut mask = vec![0.0; rows * expert_width];
    mask[..delay as usize * expert_width].fill(1.0);
    let mask = model.device.upload(&mask, &[rows, expert_width]).unwrap();
    let uploaded_state = model.upload_state(&state).unwrap();
    let mut denoiser = model
        .denoiser(&mut session, uploaded_state.as_ref())
        .unwrap()
        .with_clean_rows(mask, schedule.at_zero.as_ref().unwrap());
    for step in 0..steps as usize {
        let x_t = model.upload_noise(point(step)).unwrap();
        let v_t = denoiser.velocity(&x_t, &schedule.times[step]).unwrap();
        let v_t = model.device.read_back(&v_t).unwrap();
        let mut next: Vec<f32> = point(step)
            .iter()
            .zip(&v_t)
            .map(|(x, v)| x + schedule.dt * v)
            .collect();
        next[..previous.len()].copy_from_slice(previous);
        let difference = max_difference(&next, point(step + 1));
        assert!(
            difference < 1e-4,
            "{device}, {name}: step {step} is off by {difference}"
        );
    }

    let mut sample = |prefix: Option<&model::ActionPrefix>| {
        model
            .sample_actions(&mut session, &state, &noise, prefix, &schedule)
            .unwrap()
    };
    let actions = sample(Some(&clean(previous)));
    let difference = max_difference(&actions, point(steps as usize));
    assert!(
        difference < 1e-4,
        "{device}, {name}: the actions are off by {difference}"
    );
    assert_eq!(actions[..previous.len()], *previous);
    let rest = previous.len()..;
    for (other, what) in [
        (sample(None), "without a prefix"),
        (
            sample(Some(&model::ActionPrefix {
                conditioning: Conditioning::Inpainted,
                ..clean(previous)
            })),
            "inpainted",
        ),
    ] {
        let difference = max_difference(&other[rest.clone()], &actions[rest.clone()]);
        assert!(
            difference > 0.01,
            "{device}, {name}: {what} is the same: {difference}"
        );
    }
}

#[test]
fn more_clean_actions_than_a_network_was_trained_with_are_refused() {
    for folder in FOLDERS {
        let inputs = read_tensors(&reference(&format!("{folder}rtc.safetensors")));
        let noise = inputs["noise"].to_f32();
        for (max_delay, found) in [(0, 1), (MAX_DELAY, MAX_DELAY + 1)] {
            let device = CpuDevice::new(Precision::F32, 1).unwrap();
            let model = network(folder, inputs["noise"].shape[0], max_delay, device);
            let actions = vec![0.0; found * model.config.max_action_dim];
            let schedule = model.schedule(2).unwrap();
            let refused = model.sample_actions(
                &mut prefilled(&model, &inputs),
                &state_of(&model, &inputs),
                &noise,
                Some(&clean(&actions)),
                &schedule,
            );
            assert!(
                matches!(&refused, Err(DeviceError::Shape { problem, .. }) if problem.contains("trained with")),
                "{refused:?}"
            );
        }
    }
}

fn policy_of(folder: &Folder, options: &PolicyOptions) -> Pi0Policy<CpuDevice> {
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    Pi0Policy::new(&checkpoint, CpuDevice::new(Precision::F32, 1).unwrap(), options).unwrap()
}

fn of_robot(values: Vec<f32>) -> ActionPrefix {
    ActionPrefix {
        actions: ActionChunk::new(values, 14),
        conditioning: Conditioning::Trained,
    }
}

#[test]
fn a_policy_with_relative_actions_goes_on_from_clean_ones_as_the_reference_does() {
    const DELAY: usize = 4;
    for folder in FOLDERS {
        let parts = [
            format!("{folder}checkpoint"),
            format!("{folder}checkpoint_relative_actions"),
        ];
        let checkpoint = Folder::trained(&[&parts[0], &parts[1]], MAX_DELAY);
        let mut policy = policy_of(&checkpoint, &PolicyOptions::default());
        assert_eq!(policy.info().rtc_training_max_delay, MAX_DELAY);
        let read = |name: &str| read_tensors(&reference(&format!("{folder}{name}.safetensors")));
        let robot = read("policy_relative_actions");
        let previous = read("rtc_relative_actions")["previous"].to_f32();
        let expected = read("rtc_trained_relative_actions")["actions"].to_f32();
        let prefix = of_robot(previous[..DELAY * 14].to_vec());
        let (observation, noise) = (robot_observation(&robot), robot["noise"].to_f32());
        let chunk = policy
            .predict_from_noise(&observation, &noise, Some(&prefix))
            .unwrap();
        let difference = max_difference(chunk.values(), &expected);
        assert!(difference < 1e-4, "{folder}: off by {difference}");
        let difference = max_difference(&chunk.values()[..DELAY * 14], prefix.actions.values());
        assert!(
            difference < 1e-5,
            "{folder}: the clean actions are off by {difference}"
        );
    }
}

#[test]
fn a_delay_that_a_policy_was_not_trained_for_is_refused_with_the_remedy() {
    let folder = Folder::trained(&["checkpoint"], 5);
    let mut policy = policy_of(&folder, &options());
    let mut predict =
        |actions: usize| policy.predict_after(&observation(), &of_robot(vec![0.0; actions * 14]));
    assert_eq!(predict(5).unwrap().horizon(), 50);
    let error = predict(6).unwrap_err();
    assert!(
        matches!(error, PolicyError::BeyondTrainedDelay { found: 6, most: 5 }),
        "{error}"
    );
    for remedy in ["make inference faster", "rtc_mode guided", "train"] {
        assert!(error.to_string().contains(remedy), "{error}");
    }
    assert_eq!(
        predict(1).unwrap().horizon(),
        50,
        "the next chunk is predicted as before"
    );

    let checkpoint = Checkpoint::open(reference("checkpoint")).unwrap();
    let device = CpuDevice::new(Precision::F32, 1).unwrap();
    let mut untrained = Pi0Policy::new(&checkpoint, device, &options()).unwrap();
    let error = untrained
        .predict_after(&observation(), &of_robot(vec![0.0; 14]))
        .unwrap_err();
    assert!(matches!(error, PolicyError::NotTrainedToContinue(_)), "{error}");
    assert!(error.to_string().contains("rtc_mode guided"), "{error}");
}

#[test]
fn a_checkpoint_whose_delay_is_no_shorter_than_its_chunks_is_refused() {
    let folder = Folder::trained(&["checkpoint"], 50);
    let error = Checkpoint::open(folder.path())
        .err()
        .expect("a refusal")
        .to_string();
    assert!(
        error.contains("rtc_training_max_delay 50 must be below the 50 actions"),
        "{error}"
    );
}
