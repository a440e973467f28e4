//! What the robot is told around the arrival of a chunk.

use std::time::Duration;

use pi0_node::control::{BlendingStrategy, JointLimits, PlayerState};
use pi0_node::policy::ActionChunk;

use crate::recorded;
use crate::simulated::{HORIZON, LATENCIES_MS, blending, run};

/// Joint 0 goes to 1 at half a unit per second from wherever it is measured to be; frozen actions come first.
fn towards_one(measured: &[f32], frozen: &[Vec<f32>]) -> ActionChunk {
    let from = measured.first().copied().unwrap_or(0.0);
    let mut values: Vec<f32> = frozen.iter().map(|positions| positions[0]).collect();
    let last = values.last().copied();
    for action in values.len()..HORIZON {
        let begin = last.map_or(from, |last| last - 0.01 * (frozen.len() - 1) as f32);
        values.push((begin + 0.01 * action as f32).min(1.0));
    }
    ActionChunk::new(values, 1)
}

/// Goes somewhere else with every chunk, as fast as it likes.
fn somewhere_else(number: usize) -> ActionChunk {
    let target = [0.0, 1.0, -0.7, 0.4, -1.2][number % 5];
    let values = (0..HORIZON).map(|action| target * (action as f32 * 0.07 + number as f32).sin());
    ActionChunk::new(values.collect(), 1)
}

#[test]
fn velocity_and_acceleration_stay_within_limits_across_simulated_chunks_at_every_latency() {
    let limits = JointLimits {
        lower: -1.0,
        upper: 1.0,
        velocity: 1.5,
        acceleration: 8.0,
    };
    for strategy in BlendingStrategy::ALL {
        for fade_ms in [0, 200] {
            for latency in LATENCIES_MS {
                let run = run(
                    Duration::from_millis(latency),
                    blending(strategy, fade_ms),
                    Some(limits),
                    Duration::ZERO,
                    |number, _, _| somewhere_else(number),
                );
                let highest = run.positions.iter().map(|one| one[0].abs()).fold(0.0, f32::max);
                assert!(highest <= 1.0 + 1e-6, "{highest}");
            }
        }
    }
}

#[test]
fn velocity_and_acceleration_stay_within_limits_across_recorded_chunks_at_every_latency() {
    let chunks = recorded::chunks();
    let limits = JointLimits {
        velocity: 3.0,
        acceleration: 40.0,
        ..JointLimits::NONE
    };
    for strategy in BlendingStrategy::ALL {
        for latency in LATENCIES_MS {
            run(
                Duration::from_millis(latency),
                blending(strategy, 200),
                Some(limits),
                Duration::ZERO,
                |number, _, _| chunks[number % 3].clone(),
            );
        }
    }
}

#[test]
fn without_limits_a_fade_leaves_no_step_in_position_or_velocity_at_recorded_chunks() {
    let chunks = recorded::chunks();
    for strategy in BlendingStrategy::ALL {
        for latency in LATENCIES_MS {
            let largest = |strategy, fade_ms| {
                let run = run(
                    Duration::from_millis(latency),
                    blending(strategy, fade_ms),
                    None,
                    Duration::ZERO,
                    |number, _, _| chunks[number % 3].clone(),
                );
                let joints = 0..14;
                let of_joint = |joint: usize| {
                    let positions: Vec<f32> = run.positions[2..].iter().map(|one| one[joint]).collect();
                    let velocities: Vec<f32> =
                        positions.windows(2).map(|two| (two[1] - two[0]) / 0.02).collect();
                    velocities
                        .windows(2)
                        .map(|two| (two[1] - two[0]).abs())
                        .fold(0.0, f32::max)
                };
                joints.map(of_joint).fold(0.0, f32::max)
            };
            let (at_once, faded) = (largest(BlendingStrategy::Replace, 0), largest(strategy, 400));
            assert!(
                faded < 0.5 * at_once,
                "{strategy:?} at {latency} ms: the velocity changes by {faded} rad/s in a tick, {at_once} without a fade"
            );
        }
    }
}

