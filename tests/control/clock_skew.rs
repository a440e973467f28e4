//! What a controller makes of the published trajectories when its clock is not the node's and its hardware lags.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::Duration;

use pi0_node::control::{
    Blending, BlendingStrategy, Command, ControlSettings, Controller, JointLimits, SafetyInputs, TimedChunk,
    TrajectorySettings,
};
use pi0_node::policy::{ActionChunk, Guidance};

use crate::joint_trajectory_controller::JointTrajectoryController;
use crate::recorded;

const TICK_MS: u64 = 20;
/// 250 Hz.
const UPDATE_MS: u64 = 4;
/// Time from an observation to its chunk.
const LATENCY_MS: u64 = 120;
/// Time from a tick to the arrival of its message.
const TRANSPORT_MS: u64 = 2;
/// The sides of the table.
const SKEWS_MS: [i32; 3] = [-20, 0, 20];
const LAGS_MS: [u64; 2] = [0, 40];

/// How trajectories are published.
#[derive(Clone, Copy)]
struct Publishing {
    name: &'static str,
    history_ms: u64,
    controller_latency_ms: u64,
    velocities: bool,
}

const PUBLISHINGS: [Publishing; 5] = [
    Publishing {
        name: "from the present on",
        history_ms: 0,
        controller_latency_ms: 0,
        velocities: false,
    },
    Publishing {
        name: "from the past on",
        history_ms: 40,
        controller_latency_ms: 0,
        velocities: false,
    },
    Publishing {
        name: "and chunks take over 40 ms later",
        history_ms: 40,
        controller_latency_ms: 40,
        velocities: false,
    },
    DEFAULT,
    Publishing {
        name: "and waypoint_velocities",
        velocities: true,
        ..DEFAULT
    },
];

/// As the parameters are by default.
const DEFAULT: Publishing = Publishing {
    name: "default: chunks take over 60 ms later",
    history_ms: 40,
    controller_latency_ms: 60,
    velocities: false,
};

/// Limit of every joint, in rad/s.
const VELOCITY_LIMIT: f64 = 3.0;

/// What came of a run.
struct Outcome {
    /// Root mean square of the desired accelerations of the arms' joints.
    acceleration: f64,
    /// Highest velocity of a joint of the arms.
    velocity: f64,
    accepted: usize,
    rejections: Vec<String>,
    /// Share of the trajectories that have velocities.
    with_velocities: f64,
}

