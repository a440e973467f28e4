//! A device that fails at any call of a chunk: the error names the operation, and the next chunk is that of a policy that has
//! never seen it fail.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use pi0_node::checkpoint::Checkpoint;
use pi0_node::device::{CpuDevice, Device, DeviceError, Precision};
use pi0_node::policy::{
    ActionChunk, ActionPrefix, Conditioning, Guidance, Observation, OpenError, Pi0Policy, Policy, PolicyError,
};

use crate::failing_device::{FailingDevice, Faults};
use crate::folder::{Folder, reference};
use crate::robot::{FEW_STEPS, frame, observation, options};

fn cpu() -> CpuDevice {
    CpuDevice::new(Precision::F32, 1).unwrap()
}

fn open<D: Device>(folder: &Path, device: D) -> Result<Pi0Policy<D>, OpenError> {
    let mut options = options();
    options.cameras.as_mut().unwrap()[0].is_optional = true;
    let mut policy = Pi0Policy::new(&Checkpoint::open(folder).unwrap(), device, &options)?;
    policy.set_denoise_steps(FEW_STEPS).map_err(|error| match error {
        PolicyError::Device(error) => OpenError::Device(error),
        error => panic!("{error}"),
    })?;
    Ok(policy)
}

fn failing(folder: &Path) -> (Pi0Policy<FailingDevice>, Arc<Faults>) {
    let (device, faults) = FailingDevice::new(cpu());
    (open(folder, device).unwrap(), faults)
}

/// An observation, and how its chunk goes on from the one before.
type Moment = (Observation, Option<ActionPrefix>);

fn predict<D: Device>(
    policy: &mut Pi0Policy<D>,
    (observation, prefix): &Moment,
) -> Result<ActionChunk, PolicyError> {
    let noise: Vec<f32> = (0..50 * 32).map(|value| (value as f32).sin()).collect();
    policy.predict_from_noise(observation, &noise, prefix.as_ref())
}

fn expect_failure<T>(result: Result<T, PolicyError>, operation: &str) {
    match result {
        Err(PolicyError::Device(error @ DeviceError::Lost(_))) => {
            assert_eq!(
                error.to_string(),
                format!("the device failed: {operation}: no answer")
            );
        }
        Err(error) => panic!("{operation} failed, and the policy with another error: {error}"),
        Ok(_) => panic!("{operation} failed, and the policy did not"),
    }
}

/// Lets every call of the second moment's chunk fail, one after the other; each time the second moment again gives what
/// a policy gives that sees it first, and so does the first moment. Returns the number of calls.
fn fail_at_every_call(folder: &Path, [first, second]: [&Moment; 2]) -> usize {
    let expected = [first, second].map(|moment| predict(&mut open(folder, cpu()).unwrap(), moment).unwrap());
    let (mut policy, faults) = failing(folder);
    assert_eq!(predict(&mut policy, first).unwrap(), expected[0]);
    for n in 1.. {
        for (after, chunk_of_after) in [(second, &expected[1]), (first, &expected[0])] {
            faults.fail_once(n);
            let result = predict(&mut policy, second);
            let Some(operation) = faults.heal() else {
                assert_eq!(&result.unwrap(), &expected[1], "without a failure");
                return n - 1;
            };
            expect_failure(result, operation);
            let chunk = predict(&mut policy, after).unwrap();
            assert_eq!(&chunk, chunk_of_after, "after call {n}, {operation}");
            predict(&mut policy, first).unwrap();
        }
    }
    unreachable!("a chunk has an end")
}

fn moment(change: impl FnOnce(&mut Observation)) -> Moment {
    let mut observation = observation();
    change(&mut observation);
    (observation, None)
}

fn everything_changes(observation: &mut Observation) {
    for (camera, image) in observation.images.values_mut().enumerate() {
        *image = frame(60 + camera as u8);
    }
    observation.state[0] = 0.7;
    observation.prompt = "open the drawer".to_owned();
}