#[test]
fn a_policy_that_sees_where_the_robot_was_makes_no_sawtooth_and_reaches_its_target() {
    let lag = Duration::from_millis(120);
    for strategy in BlendingStrategy::ALL {
        for latency in [40, 300] {
            let run = run(
                Duration::from_millis(latency),
                blending(strategy, 400),
                None,
                lag,
                |_, measured, frozen| towards_one(measured, frozen),
            );
            let back = run
                .positions
                .windows(2)
                .map(|two| two[0][0] - two[1][0])
                .fold(0.0, f32::max);
            // What is left of the offset when the target is reached goes back too, slower than the robot moves.
            assert!(
                back < 0.005,
                "{strategy:?} at {latency} ms: goes back by {back} in a tick"
            );
            let end = run.positions[run.positions.len() - 1][0];
            assert!(
                (end - 1.0).abs() < 1e-4,
                "{strategy:?} at {latency} ms: ends at {end}"
            );
        }
    }
    let sawtooth = run(
        Duration::from_millis(40),
        blending(BlendingStrategy::Replace, 0),
        None,
        lag,
        |_, measured, frozen| towards_one(measured, frozen),
    );
    let back = sawtooth
        .positions
        .windows(2)
        .map(|two| two[0][0] - two[1][0])
        .fold(0.0, f32::max);
    assert!(
        back > 0.03,
        "without a fade there is the sawtooth that this test is about: {back}"
    );
}

#[test]
fn a_chunk_that_holds_the_committed_actions_joins_without_a_step() {
    let run = run(
        Duration::from_millis(300),
        blending(BlendingStrategy::Inpaint, 0),
        None,
        Duration::from_millis(120),
        |_, measured, frozen| towards_one(measured, frozen),
    );
    // The first blending in motion is before anything is known of the time that a chunk takes.
    let steps = run.positions[60..]
        .windows(2)
        .map(|two| (two[1][0] - two[0][0]).abs());
    let largest = steps.fold(0.0, f32::max);
    assert!(largest < 0.0101, "{largest}");
}

#[test]
fn the_first_chunk_starts_at_its_first_action_however_long_warming_up_took() {
    for (latency, strategy) in LATENCIES_MS
        .into_iter()
        .flat_map(|latency| BlendingStrategy::ALL.map(|strategy| (latency, strategy)))
    {
        let chunks = recorded::chunks();
        let run = run(
            Duration::from_millis(latency),
            blending(strategy, 200),
            None,
            Duration::ZERO,
            |_, _, frozen| {
                assert!(
                    frozen.len() <= (latency as usize).div_ceil(20) + 1,
                    "{} frozen",
                    frozen.len()
                );
                chunks[0].clone()
            },
        );
        let first = run
            .states
            .iter()
            .position(|state| *state == PlayerState::Playing)
            .unwrap();
        assert_eq!(run.states[..first], vec![PlayerState::Waiting; first]);
        assert_eq!(run.positions[1], chunks[0].action(0));
        assert_eq!(run.positions[2], chunks[0].action(1));
    }
}

#[test]
fn what_is_missing_behind_a_chunk_is_its_last_action() {
    let chunks = recorded::chunks();
    let run = run(
        Duration::from_millis(1600),
        blending(BlendingStrategy::Replace, 200),
        None,
        Duration::ZERO,
        |_, _, _| chunks[1].clone(),
    );
    let held = run
        .states
        .iter()
        .position(|state| *state == PlayerState::Holding)
        .unwrap();
    let waiting = run
        .states
        .iter()
        .filter(|state| **state == PlayerState::Waiting)
        .count();
    assert_eq!(run.positions[1 + held - waiting], chunks[1].action(HORIZON - 1));
}
