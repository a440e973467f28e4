//! An arm by pose with a gripper: what holds for joints holds for poses.

use std::time::{Duration, Instant};

use pi0_node::control::{
    Axes, AxisLayout, Blending, BlendingStrategy, Command, ControlSettings, Controller, HoldReason,
    InputRole, JointLimits, MonitoredInput, PlayerState, SafetyInputs, Takeover, Tick, TimedChunk,
    TwistSettings,
};
use pi0_node::policy::ActionChunk;
use pi0_node::pose::{POSE_VALUE_NAMES, POSE_VALUES, Pose, Rotation};

use crate::simulated::{HORIZON, TICK, blending};

const PI: f64 = std::f64::consts::PI;

/// A tool that points down, turned about x by an angle from there.
fn pose(position: [f64; 3], turned: f64) -> Pose {
    Pose {
        position,
        rotation: Rotation::from_vector([PI + turned, 0.0, 0.0]),
    }
}

fn twist_with_gain(gain: f64) -> TwistSettings {
    TwistSettings {
        gain,
        is_in_tool_frame: false,
    }
}

/// Gripper and pose.
fn action(gripper: f32, pose: Pose) -> Vec<f32> {
    let values = pose.values().map(|value| value as f32);
    [&[gripper][..], &values].concat()
}

fn pose_of(values: &[f32]) -> Pose {
    Pose::from_values(&values[1..])
}

/// A robot that is where it was told to be a tick ago.
struct Bench {
    controller: Controller,
    settings: ControlSettings,
    safety_inputs: SafetyInputs,
    now: Duration,
    blending: Blending,
    /// Where the robot is.
    measured: Vec<f32>,
    /// Whether it stays there whatever is published.
    is_blocked: bool,
    /// What was published, and the velocities beside it.
    published: Vec<(Vec<f32>, Vec<f32>)>,
}

impl Bench {
    fn new(at: Pose) -> Self {
        let names = POSE_VALUE_NAMES.map(|value| format!("tool.{value}"));
        let names = [&["gripper".to_owned()][..], &names].concat();
        let distances = |gripper: f32, distance: f32, angle: f32| {
            let none = f32::INFINITY;
            [gripper, distance, none, none, angle, none, none, none].into()
        };
        Self {
            controller: Controller::new(Axes::new(names, AxisLayout::with_poses([1]))),
            settings: ControlSettings {
                max_start_jump: distances(0.5, 0.1, 0.4),
                max_following_error: distances(0.5, 0.1, 0.4),
                twists: [twist_with_gain(1.0)].into(),
                ..ControlSettings::unlimited(TICK)
            },
            safety_inputs: SafetyInputs::default(),
            now: Duration::from_secs(10),
            blending: blending(BlendingStrategy::Replace, 100),
            measured: action(0.0, at),
            is_blocked: false,
            published: Vec::new(),
        }
    }

    /// Limits of the workspace, and of the linear and angular velocity and acceleration.
    fn with_limits(mut self, lower: [f64; 3], upper: [f64; 3], rates: [[f64; 2]; 2]) -> Self {
        let mut limits = [JointLimits::NONE; 1 + POSE_VALUES];
        for axis in 0..3 {
            let [[velocity, acceleration], [angular_velocity, angular_acceleration]] = rates;
            limits[1 + axis] = JointLimits {
                lower: lower[axis],
                upper: upper[axis],
                velocity,
                acceleration,
            };
            limits[4 + axis] = JointLimits {
                velocity: angular_velocity,
                acceleration: angular_acceleration,
                ..JointLimits::NONE
            };
        }
        self.settings.limits = Some(limits.into());
        self
    }

    fn tick(&mut self, chunk: Option<TimedChunk>) -> Tick {
        self.now += TICK;
        self.safety_inputs.measured = Some(self.measured.clone());
        let tick = self
            .controller
            .tick(self.now, chunk, &self.safety_inputs, &self.settings);
        if let Some(trajectory) = &tick.trajectory {
            if !self.is_blocked {
                self.measured = trajectory.present.clone();
            }
            self.published
                .push((trajectory.present.clone(), trajectory.twists.clone()));
        }
        tick
    }

    fn ticks(&mut self, count: usize) -> Tick {
        (1..count).for_each(|_| drop(self.tick(None)));
        self.tick(None)
    }

