//! Faults that other implementations of real-time chunking had (LeRobot's pull requests 4454 and 4223), against every
//! strategy.

use std::time::Duration;

use pi0_node::control::{Blending, BlendingStrategy, JointLimits, PlayerState, RtcMode};
use pi0_node::model::denoise::sample_noise;
use pi0_node::policy::{ActionChunk, Conditioning};

use crate::simulated::{HORIZON, TICK, blending, run, run_at_latencies};

/// From none to longer than the chunk, which lasts a second.
const DELAYS_MS: [u64; 10] = [0, 15, 50, 100, 200, 500, 900, 1000, 1600, 2400];
const SPEED: f32 = 0.5;
const STEP: f32 = SPEED * 0.02;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Every strategy, the last one in each of its modes.
fn every_way(fade_ms: u64) -> Vec<(String, Blending)> {
    let modes = |strategy| match strategy {
        BlendingStrategy::Rtc => vec![Some(RtcMode::Guided), Some(RtcMode::Trained)],
        _ => vec![None],
    };
    let ways = BlendingStrategy::ALL.into_iter().flat_map(|strategy| {
        let in_mode = move |rtc_mode| Blending {
            rtc_mode,
            ..blending(strategy, fade_ms)
        };
        modes(strategy).into_iter().map(in_mode)
    });
    ways.map(|way| (format!("{:?} {:?}", way.strategy, way.rtc_mode), way))
        .collect()
}

/// Goes on from where the robot is told to be, at half a unit per second.
fn onwards(from: f32) -> ActionChunk {
    // The measured position is that of the tick before.
    let values = (0..HORIZON).map(|action| from + STEP * (action + 1) as f32);
    ActionChunk::new(values.collect(), 1)
}

/// Every chunk agrees with the one before, so an action that is dropped unplayed, or played twice, is a step of another
/// length. LeRobot dropped as many actions as the latency was long, even where the robot had stood still meanwhile.
#[test]
fn no_more_actions_are_dropped_at_a_splice_than_were_played() {
    for fade_ms in [0, 60] {
        for (way, blending) in every_way(fade_ms) {
            for delay in DELAYS_MS {
                let run = run(ms(delay), blending, None, Duration::ZERO, |_, measured, _| {
                    onwards(measured.first().copied().unwrap_or(0.0))
                });
                let case = format!("{way}, fade {fade_ms} ms, delay {delay} ms");
                // A fade from standstill catches up within it.
                let longest = if fade_ms == 0 { 1.01 * STEP } else { 2.0 * STEP };
                let positions: Vec<f32> = run.positions[1..].iter().map(|at| at[0]).collect();
                for two in positions.windows(2) {
                    let step = two[1] - two[0];
                    assert!((-1e-4..longest).contains(&step), "{case}: a step of {step}");
                }
                // Without a chunk the robot rests; an action is played at each of the other ticks.
                let is_starved = |state: &&PlayerState| **state == PlayerState::Holding;
                let starved = run.states.iter().filter(is_starved).count();
                let played = (positions[positions.len() - 1] - positions[0]) / STEP;
                let expected = (positions.len() - 1 - starved) as f32;
                assert!(expected > 50.0, "{case}: {starved} ticks without a chunk");
                // At the first tick after a rest a fade leaves the robot where it stands.
                let begins = |two: &&[PlayerState]| two == &[PlayerState::Holding, PlayerState::Playing];
                let begun = run.states.windows(2).filter(begins).count() as f32;
                assert!(
                    (played - expected).abs() < 3.0 + begun,
                    "{case}: {played} actions in {expected} ticks, begun {begun} times"
                );
            }
        }
    }
}

/// LeRobot padded the left-over actions with zeros, the mean pose of the data set, which pulled the arm there.
#[test]
fn a_chunk_before_that_is_nearly_over_does_not_pull_the_robot_to_the_mean_pose() {
    for fade_ms in [0, 200] {
        for (way, blending) in every_way(fade_ms) {
            for delay in DELAYS_MS {
                let pose = ActionChunk::new(vec![1.5; HORIZON], 1);
                let run = run(ms(delay), blending, None, Duration::ZERO, |_, _, _| pose.clone());
                for positions in &run.positions {
                    let off = (positions[0] - 1.5).abs();
                    assert!(off < 1e-5, "{way}, {fade_ms} ms, delay {delay} ms: off by {off}");
                }
            }
        }
    }
}

