//! A robot in simulated time: chunks of a policy that takes a while, and what is published.

use std::num::NonZeroUsize;
use std::time::Duration;

use pi0_node::control::{
    Blending, BlendingStrategy, ControlSettings, Controller, JointLimits, PlayerState, SafetyInputs,
    TimedChunk, TrajectorySettings,
};
use pi0_node::policy::{ActionChunk, ActionPrefix, Conditioning, Guidance, PolicyInfo};

pub const TICK: Duration = Duration::from_millis(20);
pub const HORIZON: usize = 50;
/// From 5 ms to longer than the chunk, which lasts a second.
pub const LATENCIES_MS: [u64; 7] = [5, 20, 90, 300, 700, 1000, 1600];

/// What was published: the executed positions at every tick, and whether a chunk was being played.
pub struct Run {
    pub positions: Vec<Vec<f32>>,
    pub states: Vec<PlayerState>,
    /// What each chunk went on from.
    pub prefixes: Vec<Option<ActionPrefix>>,
    /// Largest distance of a joint of what the policy predicts by itself from the motion under way, while both have actions.
    pub largest_difference: f32,
}

/// Runs chunks of a policy that takes `latency` for 6 s. `policy` gets the number of the chunk, the measured positions
/// (the command of `lag` ago), and the positions that are frozen.
pub fn run(
    latency: Duration,
    blending: Blending,
    limits: Option<JointLimits>,
    lag: Duration,
    policy: impl FnMut(usize, &[f32], &[Vec<f32>]) -> ActionChunk,
) -> Run {
    run_at_latencies(|_| latency, blending, limits, lag, policy)
}