    /// A chunk that is observed at the next tick, of the pose at every number of an action.
    fn chunk(&self, pose: impl Fn(usize) -> Pose) -> Option<TimedChunk> {
        let values = (0..HORIZON).flat_map(|index| action(0.01 * index as f32, pose(index)));
        Some(TimedChunk {
            actions: ActionChunk::new(values.collect(), 1 + POSE_VALUES),
            observed_at: self.now + TICK,
            action_period: TICK,
            execution_horizon: None,
            blending: self.blending,
        })
    }

    fn pose(&self) -> Pose {
        pose_of(&self.measured)
    }

    /// Linear and angular velocities from tick to tick.
    fn velocities(&self) -> Vec<[[f64; 3]; 2]> {
        let poses: Vec<Pose> = self.published.iter().map(|(values, _)| pose_of(values)).collect();
        let seconds = TICK.as_secs_f64();
        let way = |pair: &[Pose]| {
            pair[1]
                .difference(pair[0])
                .map(|way| way.map(|value| value / seconds))
        };
        poses.windows(2).map(way).collect()
    }

    /// The largest linear and angular speed, and the largest changes of velocity from one tick to the next per second.
    fn extremes(&self) -> [[f64; 2]; 2] {
        let velocities = self.velocities();
        let length = |vector: [f64; 3]| vector.iter().map(|value| value * value).sum::<f64>().sqrt();
        let largest = |vectors: Vec<[f64; 3]>| vectors.into_iter().map(length).fold(0.0, f64::max);
        [0, 1].map(|part| {
            let speeds: Vec<[f64; 3]> = velocities.iter().map(|both| both[part]).collect();
            let changes = speeds
                .windows(2)
                .map(|pair| std::array::from_fn(|axis| (pair[1][axis] - pair[0][axis]) / TICK.as_secs_f64()));
            [largest(speeds.clone()), largest(changes.collect())]
        })
    }
}

fn reason(tick: &Tick) -> Option<HoldReason> {
    tick.hold.as_ref().map(|hold| hold.reason)
}

/// Along x at 0.1 m/s, and about x at half a radian per second, across the angle at which a tool points down.
fn across_half_a_turn(index: usize) -> Pose {
    pose([0.002 * index as f64, 0.0, 0.3], -0.2 + 0.01 * index as f64)
}

#[test]
fn the_pose_that_is_due_is_published_and_turns_evenly_across_half_a_turn() {
    let mut bench = Bench::new(across_half_a_turn(0));
    let chunk = bench.chunk(across_half_a_turn);
    assert_eq!(bench.tick(chunk).state, PlayerState::Playing);
    bench.ticks(45);
    for (index, (values, _)) in bench.published.iter().enumerate() {
        let [distance, angle] = pose_of(values).distances(across_half_a_turn(index));
        assert!(
            distance < 1e-5 && angle < 1e-5,
            "{index}: {distance} m, {angle} rad"
        );
        assert!(
            (values[0] - 0.01 * index as f32).abs() < 1e-5,
            "the gripper moves too"
        );
    }
    for [linear, angular] in bench.velocities() {
        assert!((linear[0] - 0.1).abs() < 1e-3 && (angular[0] - 0.5).abs() < 2e-3);
    }
}

#[test]
fn no_strategy_turns_further_than_chunks_differ_nor_jumps_where_they_meet() {
    for strategy in [
        BlendingStrategy::Replace,
        BlendingStrategy::Blend,
        BlendingStrategy::Ensemble,
        BlendingStrategy::Inpaint,
        BlendingStrategy::Rtc,
    ] {
        let mut bench = Bench::new(across_half_a_turn(0));
        bench.blending = blending(strategy, 200);
        bench.blending.ensemble_coefficient = 0.5;
        let chunk = bench.chunk(across_half_a_turn);
        bench.tick(chunk);
        bench.ticks(9);
        // Turned by a tenth of a radian about another axis, and 1 cm aside.
        let aside = Rotation::from_vector([0.0, 0.1, 0.0]);
        let other = move |index: usize| {
            let pose = across_half_a_turn(index + 10);
            Pose {
                position: [pose.position[0], 0.01, 0.3],
                rotation: aside * pose.rotation,
            }
        };
        let chunk = bench.chunk(other);
        bench.tick(chunk);
        bench.ticks(40);
        let [[speed, change], [turn, turn_change]] = bench.extremes();
        assert!(
            speed < 0.25 && turn < 1.6,
            "{strategy:?}: {speed} m/s, {turn} rad/s"
        );
        assert!(
            change < 3.0 && turn_change < 40.0,
            "{strategy:?}: {change} m/s², {turn_change} rad/s²"
        );
        let off_both = bench.published.iter().enumerate().map(|(index, (values, _))| {
            let first = pose_of(values).distances(across_half_a_turn(index.min(HORIZON - 1)))[1];
            let second = pose_of(values).distances(other(index.saturating_sub(10).min(HORIZON - 1)))[1];
            first.min(second)
        });
        let furthest = off_both.fold(0.0, f64::max);
        assert!(furthest < 0.11, "{strategy:?}: {furthest} rad from both chunks");
    }
}

