//! A device that runs captured traces gives the actions of one that runs every operation anew.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::Ordering;

use pi0_node::checkpoint::Checkpoint;
use pi0_node::device::{CpuDevice, Device, Precision};
use pi0_node::policy::{ActionChunk, ActionPrefix, Conditioning, Guidance, Observation, Pi0Policy, Policy};

use crate::capturing_device::CapturingDevice;
use crate::equals_reference::max_difference;
use crate::folder::{Folder, reference};
use crate::robot::{FEW_STEPS, frame, observation, options};

fn policy<D: Device>(device: D) -> Pi0Policy<D> {
    policy_of("checkpoint", device)
}

fn policy_of<D: Device>(checkpoint: &str, device: D) -> Pi0Policy<D> {
    policy_in(&reference(checkpoint), device)
}

fn policy_in<D: Device>(folder: &Path, device: D) -> Pi0Policy<D> {
    let checkpoint = Checkpoint::open(folder).unwrap();
    let mut options = options();
    options.cameras.as_mut().unwrap()[0].is_optional = true;
    let mut policy = Pi0Policy::new(&checkpoint, device, &options).unwrap();
    policy.set_denoise_steps(FEW_STEPS).unwrap();
    policy
}

fn cpu() -> CpuDevice {
    CpuDevice::new(Precision::F32, 1).unwrap().with_tile(32)
}

/// An observation in which everything but the prompt is another at every moment.
fn at(moment: u8, prompt: &str) -> Observation {
    let mut observation = observation();
    for (camera, image) in observation.images.values_mut().enumerate() {
        *image = frame(10 * moment + camera as u8);
    }
    observation.state[0] = f32::from(moment) / 10.0;
    observation.prompt = prompt.to_owned();
    observation
}

#[test]
fn captured_chunks_are_those_of_every_operation_run_anew() {
    let mut observations: Vec<Observation> = (0..5).map(|moment| at(moment, "pick up the cube")).collect();
    // The state alone, then one camera alone, again and again.
    for moment in 5..9 {
        let mut moved = observations[4].clone();
        moved.state[1] = f32::from(moment);
        observations.push(moved.clone());
        let (_, image) = moved.images.iter_mut().next().unwrap();
        *image = frame(100 + moment);
        observations.push(moved);
    }
    // One camera goes for a while, comes back with the frame that it had, shows others, and goes again.
    for (moment, is_there) in [
        (14, true),
        (15, false),
        (16, false),
        (17, false),
        (14, true),
        (18, true),
        (19, true),
        (20, false),
    ] {
        let mut observation = at(moment, "pick up the cube");
        if !is_there {
            observation.images.remove("right_wrist");
        }
        observations.push(observation);
    }
    // Another prompt, of the same and of another length, and the first one again.
    for prompt in [
        "pick up the ball",
        "put the cube where the ball has been",
        "pick up the cube",
    ] {
        observations.extend((9..13).map(|moment| at(moment, prompt)));
    }
    // With a prompt of another length everything is captured anew: one camera alone, then all of them.
    for moment in 20..24 {
        let mut seen = at(20, "wave");
        let (_, image) = seen.images.iter_mut().next().unwrap();
        *image = frame(200 + moment);
        observations.push(seen);
    }
    observations.extend((21..25).map(|moment| at(moment, "wave")));
    let (device, traces_run) = CapturingDevice::new(cpu());
    let (mut capturing, mut anew) = (policy(device), policy(cpu()));
    for (index, observation) in observations.iter().enumerate() {
        let noise: Vec<f32> = (0..50 * 32).map(|value| ((value + index) as f32).sin()).collect();
        let expected = anew.predict_from_noise(observation, &noise, None).unwrap();
        let actions = capturing.predict_from_noise(observation, &noise, None).unwrap();
        assert_eq!(actions, expected, "observation {index}");
        assert_eq!(
            capturing.report().reused,
            anew.report().reused,
            "observation {index}"
        );
    }
    let traces_run = traces_run.load(Ordering::Relaxed);
    assert!(traces_run > observations.len(), "{traces_run} traces");
}