/// As [`run`], where the chunk of each number has a latency of its own.
pub fn run_at_latencies(
    latency: impl Fn(usize) -> Duration,
    blending: Blending,
    limits: Option<JointLimits>,
    lag: Duration,
    mut policy: impl FnMut(usize, &[f32], &[Vec<f32>]) -> ActionChunk,
) -> Run {
    let start = policy(0, &[], &[]).action(0).to_vec();
    let settings = ControlSettings {
        trajectory: TrajectorySettings {
            horizon: NonZeroUsize::new(HORIZON).unwrap(),
            ..ControlSettings::unlimited(TICK).trajectory
        },
        limits: limits.map(|limits| vec![limits; start.len()].into()),
        ..ControlSettings::unlimited(TICK)
    };
    let info = PolicyInfo {
        action_horizon: HORIZON,
        ..PolicyInfo::default()
    };
    let mut controller = Controller::new((0..start.len()).map(|joint| format!("joint {joint}")).collect());
    let mut under_way: Option<(Duration, TimedChunk)> = None;
    let (mut positions, mut states, mut velocity) =
        (vec![start.clone()], Vec::new(), vec![0.0_f32; start.len()]);
    let (mut number, mut prefixes, mut largest_difference) = (0, Vec::new(), 0.0_f32);
    for tick in 0..300 {
        let now = Duration::from_secs(100) + TICK * tick;
        let lag_ticks = (lag.as_millis() / TICK.as_millis()) as usize;
        let measured = positions[positions.len().saturating_sub(1 + lag_ticks)].clone();
        if under_way.is_none() && now >= controller.next_observation_due() {
            let plan = controller
                .plan()
                .filter(|_| states.last() == Some(&PlayerState::Playing));
            let delay = controller.played_before_arrival();
            let prefix = plan.and_then(|plan| blending.action_prefix(plan, delay, now, TICK, &info));
            let frozen = prefix
                .as_ref()
                .filter(|prefix| !matches!(prefix.conditioning, Conditioning::Guided { .. }))
                .map_or_else(Vec::new, rows);
            let free = policy(number, &measured, &frozen);
            if let Some(plan) = plan {
                let both = 0..plan.actions_left(now, TICK).min(HORIZON);
                let differences = both.flat_map(|action| {
                    let old = plan.positions(now + TICK * action as u32).into_iter();
                    let pairs = old.zip(free.action(action).to_vec());
                    pairs.map(|(old, new)| (old - new).abs())
                });
                largest_difference = differences.fold(largest_difference, f32::max);
            }
            let actions = guided(free, prefix.as_ref());
            prefixes.push(prefix);
            let chunk = TimedChunk {
                actions,
                observed_at: now,
                action_period: TICK,
                execution_horizon: None,
                blending,
            };
            let latency = latency(number);
            number += 1;
            under_way = Some((now + latency, chunk));
        }
        let arrived = under_way
            .take_if(|(arrives, _)| *arrives <= now)
            .map(|(_, chunk)| chunk);
        let safety_inputs = SafetyInputs {
            measured: Some(measured),
            ..SafetyInputs::default()
        };
        let tick = controller.tick(now, arrived, &safety_inputs, &settings);
        assert_eq!(tick.refusal, None);
        states.push(tick.state);
        let Some(trajectory) = tick.trajectory else {
            continue;
        };
        if let Some(limits) = limits {
            let before = positions[positions.len() - 1].clone();
            let mut moving = velocity.clone();
            let told = std::iter::once((Duration::ZERO, &before)).chain(
                trajectory
                    .points
                    .iter()
                    .map(|point| (point.time_from_start + TICK, &point.positions)),
            );
            let told: Vec<_> = told.collect();
            for pair in told.windows(2) {
                let seconds = (pair[1].0 - pair[0].0).as_secs_f32();
                for (joint, moving) in moving.iter_mut().enumerate() {
                    let next = (pair[1].1[joint] - pair[0].1[joint]) / seconds;
                    assert!(
                        f64::from(next.abs()) < limits.velocity * 1.001,
                        "{next} rad/s of joint {joint}"
                    );
                    let acceleration = f64::from((next - *moving).abs()) / TICK.as_secs_f64();
                    let allowed = limits.acceleration + 0.05;
                    assert!(
                        acceleration < allowed,
                        "{acceleration} rad/s² of joint {joint} at {now:?}"
                    );
                    *moving = next;
                }
            }
            let changed = trajectory.present.iter().zip(&before);
            velocity = changed
                .map(|(to, from)| (to - from) / TICK.as_secs_f32())
                .collect();
        }
        positions.push(trajectory.present);
    }
    assert!(number > 1, "no blending");
    Run {
        positions,
        states,
        prefixes,
        largest_difference,
    }
}

fn rows(prefix: &ActionPrefix) -> Vec<Vec<f32>> {
    let rows = 0..prefix.actions.horizon();
    rows.map(|action| prefix.actions.action(action).to_vec())
        .collect()
}

/// What perfect guidance makes of a chunk: each action as near to the chunk before as its weight says. Behind the prefix
/// are zeros, as in the network's tables.
fn guided(free: ActionChunk, prefix: Option<&ActionPrefix>) -> ActionChunk {
    let Some((prefix, (guidance, delay))) = prefix.and_then(|prefix| match prefix.conditioning {
        Conditioning::Guided {
            guidance,
            inference_delay,
        } => Some((prefix, (guidance, inference_delay))),
        Conditioning::Inpainted | Conditioning::Trained => None,
    }) else {
        return free;
    };
    let weights = guidance.prefix_weights(delay, prefix.actions.horizon(), free.horizon());
    let joints = free.action_dim();
    let values = free.values().iter().enumerate().map(|(index, free)| {
        let (old, weight) = (prefix.actions.values().get(index), weights[index / joints]);
        weight * old.unwrap_or(&0.0) + (1.0 - weight) * free
    });
    ActionChunk::new(values.collect(), joints)
}

pub fn blending(strategy: BlendingStrategy, fade_ms: u64) -> Blending {
    Blending {
        strategy: Some(strategy),
        blend_duration: Duration::from_millis(fade_ms),
        controller_latency: Duration::ZERO,
        ensemble_coefficient: 0.01,
        rtc_mode: None,
        guidance: Guidance::default(),
    }
}