#[test]
fn limits_hold_for_the_length_of_velocities_and_accelerations_and_the_target_is_reached() {
    let none = [f64::INFINITY; 3];
    let rates = [[0.2, 1.0], [0.8, 4.0]];
    let start = pose([0.0, 0.0, 0.3], -0.2);
    let mut bench = Bench::new(start).with_limits(none.map(|value| -value), none, rates);
    bench.settings.max_start_jump = [].into();
    bench.settings.max_following_error = [].into();
    let target = Pose {
        position: [0.1, 0.12, 0.25],
        rotation: Rotation::from_vector([0.3, 0.4, -0.5]) * start.rotation,
    };
    let chunk = bench.chunk(|_| target);
    bench.tick(chunk);
    bench.ticks(120);
    let [[speed, change], [turn, turn_change]] = bench.extremes();
    assert!(
        speed < 0.2 * 1.01 && turn < 0.8 * 1.01,
        "{speed} m/s, {turn} rad/s"
    );
    assert!(
        change < 1.0 * 1.02 && turn_change < 4.0 * 1.02,
        "{change} m/s², {turn_change} rad/s²"
    );
    assert!(speed > 0.19 && turn > 0.75, "no slower than it may be");
    let [distance, angle] = bench.pose().distances(target);
    assert!(distance < 1e-4 && angle < 1e-4, "{distance} m, {angle} rad");
}

#[test]
fn a_workspace_holds_the_robot_at_its_edge_with_the_reason_until_a_chunk_leads_back() {
    let start = pose([0.4, 0.0, 0.1], 0.0);
    let none = [f64::INFINITY; 2];
    let mut bench = Bench::new(start).with_limits([0.2, -0.3, 0.05], [0.6, 0.3, 0.5], [none, none]);
    let down = |index: usize| pose([0.4, 0.001 * index as f64, 0.1 - 0.002 * index as f64], 0.0);
    let chunk = bench.chunk(down);
    bench.tick(chunk);
    let mut held = None;
    for _ in 0..45 {
        let tick = bench.tick(None);
        held = held.or(tick.hold);
    }
    let held = held.expect("held at the edge");
    assert_eq!(held.reason, HoldReason::WorkspaceEdge);
    assert!(
        held.detail.starts_with("z of pose tool is wanted at"),
        "{}",
        held.detail
    );
    let lowest = bench
        .published
        .iter()
        .map(|(values, _)| values[3])
        .fold(1.0, f32::min);
    assert!((0.05 - 1e-6..0.051).contains(&lowest), "{lowest}");
    let aside = bench.pose().position[1];
    bench.ticks(5);
    assert!(
        (bench.pose().position[1] - aside).abs() < 1e-9,
        "it does not slide along the edge"
    );
    // Outwards again.
    let from = bench.pose().position;
    let chunk = bench.chunk(|index| pose([from[0], from[1], from[2] - 0.002 * index as f64], 0.0));
    bench.tick(chunk);
    assert_eq!(reason(&bench.ticks(10)), Some(HoldReason::WorkspaceEdge));
    assert!(bench.pose().position[2] > 0.05 - 1e-6);
    // And back.
    let chunk = bench.chunk(|index| pose([from[0], from[1], from[2] + 0.002 * index as f64], 0.0));
    assert_eq!(reason(&bench.tick(chunk)), None);
    assert_eq!(reason(&bench.ticks(20)), None);
    assert!(bench.pose().position[2] > 0.08);
}