fn prefix(count: usize, conditioning: Conditioning) -> ActionPrefix {
    let values = (0..count * 14).map(|value| 0.3 * (value as f32).cos());
    ActionPrefix {
        actions: ActionChunk::new(values.collect(), 14),
        conditioning,
    }
}

fn check_observations(folder: &Path) {
    let usual = moment(|_| {});
    let calls = fail_at_every_call(folder, [&usual, &moment(everything_changes)]);
    assert!(calls > 100, "{calls} calls of a chunk");
    let of_state = fail_at_every_call(
        folder,
        [&usual, &moment(|observation| observation.state[3] = -0.4)],
    );
    assert!(
        of_state < calls,
        "{of_state} calls for another state, {calls} for everything"
    );
    fail_at_every_call(
        folder,
        [
            &usual,
            &moment(|observation| drop(observation.images.remove("right_wrist"))),
        ],
    );
}

#[test]
fn pi0_goes_on_as_if_it_were_new_after_any_call_failed() {
    check_observations(&reference("checkpoint"));
}

#[test]
fn pi05_goes_on_as_if_it_were_new_after_any_call_failed() {
    check_observations(&reference("pi05/checkpoint"));
}

#[test]
fn a_chunk_that_goes_on_from_the_one_before_may_fail_at_any_call_too() {
    let guided = Conditioning::Guided {
        guidance: Guidance::default(),
        inference_delay: 2,
    };
    for (checkpoint, conditionings) in [
        ("checkpoint", &[Conditioning::Inpainted, guided][..]),
        ("pi05/checkpoint", &[Conditioning::Trained]),
    ] {
        let folder = Folder::trained(&[checkpoint], 5);
        for &conditioning in conditionings {
            let (observation, _) = moment(everything_changes);
            let second = (observation, Some(prefix(4, conditioning)));
            fail_at_every_call(folder.path(), [&moment(|_| {}), &second]);
        }
    }
}

#[test]
fn a_chunk_that_failed_takes_no_noise_from_the_next() {
    let folder = reference("checkpoint");
    let mut fresh = open(&folder, cpu()).unwrap();
    let (mut policy, faults) = failing(&folder);
    for _ in 0..3 {
        faults.fail_once(20);
        let failed = policy.predict(&observation());
        expect_failure(failed, faults.heal().unwrap());
        assert_eq!(
            policy.predict(&observation()).unwrap(),
            fresh.predict(&observation()).unwrap()
        );
    }
}

#[test]
fn a_number_of_steps_that_cannot_be_prepared_leaves_the_one_before() {
    let steps = NonZeroUsize::new(3);
    for checkpoint in ["checkpoint", "pi05/checkpoint"] {
        let folder = reference(checkpoint);
        let expected = predict(&mut open(&folder, cpu()).unwrap(), &moment(|_| {})).unwrap();
        let (mut policy, faults) = failing(&folder);
        let mut failures = 0;
        loop {
            faults.fail_once(failures + 1);
            let result = policy.set_denoise_steps(steps);
            let Some(operation) = faults.heal() else { break };
            failures += 1;
            expect_failure(result, operation);
            assert_eq!(predict(&mut policy, &moment(|_| {})).unwrap(), expected);
        }
        assert!(failures > 0);
        assert_ne!(predict(&mut policy, &moment(|_| {})).unwrap(), expected);
    }
}

#[test]
fn a_policy_is_not_opened_where_any_call_of_its_upload_fails() {
    for checkpoint in ["checkpoint", "pi05/checkpoint"] {
        let mut calls = 0;
        loop {
            let (device, faults) = FailingDevice::new(cpu());
            faults.fail_once(calls + 1);
            let opened = open(&reference(checkpoint), device);
            let Some(operation) = faults.heal() else { break };
            calls += 1;
            match opened {
                Err(OpenError::Device(DeviceError::Lost(reason))) => {
                    assert_eq!(reason, format!("{operation}: no answer"));
                }
                Err(error) => panic!("{operation}: {error}"),
                Ok(_) => panic!("{operation} failed, and the policy was opened"),
            }
        }
        assert!(calls > 50, "{calls} calls to upload {checkpoint}");
    }
}