/// π0.5's prompt has the state's digits, of which there are more or fewer at every moment.
#[test]
fn nothing_is_captured_anew_for_a_state_whose_prompt_is_longer_or_shorter() {
    let (device, traces_run) = CapturingDevice::new(cpu());
    let mut capturing = policy_of("pi05/checkpoint", device);
    let mut anew = policy_of("pi05/checkpoint", cpu());
    capturing.warm_up("pick up the cube").unwrap();
    let noise: Vec<f32> = (0..50 * 32).map(|value| (value as f32).sin()).collect();
    for moment in 1..12_u8 {
        let mut observation = at(moment, "pick up the cube");
        observation.state = (0..14)
            .map(|joint| (f32::from(moment) * (joint + 1) as f32).sin() * 3.0)
            .collect();
        let before = traces_run.load(Ordering::Relaxed);
        let actions = capturing.predict_from_noise(&observation, &noise, None).unwrap();
        let expected = anew.predict_from_noise(&observation, &noise, None).unwrap();
        // Rows of padding may be summed in another order.
        let difference = max_difference(actions.values(), expected.values());
        assert!(difference < 1e-5, "moment {moment}: off by {difference}");
        let vision_prompt_prefix_and_denoising = 4;
        let traces = traces_run.load(Ordering::Relaxed) - before;
        assert_eq!(traces, vision_prompt_prefix_and_denoising, "moment {moment}");
    }
}

#[test]
fn another_number_of_steps_counts_from_the_next_chunk_on_and_back_again() {
    let (device, _) = CapturingDevice::new(cpu());
    let (mut capturing, mut anew) = (policy(device), policy(cpu()));
    let noise: Vec<f32> = (0..50 * 32).map(|value| (value as f32).sin()).collect();
    let mut chunks = Vec::new();
    for steps in [2, 3, 2, 3, 2, 3].map(NonZeroUsize::new) {
        let observation = at(1, "wave");
        anew.set_denoise_steps(steps).unwrap();
        capturing.set_denoise_steps(steps).unwrap();
        let expected = anew.predict_from_noise(&observation, &noise, None).unwrap();
        let actions = capturing.predict_from_noise(&observation, &noise, None).unwrap();
        assert_eq!(actions, expected, "{steps:?} steps");
        chunks.push(actions);
    }
    assert_ne!(chunks[0], chunks[1]);
    assert_eq!(chunks[0], chunks[4]);
}

/// A prefix of `count` actions.
fn prefix(count: usize, moment: usize, conditioning: Conditioning) -> ActionPrefix {
    let values = (0..count * 14).map(|value| 0.3 * ((value + moment) as f32).sin());
    ActionPrefix {
        actions: ActionChunk::new(values.collect(), 14),
        conditioning,
    }
}

fn guided(inference_delay: usize, max_guidance_weight: Option<f32>) -> Conditioning {
    Conditioning::Guided {
        guidance: Guidance {
            max_guidance_weight,
            ..Guidance::default()
        },
        inference_delay,
    }
}

#[test]
fn the_chunk_before_counts_in_captured_chunks_too() {
    check_prefixes("checkpoint", 0);
    // From there on the state is beyond its statistics, and the prompt with it the same.
    check_prefixes("pi05/checkpoint", 7);
}