#[test]
fn a_robot_outside_of_its_workspace_may_come_back_slowly_and_goes_no_further() {
    let outside = pose([0.4, 0.0, 0.55], 0.0);
    let bench = || {
        let none = [f64::INFINITY; 2];
        Bench::new(outside).with_limits([0.2, -0.3, 0.05], [0.6, 0.3, 0.5], [none, none])
    };
    let mut back = bench();
    let chunk = back.chunk(|index| pose([0.4, 0.0, 0.55 - 0.004 * index as f64], 0.0));
    assert_eq!(reason(&back.tick(chunk)), None);
    back.ticks(20);
    let [[speed, _], _] = back.extremes();
    assert!(speed < 0.101, "{speed} m/s is faster than limit_return_velocity");
    assert!(back.pose().position[2] < 0.53);
    let mut out = bench();
    let chunk = out.chunk(|index| pose([0.4, 0.0, 0.55 + 0.004 * index as f64], 0.0));
    out.tick(chunk);
    assert_eq!(reason(&out.ticks(10)), Some(HoldReason::WorkspaceEdge));
    assert!(out.pose().position[2] < 0.55 + 1e-6);
}

#[test]
fn a_run_never_begins_with_a_jump_of_position_or_rotation() {
    for (first, words) in [
        (
            pose([0.4, 0.15, 0.3], 0.0),
            "the position of pose tool would be sent 0.15",
        ),
        (
            pose([0.4, 0.0, 0.3], 0.5),
            "the rotation of pose tool would be sent 0.5",
        ),
    ] {
        let mut bench = Bench::new(pose([0.4, 0.0, 0.3], 0.0));
        let chunk = bench.chunk(|_| first);
        let tick = bench.tick(chunk);
        assert_eq!(tick.trajectory, None);
        assert_eq!(reason(&tick), Some(HoldReason::StartJump));
        let refusal = tick.refusal.unwrap().to_string();
        assert!(refusal.starts_with(words), "{refusal}");
    }
    let mut bench = Bench::new(pose([0.4, 0.0, 0.3], 0.0));
    let chunk = bench.chunk(|_| pose([0.45, 0.05, 0.3], 0.3));
    assert_eq!(bench.tick(chunk).refusal, None);
}

#[test]
fn a_pose_that_does_not_follow_holds_the_robot() {
    for (moved, words) in [
        (pose([0.4, 0.2, 0.3], 0.0), "the position of pose tool is 0."),
        (pose([0.4, 0.0, 0.3], 0.6), "the rotation of pose tool is 0."),
    ] {
        let start = pose([0.4, 0.0, 0.3], 0.0);
        let mut bench = Bench::new(start);
        let chunk = bench.chunk(|index| pose([0.4, 0.001 * index as f64, 0.3], 0.01 * index as f64));
        bench.tick(chunk);
        bench.ticks(5);
        bench.measured = action(0.0, moved);
        bench.is_blocked = true;
        let hold = bench.tick(None).hold.unwrap();
        assert_eq!(hold.reason, HoldReason::FollowingError);
        assert!(hold.detail.starts_with(words), "{hold}");
    }
}

#[test]
fn a_silent_pose_stops_the_robot_until_it_speaks_again() {
    let mut bench = Bench::new(across_half_a_turn(0));
    let chunk = bench.chunk(across_half_a_turn);
    bench.settings.supervision.max_age = Duration::from_millis(100);
    bench.safety_inputs.inputs = vec![MonitoredInput {
        input: InputRole::Other("pose /end_effector_pose".to_owned()),
        received: Some(Instant::now()),
        is_not_finite: false,
    }];
    bench.tick(chunk);
    let tick = bench.ticks(20);
    assert_eq!(reason(&tick), Some(HoldReason::StaleInput));
    assert!(tick.hold.unwrap().detail.contains("pose /end_effector_pose"));
    let at = bench.pose();
    bench.ticks(5);
    let [distance, angle] = bench.pose().distances(at);
    assert!(distance < 1e-6 && angle < 1e-6, "{distance} m, {angle} rad");
}