/// Ten seconds at 250 Hz in which chunks are played, the robot is stopped and held, and enabled again.
fn run(publishing: Publishing, skew_ms: i32, lag_ms: u64, chunks: &[ActionChunk]) -> Outcome {
    let start = chunks[0].action(0).to_vec();
    let joints = start.len();
    let settings = ControlSettings {
        trajectory: TrajectorySettings {
            horizon: NonZeroUsize::new(50).unwrap(),
            look_ahead: Duration::from_millis(300),
            history: Duration::from_millis(publishing.history_ms),
            velocities: publishing.velocities,
        },
        limits: Some(
            vec![
                JointLimits {
                    velocity: VELOCITY_LIMIT,
                    ..JointLimits::NONE
                };
                joints
            ]
            .into(),
        ),
        ..ControlSettings::unlimited(Duration::from_millis(TICK_MS))
    };
    let blending = Blending {
        strategy: Some(BlendingStrategy::Replace),
        blend_duration: Duration::from_millis(60),
        controller_latency: Duration::from_millis(publishing.controller_latency_ms),
        ensemble_coefficient: 0.01,
        rtc_mode: None,
        guidance: Guidance::default(),
    };
    let mut node = Controller::new((0..joints).map(|joint| format!("joint {joint}")).collect());
    let mut robot = JointTrajectoryController::new(f64::from(skew_ms) / 1e3, &start);
    let mut safety_inputs = SafetyInputs::default();
    let mut under_way: Option<(u64, TimedChunk)> = None;
    let mut on_the_way = VecDeque::new();
    let mut desired: Vec<Vec<f64>> = Vec::new();
    let (mut number, mut accepted, mut with_velocities, mut rejections) = (0, 0, 0, Vec::new());
    for ms in 0..10_000 {
        let now = Duration::from_secs(100) + Duration::from_millis(ms);
        let lagging = desired.len().saturating_sub(1 + (lag_ms / UPDATE_MS) as usize);
        let initial = || start.iter().copied().map(f64::from).collect::<Vec<f64>>();
        let measured = desired.get(lagging).cloned().unwrap_or_else(initial);
        // Ticks come up to 3 ms late.
        let tick = ms / TICK_MS;
        if ms % TICK_MS == tick * 7919 % 4 {
            safety_inputs.measured = Some(measured.iter().map(|&position| position as f32).collect());
            safety_inputs.command = match ms {
                4000..6000 => Command::Stopped,
                _ => Command::Enabled,
            };
            if under_way.is_none() && now >= node.next_observation_due() {
                let chunk = TimedChunk {
                    actions: chunks[number % chunks.len()].clone(),
                    observed_at: now,
                    action_period: Duration::from_millis(20),
                    execution_horizon: None,
                    blending,
                };
                number += 1;
                under_way = Some((ms + LATENCY_MS, chunk));
            }
            let arrived = under_way.take_if(|(arrives, _)| *arrives <= ms);
            let tick = node.tick(now, arrived.map(|(_, chunk)| chunk), &safety_inputs, &settings);
            on_the_way.extend(tick.trajectory.map(|trajectory| (ms + TRANSPORT_MS, trajectory)));
        }
        while on_the_way.front().is_some_and(|(arrives, _)| *arrives <= ms)
            && let Some((_, trajectory)) = on_the_way.pop_front()
        {
            match robot.receive(&trajectory, now) {
                Ok(()) => accepted += 1,
                Err(rejection) => rejections.push(rejection),
            }
            with_velocities += usize::from(!trajectory.points[0].velocities.is_empty());
        }
        if ms % UPDATE_MS == 0 {
            desired.push(robot.desired(now, &measured));
        }
    }
    assert!(number > 10, "{number} chunks");
    let update_s = UPDATE_MS as f64 / 1e3;
    let arms = || (0..joints).filter(|joint| joints < 14 || joint % 7 != 6);
    let velocities = desired
        .windows(2)
        .flat_map(|two| arms().map(|joint| two[1][joint] - two[0][joint]));
    let squares: Vec<f64> = desired
        .windows(3)
        .flat_map(|three| {
            arms().map(|joint| (three[2][joint] - 2.0 * three[1][joint] + three[0][joint]) / update_s.powi(2))
        })
        .map(|acceleration| acceleration * acceleration)
        .collect();
    Outcome {
        acceleration: (squares.iter().sum::<f64>() / squares.len() as f64).sqrt(),
        velocity: velocities.map(f64::abs).fold(0.0, f64::max) / update_s,
        accepted,
        with_velocities: with_velocities as f64 / (accepted + rejections.len()) as f64,
        rejections,
    }
}

#[test]
fn every_trajectory_is_accepted_while_playing_stopping_and_holding_whatever_the_clock() {
    for publishing in PUBLISHINGS {
        for skew_ms in [-150, -20, 0, 20, 150] {
            let outcome = run(publishing, skew_ms, 40, &recorded::chunks());
            assert!(outcome.accepted > 450, "{}", outcome.accepted);
            assert_eq!(outcome.rejections, [""; 0], "{} at {skew_ms} ms", publishing.name);
        }
    }
}

#[test]
fn skew_and_lag_change_the_desired_accelerations_by_less_than_twice_and_exceed_no_velocity_limit() {
    let chunks = recorded::chunks();
    let ideal = run(DEFAULT, 0, 0, &chunks).acceleration;
    for publishing in PUBLISHINGS {
        for lag_ms in LAGS_MS {
            let outcomes = SKEWS_MS.map(|skew_ms| run(publishing, skew_ms, lag_ms, &chunks));
            let accelerations = outcomes.each_ref().map(|outcome| outcome.acceleration);
            let velocities = outcomes.each_ref().map(|outcome| outcome.velocity);
            println!(
                "{}, lag {lag_ms} ms: rms {accelerations:.1?} rad/s², highest {velocities:.2?} rad/s, with velocities {:.2}",
                publishing.name, outcomes[1].with_velocities
            );
            if publishing.controller_latency_ms < DEFAULT.controller_latency_ms {
                continue;
            }
            for outcome in outcomes {
                assert!(
                    outcome.acceleration < 2.0 * ideal,
                    "{} rad/s², {ideal} without skew",
                    outcome.acceleration
                );
                // A cubic between two points is computed of their rounded velocities.
                assert!(
                    outcome.velocity < 1.01 * VELOCITY_LIMIT,
                    "{} rad/s",
                    outcome.velocity
                );
            }
        }
    }
}