/// Traces are counted from a chunk on.
fn check_prefixes(checkpoint: &str, first_counted: usize) {
    let folder = Folder::trained(&[checkpoint], 5);
    let (device, traces_run) = CapturingDevice::new(cpu());
    let mut capturing = policy_in(folder.path(), device);
    let mut anew = policy_in(folder.path(), cpu());
    let (inpainted, trained) = (Conditioning::Inpainted, Conditioning::Trained);
    // As when a robot stands still, moves, and stands still again, the strategy changes, and its setting.
    let prefixes = [
        None,
        None,
        None,
        Some((7, inpainted)),
        Some((3, inpainted)),
        Some((7, inpainted)),
        Some((7, inpainted)),
        None,
        Some((49, inpainted)),
        None,
        Some((30, guided(3, None))),
        Some((25, guided(4, None))),
        Some((50, guided(0, None))),
        Some((1, guided(20, None))),
        Some((7, inpainted)),
        None,
        Some((30, guided(3, Some(1.0)))),
        Some((30, guided(3, None))),
        Some((30, guided(3, Some(1.0)))),
        Some((3, trained)),
        Some((5, trained)),
        Some((1, trained)),
        Some((4, trained)),
    ];
    let mut traces = Vec::new();
    for (moment, of_prefix) in prefixes.into_iter().enumerate() {
        let observation = at(moment as u8, "wave");
        let prefix = of_prefix.map(|(count, conditioning)| prefix(count, moment, conditioning));
        let predict = |policy: &mut dyn Policy| match &prefix {
            None => policy.predict(&observation).unwrap(),
            Some(prefix) => policy.predict_after(&observation, prefix).unwrap(),
        };
        let expected = predict(&mut anew);
        assert_eq!(predict(&mut capturing), expected, "{checkpoint}: chunk {moment}");
        traces.push(traces_run.load(Ordering::Relaxed));
    }
    let vision_and_prefix = 2;
    let captured = [5, 6, 7, 8, 9, 12, 13, 14, 15, 21, 22];
    for chunk in captured.into_iter().filter(|chunk| *chunk >= first_counted) {
        let run = traces[chunk] - traces[chunk - 1];
        assert_eq!(run, vision_and_prefix + 1, "{checkpoint}: chunk {chunk}");
    }
}

#[test]
fn a_device_that_needs_warm_up_runs_traces_from_the_first_chunk_on_and_the_chunk_is_the_same() {
    let (device, traces_run) = CapturingDevice::new(cpu());
    let (mut warm, mut cold) = (policy(device), policy(cpu()));
    warm.warm_up("wave").unwrap();
    assert!(traces_run.load(Ordering::Relaxed) > 0);
    let observation = at(3, "wave");
    let before = traces_run.load(Ordering::Relaxed);
    let vision_prefix_and_denoising = 3;
    let denoising = 1;
    for (conditioning, traces) in [
        (Conditioning::Inpainted, vision_prefix_and_denoising),
        (guided(2, None), vision_prefix_and_denoising + denoising),
    ] {
        let prefix = prefix(3, 0, conditioning);
        assert_eq!(
            warm.predict_after(&observation, &prefix).unwrap(),
            cold.predict_after(&observation, &prefix).unwrap()
        );
        let run = traces_run.load(Ordering::Relaxed) - before;
        assert_eq!(run, traces, "{conditioning:?}");
    }
    assert_eq!(
        warm.predict(&observation).unwrap(),
        cold.predict(&observation).unwrap()
    );
    assert_eq!(
        warm.report().reused.unwrap().cameras,
        cold.report().reused.unwrap().cameras
    );
}

#[test]
fn compiled_ahead_is_every_number_of_images_cameras_and_prompt_rows_once_and_no_chunk_changes() {
    let (device, _) = CapturingDevice::new(cpu());
    let (mut compiled, mut cold) = (policy(device), policy(cpu()));
    let mut begun = Vec::new();
    compiled
        .compile_ahead(&mut |part| begun.push(part.to_owned()))
        .unwrap();
    let cameras = compiled.info().cameras.len();
    let of_each_type_of_pixels = 2 * cameras;
    // One camera is optional, and 48 tokens are two tiles.
    let with_and_without_the_optional_camera = 2 * 2;
    assert_eq!(
        begun.len(),
        of_each_type_of_pixels + with_and_without_the_optional_camera,
        "{begun:?}"
    );
    for part in [
        format!("{cameras} new images"),
        format!("{} of {cameras} cameras, 32 rows of the prompt", cameras - 1),
        format!("{cameras} of {cameras} cameras, 64 rows of the prompt"),
    ] {
        assert!(begun.contains(&part), "{part}: {begun:?}");
    }
    let observation = at(3, "wave");
    assert_eq!(
        compiled.predict(&observation).unwrap(),
        cold.predict(&observation).unwrap()
    );
    cold.compile_ahead(&mut |part| panic!("a CPU compiles nothing: {part}"))
        .unwrap();
}