#[test]
fn a_stop_brings_position_and_rotation_to_rest_together_and_its_twist_is_0() {
    let mut bench = Bench::new(across_half_a_turn(0));
    let chunk = bench.chunk(across_half_a_turn);
    bench.tick(chunk);
    bench.ticks(10);
    bench.safety_inputs.command = Command::Stopped;
    assert_eq!(reason(&bench.ticks(12)), Some(HoldReason::Stopped));
    let [[speed, change], [turn, turn_change]] = bench.extremes();
    assert!(speed < 0.101 && turn < 0.505, "{speed} m/s, {turn} rad/s");
    assert!(
        change < 1.0 && turn_change < 5.0,
        "{change} m/s², {turn_change} rad/s²"
    );
    let (_, twist) = &bench.published[bench.published.len() - 1];
    assert_eq!(twist[..], [0.0; 8]);
    // At rest nothing changes any more, not even a bit.
    let at = bench.measured.clone();
    bench.ticks(50);
    assert_eq!(bench.measured, at);
}

#[test]
fn velocities_lead_a_robot_along_the_plan_and_are_0_while_it_is_held() {
    let start = across_half_a_turn(0);
    let mut bench = Bench::new(start);
    bench.is_blocked = true;
    bench.settings.twists = [twist_with_gain(2.0)].into();
    let chunk = bench.chunk(across_half_a_turn);
    bench.tick(chunk);
    // A robot of velocities, which is moved by a push on the way.
    let mut at = start;
    for tick in 0..60 {
        let (_, twist) = bench.published[bench.published.len() - 1].clone();
        let velocity: [f64; 6] = std::array::from_fn(|index| f64::from(twist[1 + index]));
        let way = |first: usize| std::array::from_fn(|axis| velocity[first + axis] * TICK.as_secs_f64());
        at = at.moved([way(0), way(3)]);
        if tick == 10 {
            at.position[1] += 0.02;
        }
        bench.measured = action(0.01 * (tick + 1) as f32, at);
        let tick = bench.tick(None);
        if tick.state == PlayerState::Holding {
            break;
        }
    }
    let [distance, angle] = at.distances(across_half_a_turn(HORIZON - 1));
    assert!(distance < 0.008 && angle < 0.01, "{distance} m, {angle} rad");
    let (_, twist) = &bench.published[bench.published.len() - 1];
    assert_eq!(
        twist[..],
        [0.0; 8],
        "the rest of the way is not made up at standstill"
    );
}

#[test]
fn a_robot_that_is_given_back_goes_on_from_the_pose_where_it_was_left() {
    let mut bench = Bench::new(across_half_a_turn(0));
    let chunk = bench.chunk(across_half_a_turn);
    bench.tick(chunk);
    bench.ticks(10);
    bench.safety_inputs.takeover.is_requested = true;
    bench.ticks(20);
    assert_eq!(bench.tick(None).trajectory, None);
    let left = pose([0.1, 0.2, 0.4], 1.0);
    bench.measured = action(0.3, left);
    bench.safety_inputs.takeover = Takeover {
        is_requested: false,
        releases: 1,
    };
    bench.published.clear();
    bench.ticks(5);
    let [distance, angle] = bench.pose().distances(left);
    assert!(distance < 1e-6 && angle < 1e-6, "{distance} m, {angle} rad");
    let chunk = bench.chunk(|index| pose([0.1, 0.21, 0.4 + 0.001 * index as f64], 1.05));
    assert_eq!(bench.tick(chunk).refusal, None);
    bench.ticks(20);
    let [[speed, _], [turn, _]] = bench.extremes();
    assert!(speed < 0.3 && turn < 1.0, "{speed} m/s, {turn} rad/s");
}

#[test]
fn a_chunk_whose_rotation_is_none_is_refused_and_stops_the_robot() {
    let mut bench = Bench::new(across_half_a_turn(0));
    let chunk = bench.chunk(across_half_a_turn);
    bench.tick(chunk);
    bench.ticks(10);
    let chunk = bench.chunk(|_| Pose {
        rotation: Rotation::from_xyzw([0.0; 4]),
        ..across_half_a_turn(10)
    });
    let tick = bench.tick(chunk);
    assert_eq!(reason(&tick), Some(HoldReason::NotFinite));
    let refusal = tick.refusal.unwrap().to_string();
    assert!(
        refusal.starts_with("qx of pose tool of action 0 is NaN"),
        "{refusal}"
    );
}