/// LeRobot's first inference, which compiles and warms up, sized the delay of those after it.
#[test]
fn the_first_chunk_s_latency_is_not_taken_for_a_delay() {
    let warm_up = ms(2000);
    for (way, blending) in every_way(60) {
        let latency = |number| if number == 0 { warm_up } else { ms(100) };
        let run = run_at_latencies(latency, blending, None, Duration::ZERO, |_, measured, _| {
            onwards(measured.first().copied().unwrap_or(0.0))
        });
        let conditioned = run.prefixes.iter().flatten();
        let mut delays: Vec<usize> = conditioned
            .map(|prefix| match prefix.conditioning {
                Conditioning::Inpainted | Conditioning::Trained => prefix.actions.horizon(),
                Conditioning::Guided { inference_delay, .. } => inference_delay,
            })
            .collect();
        let longest = delays.iter().copied().max().unwrap_or(0);
        assert!(longest <= 6, "{way}: {delays:?} actions, of 20 ms");
        let is_conditioned = blending.strategy.is_some_and(BlendingStrategy::needs_prefixes);
        assert_eq!(delays.pop(), is_conditioned.then_some(5), "{way}");
    }
}

/// Walks at random from anywhere, with a step of at most `STEP` an action.
fn somewhere(number: usize) -> ActionChunk {
    let noise = sample_noise(number as u64, 21, 2 * (HORIZON + 1));
    let mut position = [noise[0].clamp(-1.5, 1.5), noise[1].clamp(-1.5, 1.5)];
    let steps = noise[2..].chunks(2);
    let values = steps.flat_map(|step| {
        for (position, step) in position.iter_mut().zip(step) {
            *position += step.clamp(-1.0, 1.0) * STEP;
        }
        position
    });
    ActionChunk::new(values.collect(), 2)
}

/// Latencies that no two chunks share, around `delay`.
fn irregular(delay: u64) -> impl Fn(usize) -> Duration {
    move |number| ms(delay * [100, 60, 140, 90, 30][number % 5] / 100)
}

#[test]
fn no_strategy_jumps_by_more_than_chunks_differ_at_any_delay() {
    for fade_ms in [0, 60, 400] {
        for (way, blending) in every_way(fade_ms) {
            for delay in DELAYS_MS {
                let run = run_at_latencies(
                    irregular(delay),
                    blending,
                    None,
                    Duration::ZERO,
                    |number, _, _| somewhere(number),
                );
                let pairs = run.positions[1..].windows(2);
                let steps =
                    pairs.flat_map(|two| two[0].iter().zip(&two[1]).map(|(from, to)| (to - from).abs()));
                let largest = steps.fold(0.0, f32::max);
                let case = format!("{way}, fade {fade_ms} ms, delay {delay} ms");
                let difference = run.largest_difference;
                let bound = difference + 2.0 * STEP;
                assert!(
                    largest <= bound,
                    "{case}: a jump of {largest}, the chunks differ by {difference}"
                );
                // A guided chunk goes over from the motion under way to its own within itself, at any speed.
                if fade_ms == 400 && blending.rtc_mode != Some(RtcMode::Guided) {
                    // A fade's steepest part, and the part of the velocities.
                    let share = 1.5 * TICK.as_secs_f32() / 0.4;
                    let bound = share * difference + 6.0 * STEP;
                    assert!(
                        largest <= bound,
                        "{case}: {largest} in a tick of a fade, {difference} between the chunks"
                    );
                }
            }
        }
    }
}

#[test]
fn no_strategy_exceeds_a_joint_s_limits_at_any_delay() {
    let limits = JointLimits {
        lower: -0.8,
        upper: 0.8,
        velocity: 1.0,
        acceleration: 6.0,
    };
    for fade_ms in [0, 60, 400] {
        for (way, blending) in every_way(fade_ms) {
            for delay in DELAYS_MS {
                // Velocity and acceleration are checked at every tick.
                let run = run_at_latencies(
                    irregular(delay),
                    blending,
                    Some(limits),
                    Duration::ZERO,
                    // The first chunk begins within the limits.
                    |number, _, _| {
                        if number == 0 {
                            onwards_of_two()
                        } else {
                            somewhere(number)
                        }
                    },
                );
                let furthest = run
                    .positions
                    .iter()
                    .flatten()
                    .fold(0.0_f32, |far, at| far.max(at.abs()));
                assert!(
                    furthest <= 0.8 + 1e-5,
                    "{way}, {fade_ms} ms, delay {delay} ms: {furthest}"
                );
            }
        }
    }
}

fn onwards_of_two() -> ActionChunk {
    let values = (0..HORIZON).flat_map(|action| [STEP * action as f32; 2]);
    ActionChunk::new(values.collect(), 2)
}
