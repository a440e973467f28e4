//! Holds, starts and stops in simulated time.

use std::time::Instant;

use super::*;
use crate::control::{Blending, Command, InputRole, MonitoredInput};
use crate::policy::ActionChunk;

const PERIOD: Duration = Duration::from_millis(20);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn settings() -> ControlSettings {
    ControlSettings {
        trajectory: TrajectorySettings {
            horizon: NonZeroUsize::new(50).unwrap(),
            look_ahead: Duration::MAX,
            history: Duration::ZERO,
            velocities: false,
        },
        step: PERIOD,
        limits: None,
        limit_return_velocity: 0.1,
        max_start_jump: [0.5].into(),
        max_following_error: [].into(),
        twists: [].into(),
        yields_to_hand: false,
        stop_duration: ms(200),
        supervision: SupervisionSettings {
            max_age: ms(500),
            max_run_time: None,
        },
    }
}

/// 50 actions from `from` on, 0.01 apart: half a unit per second.
fn chunk(from: f32, observed_at: Duration) -> TimedChunk {
    TimedChunk {
        actions: ActionChunk::new((0..50).map(|action| from + 0.01 * action as f32).collect(), 1),
        observed_at,
        action_period: PERIOD,
        execution_horizon: None,
        blending: Blending {
            blend_duration: ms(200),
            ..Blending::default()
        },
    }
}

/// A controller that ticks every 20 ms, and what it is told.
struct Bench {
    controller: Controller,
    settings: ControlSettings,
    safety_inputs: SafetyInputs,
    now: Duration,
    began: Instant,
    camera_is_silent: bool,
    joints_are_silent: bool,
    /// Positions of the first points, one per tick.
    positions: Vec<f32>,
}

impl Bench {
    fn new() -> Self {
        Self {
            controller: Controller::new(["right_gripper".to_owned()].into()),
            settings: settings(),
            safety_inputs: SafetyInputs {
                measured: Some(vec![0.0]),
                ..SafetyInputs::default()
            },
            now: ms(10_000),
            began: Instant::now(),
            camera_is_silent: false,
            joints_are_silent: false,
            positions: Vec::new(),
        }
    }

    /// Plays its first chunk for 10 ticks.
    fn playing() -> Self {
        let mut bench = Self::new();
        let chunk = chunk(0.0, bench.now);
        assert_eq!(bench.tick(Some(chunk)).hold, None);
        bench.ticks(9);
        bench
    }

    fn tick(&mut self, chunk: Option<TimedChunk>) -> Tick {
        self.now += PERIOD;
        let since_the_beginning = self.now - ms(10_000);
        let inputs = [
            (InputRole::Camera("top".to_owned()), self.camera_is_silent),
            (InputRole::JointStates, self.joints_are_silent),
        ];
        let before = std::mem::take(&mut self.safety_inputs.inputs);
        let watch = |(index, (input, is_silent)): (usize, (InputRole, bool))| {
            let last: Option<&MonitoredInput> = before.get(index);
            MonitoredInput {
                input,
                received: if is_silent {
                    last.and_then(|last| last.received)
                } else {
                    Some(self.began + since_the_beginning)
                },
                is_not_finite: last.is_some_and(|last| last.is_not_finite),
            }
        };
        self.safety_inputs.inputs = inputs.into_iter().enumerate().map(watch).collect();
        let tick = self
            .controller
            .tick(self.now, chunk, &self.safety_inputs, &self.settings);
        self.positions
            .extend(tick.trajectory.iter().map(|trajectory| trajectory.present[0]));
        tick
    }

    fn ticks(&mut self, count: usize) -> Tick {
        (1..count).for_each(|_| drop(self.tick(None)));
        self.tick(None)
    }

    /// The largest change of velocity from one tick to the next, in units per second.
    fn largest_change(&self) -> f32 {
        let velocities: Vec<f32> = self
            .positions
            .windows(2)
            .map(|pair| (pair[1] - pair[0]) / 0.02)
            .collect();
        velocities
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).abs())
            .fold(0.0, f32::max)
    }

    fn assert_holds_smoothly(&mut self, reason: HoldReason) -> Hold {
        let hold = self.tick(None).hold.unwrap();
        assert_eq!(hold.reason, reason, "{hold}");
        self.ticks(20);
        let rest = self.positions[self.positions.len() - 1];
        self.ticks(20);
        assert_eq!(self.positions[self.positions.len() - 1], rest);
        // Half a unit per second at once would be 0.5.
        assert!(
            self.largest_change() < 0.1,
            "{} per second at once",
            self.largest_change()
        );
        hold
    }

    fn assert_moves_with_the_next_chunk(&mut self) {
        let from = self.positions[self.positions.len() - 1];
        self.safety_inputs.measured = Some(vec![from]);
        self.tick(None);
        assert!(self.controller.next_observation_due() <= self.now);
        let chunk = chunk(from, self.now);
        assert_eq!(self.tick(Some(chunk)).hold, None);
        self.ticks(10);
        assert!(self.positions[self.positions.len() - 1] > from + 0.02);
    }
}

#[test]
fn a_silent_camera_holds_the_position_until_it_is_back() {
    let mut bench = Bench::playing();
    bench.camera_is_silent = true;
    assert_eq!(bench.ticks(25).hold, None);
    let hold = bench.assert_holds_smoothly(HoldReason::StaleCamera);
    assert!(
        hold.detail.contains("camera top") && hold.detail.contains("500 ms"),
        "{hold}"
    );
    assert_eq!(bench.controller.next_observation_due(), Duration::MAX);
    bench.camera_is_silent = false;
    bench.assert_moves_with_the_next_chunk();
}

#[test]
fn silent_joint_states_hold_the_position_and_are_graver_than_a_silent_camera() {
    let mut bench = Bench::playing();
    bench.joints_are_silent = true;
    bench.camera_is_silent = true;
    bench.ticks(25);
    bench.assert_holds_smoothly(HoldReason::StaleJointStates);
    bench.joints_are_silent = false;
    assert_eq!(bench.tick(None).hold.unwrap().reason, HoldReason::StaleCamera);
    bench.camera_is_silent = false;
    bench.assert_moves_with_the_next_chunk();
}

#[test]
fn a_chunk_from_before_the_end_of_a_hold_is_not_played() {
    let mut bench = Bench::playing();
    bench.safety_inputs.command = Command::Disabled;
    bench.assert_holds_smoothly(HoldReason::Disabled);
    let in_flight = chunk(3.0, bench.now);
    bench.safety_inputs.command = Command::Enabled;
    assert_eq!(
        bench.tick(Some(in_flight)).refusal,
        Some(ChunkRefusal::BeforeRelease)
    );
    bench.assert_moves_with_the_next_chunk();
}

#[test]
fn a_stop_is_held_until_the_node_is_enabled() {
    let mut bench = Bench::playing();
    bench.safety_inputs.command = Command::Stopped;
    bench.assert_holds_smoothly(HoldReason::Stopped);
    bench.safety_inputs.command = Command::Enabled;
    bench.assert_moves_with_the_next_chunk();
}

#[test]
fn a_node_that_starts_disabled_publishes_nothing_until_it_is_enabled() {
    let mut bench = Bench::new();
    bench.safety_inputs.command = Command::Disabled;
    let offered = chunk(0.0, bench.now);
    let tick = bench.tick(Some(offered));
    assert_eq!(
        (tick.trajectory, tick.hold.unwrap().reason),
        (None, HoldReason::Disabled)
    );
    bench.safety_inputs.command = Command::Enabled;
    assert_eq!(bench.tick(None).hold.unwrap().reason, HoldReason::NoChunkYet);
    let offered = chunk(0.0, bench.now);
    assert_eq!(bench.tick(Some(offered)).state, PlayerState::Playing);
}

#[test]
fn a_node_that_is_deactivated_comes_to_rest_and_leaves_the_robot_to_others() {
    let limits: Arc<[JointLimits]> = [JointLimits {
        velocity: 1.0,
        acceleration: 5.0,
        ..JointLimits::NONE
    }]
    .into();
    for limits in [None, Some(limits)] {
        let mut bench = Bench::new();
        bench.settings.limits = limits;
        let first = chunk(0.0, bench.now);
        bench.tick(Some(first));
        bench.ticks(9);
        bench.safety_inputs.is_inactive = true;
        let tick = bench.tick(None);
        assert_eq!(tick.hold.unwrap().reason, HoldReason::Inactive);
        assert!(tick.trajectory.is_some());
        let published = bench.positions.len();
        assert_eq!(bench.ticks(30).trajectory, None);
        assert!(bench.positions.len() > published + 5);
        assert!(bench.largest_change() < 0.11, "{}", bench.largest_change());
        assert_eq!(bench.controller.next_observation_due(), Duration::MAX);
        bench.safety_inputs.is_inactive = false;
        bench.assert_moves_with_the_next_chunk();
    }
}

#[test]
fn a_motion_that_was_published_and_has_not_begun_is_ended_by_a_stop_when_the_node_becomes_inactive() {
    for limits in [None, positions_from(-5.0, 5.0)] {
        let mut bench = Bench::new();
        bench.settings.limits = limits;
        let mut first = chunk(0.0, bench.now);
        first.blending.controller_latency = Duration::from_millis(60);
        let published = bench.tick(Some(first)).trajectory.unwrap();
        assert!(published.points.last().unwrap().positions[0] > 0.05);
        bench.safety_inputs.is_inactive = true;
        let stop = bench.tick(None).trajectory.unwrap();
        let end = stop.points.last().unwrap();
        assert_eq!((stop.present[0], end.positions[0]), (0.0, 0.0));
        assert_eq!(bench.tick(None).trajectory, None);
    }
}

#[test]
fn a_chunk_with_a_value_that_is_no_number_stops_the_robot_until_a_good_one_comes() {
    for value in [f32::NAN, f32::INFINITY] {
        let mut bench = Bench::playing();
        let mut values = vec![0.0; 50];
        values[49] = value;
        let bad = TimedChunk {
            actions: ActionChunk::new(values, 1),
            ..chunk(0.0, bench.now)
        };
        assert_eq!(bench.tick(Some(bad)).hold.unwrap().reason, HoldReason::NotFinite);
        bench.assert_holds_smoothly(HoldReason::NotFinite);
        bench.assert_moves_with_the_next_chunk();
    }
}

#[test]
fn a_prediction_that_is_no_number_stops_the_robot_until_a_good_chunk_comes() {
    let mut bench = Bench::playing();
    bench.safety_inputs.not_finite = Some("action 3 is NaN".to_owned());
    let hold = bench.assert_holds_smoothly(HoldReason::NotFinite);
    assert_eq!(hold.detail, "action 3 is NaN");
    bench.safety_inputs.not_finite = None;
    bench.assert_moves_with_the_next_chunk();
}

#[test]
fn a_measured_position_that_is_no_number_stops_the_robot() {
    let mut bench = Bench::playing();
    bench.safety_inputs.inputs[1].is_not_finite = true;
    let hold = bench.assert_holds_smoothly(HoldReason::NotFinite);
    assert!(hold.detail.contains("joint states"), "{hold}");
    bench.safety_inputs.inputs[1].is_not_finite = false;
    bench.assert_moves_with_the_next_chunk();
}

#[test]
fn a_run_never_begins_with_a_jump() {
    let mut bench = Bench::new();
    let far = chunk(0.6, bench.now);
    let tick = bench.tick(Some(far));
    assert_eq!(
        (tick.trajectory, tick.hold.clone().unwrap().reason),
        (None, HoldReason::StartJump)
    );
    assert!(
        tick.hold
            .unwrap()
            .detail
            .contains("joint right_gripper is at 0 and would be sent to 0.6")
    );
    let near = chunk(0.4, bench.now);
    assert_eq!(bench.tick(Some(near)).hold, None);
}

#[test]
fn a_robot_that_was_moved_while_it_was_held_does_not_jump_back() {
    let mut bench = Bench::playing();
    bench.safety_inputs.command = Command::Disabled;
    bench.assert_holds_smoothly(HoldReason::Disabled);
    bench.safety_inputs.measured = Some(vec![2.0]);
    bench.safety_inputs.command = Command::Enabled;
    bench.tick(None);
    let fresh = chunk(2.0, bench.now);
    assert_eq!(
        bench.tick(Some(fresh)).hold.unwrap().reason,
        HoldReason::StartJump
    );
}

#[test]
fn a_prompt_moves_the_robot_no_longer_than_it_may() {
    let mut bench = Bench::playing();
    bench.settings.supervision.max_run_time = Some(ms(400));
    assert_eq!(bench.ticks(10).hold, None);
    bench.assert_holds_smoothly(HoldReason::RunTimeOver);
    bench.safety_inputs.prompt_generation += 1;
    bench.assert_moves_with_the_next_chunk();
    bench.ticks(5);
    assert_eq!(bench.ticks(10).hold.unwrap().reason, HoldReason::RunTimeOver);
}

#[test]
fn a_run_that_is_over_holds_the_robot_until_something_else_may_move_it() {
    let mut bench = Bench::playing();
    bench.safety_inputs.goal_over = Some("cancelled".to_owned());
    bench.assert_holds_smoothly(HoldReason::GoalOver);
    bench.safety_inputs.goal_over = None;
    bench.assert_moves_with_the_next_chunk();
}

#[test]
fn a_prediction_that_is_late_or_lost_plays_the_chunk_to_its_end_and_holds_it() {
    let mut bench = Bench::playing();
    assert_eq!(bench.ticks(39).state, PlayerState::Playing);
    assert_eq!(bench.ticks(2).hold.unwrap().reason, HoldReason::ChunkSpent);
    assert!((bench.positions[bench.positions.len() - 1] - 0.49).abs() < 1e-6);
}

#[test]
fn a_hold_stops_a_joint_that_is_still_on_its_way_to_where_a_limit_let_it_not_be() {
    let mut bench = Bench::new();
    bench.settings.limits = Some(
        [JointLimits {
            velocity: 0.1,
            acceleration: 1.0,
            ..JointLimits::NONE
        }]
        .into(),
    );
    let first = chunk(0.0, bench.now);
    bench.tick(Some(first));
    assert_eq!(bench.ticks(60).hold.unwrap().reason, HoldReason::ChunkSpent);
    let moving = bench.positions[bench.positions.len() - 1];
    assert!(moving < 0.2);
    bench.safety_inputs.command = Command::Stopped;
    bench.ticks(20);
    let rest = bench.positions[bench.positions.len() - 1];
    assert!(rest < moving + 0.03, "{rest} from {moving}");
    bench.ticks(20);
    assert_eq!(bench.positions[bench.positions.len() - 1], rest);
}

#[test]
fn the_first_point_of_a_limited_run_is_where_the_robot_is() {
    let mut bench = Bench::new();
    bench.settings.limits = Some(
        [JointLimits {
            velocity: 1.0,
            acceleration: 5.0,
            ..JointLimits::NONE
        }]
        .into(),
    );
    bench.safety_inputs.measured = Some(vec![0.1]);
    let first = chunk(0.3, bench.now);
    bench.tick(Some(first));
    assert_eq!(bench.positions, [0.1]);
    bench.ticks(60);
    assert!((bench.positions[60] - 0.79).abs() < 1e-4, "{:?}", bench.positions);
    assert!(bench.largest_change() <= 0.1 + 1e-3);
}

/// Limits of the one joint, which is fast.
fn positions_from(lower: f64, upper: f64) -> Option<Arc<[JointLimits]>> {
    Some(
        [JointLimits {
            lower,
            upper,
            ..JointLimits::NONE
        }]
        .into(),
    )
}

#[test]
fn a_joint_that_its_limits_leave_no_room_is_named_and_never_moved() {
    for (lower, upper) in [(0.0, 0.0), (1.0, -1.0), (f64::NAN, 1.0)] {
        let mut bench = Bench::new();
        bench.safety_inputs.measured = Some(vec![1.0]);
        bench.settings.limits = positions_from(lower, upper);
        let first = chunk(1.0, bench.now);
        let tick = bench.tick(Some(first));
        let hold = tick.hold.unwrap();
        assert_eq!((tick.trajectory, hold.reason), (None, HoldReason::InvalidLimits));
        assert!(hold.detail.contains("joint right_gripper"), "{hold}");
        bench.settings.limits = positions_from(-2.0, 2.0);
        bench.positions = vec![1.0];
        bench.assert_moves_with_the_next_chunk();
    }
}

#[test]
fn limits_that_turn_impossible_in_motion_bring_the_robot_to_rest_where_it_is() {
    for (limits, problem) in [
        (positions_from(0.0, 0.0), None),
        (None, Some("the velocity limit of joint elbow is \"nan\"")),
    ] {
        let mut bench = Bench::playing();
        bench.settings.limits = limits;
        bench.safety_inputs.limits_problem = problem.map(str::to_owned);
        bench.assert_holds_smoothly(HoldReason::InvalidLimits);
        let rest = bench.positions[bench.positions.len() - 1];
        assert!((0.1..0.2).contains(&rest), "{rest}");
        bench.settings.limits = positions_from(-2.0, 2.0);
        bench.safety_inputs.limits_problem = None;
        bench.assert_moves_with_the_next_chunk();
    }
}

#[test]
fn a_robot_outside_of_its_limits_is_held_where_it_must_not_return() {
    let mut bench = Bench::new();
    bench.settings.limit_return_velocity = 0.0;
    bench.settings.limits = positions_from(-1.0, 1.0);
    bench.safety_inputs.measured = Some(vec![1.2]);
    let first = chunk(1.0, bench.now);
    let tick = bench.tick(Some(first));
    let hold = tick.hold.unwrap();
    assert_eq!((tick.trajectory, hold.reason), (None, HoldReason::OutsideLimits));
    assert!(hold.detail.contains("joint right_gripper is at 1.2"), "{hold}");
    bench.safety_inputs.measured = Some(vec![1.0005]);
    assert_eq!(bench.tick(None).hold.unwrap().reason, HoldReason::NoChunkYet);

    let mut bench = Bench::playing();
    bench.settings.limit_return_velocity = 0.0;
    bench.settings.limits = positions_from(-1.0, 0.05);
    let hold = bench.tick(None).hold.unwrap();
    assert_eq!(hold.reason, HoldReason::OutsideLimits);
    assert!(hold.detail.contains("~/reset"), "{hold}");
    let rest = bench.positions[bench.positions.len() - 1];
    assert_eq!(bench.ticks(40).hold.unwrap().reason, HoldReason::OutsideLimits);
    assert_eq!(bench.positions[bench.positions.len() - 1], rest);
}

#[test]
fn a_robot_outside_of_its_limits_returns_slowly_with_a_chunk_and_not_while_it_is_held() {
    let mut bench = Bench::new();
    bench.settings.limits = positions_from(-1.0, 1.0);
    bench.safety_inputs.measured = Some(vec![1.3]);
    let back = chunk(0.9, bench.now);
    assert_eq!(bench.tick(Some(back)).hold, None);
    bench.ticks(10);
    let steps = bench.positions.windows(2).map(|pair| pair[0] - pair[1]);
    assert!(
        steps.clone().all(|step| (0.0..0.0021).contains(&step)),
        "{:?}",
        bench.positions
    );
    bench.safety_inputs.command = Command::Stopped;
    bench.ticks(20);
    let rest = bench.positions[bench.positions.len() - 1];
    assert!((1.26..1.3).contains(&rest), "{rest}");
    bench.ticks(20);
    assert_eq!(bench.positions[bench.positions.len() - 1], rest);
}

#[test]
fn a_limit_that_comes_in_motion_is_no_jump() {
    let mut bench = Bench::playing();
    let before = bench.positions[bench.positions.len() - 1];
    bench.settings.limits = positions_from(-1.0, 0.05);
    bench.ticks(10);
    let after = bench.positions[bench.positions.len() - 1];
    assert!((after - before).abs() < 0.011, "{after} from {before}");
}

#[test]
fn the_first_step_of_a_run_is_no_longer_than_a_start_jump_either() {
    let mut bench = Bench::new();
    let fast = TimedChunk {
        actions: ActionChunk::new((0..50).map(|action| 0.6 * action as f32).collect(), 1),
        ..chunk(0.0, bench.now)
    };
    let tick = bench.tick(Some(fast.clone()));
    assert_eq!(tick.hold.unwrap().reason, HoldReason::StartJump);
    bench.settings.limits = Some(
        [JointLimits {
            velocity: 3.0,
            ..JointLimits::NONE
        }]
        .into(),
    );
    let limited = TimedChunk {
        observed_at: bench.now,
        ..fast
    };
    assert_eq!(bench.tick(Some(limited)).hold, None);
}

#[test]
fn a_run_after_a_hold_does_not_begin_with_a_chunk_far_from_where_the_robot_is() {
    let mut bench = Bench::playing();
    bench.safety_inputs.command = Command::Disabled;
    bench.assert_holds_smoothly(HoldReason::Disabled);
    let rest = bench.positions[bench.positions.len() - 1];
    bench.safety_inputs.measured = Some(vec![rest]);
    bench.safety_inputs.command = Command::Enabled;
    bench.tick(None);
    let far = chunk(rest + 5.0, bench.now);
    assert_eq!(bench.tick(Some(far)).hold.unwrap().reason, HoldReason::StartJump);
}

#[test]
fn somebody_else_who_publishes_to_the_same_controller_holds_the_robot_while_they_do() {
    let mut bench = Bench::playing();
    bench.safety_inputs.other_publishers = Some("/teleop publishes on /joint_trajectory too".to_owned());
    let hold = bench.assert_holds_smoothly(HoldReason::OtherPublisher);
    assert!(hold.detail.contains("/teleop"), "{hold}");
    assert_eq!(
        bench.tick(None).trajectory,
        None,
        "the two of them would pull it to and fro"
    );
    bench.safety_inputs.other_publishers = None;
    bench.assert_moves_with_the_next_chunk();
}

#[test]
fn a_robot_that_others_moved_while_the_node_was_inactive_begins_where_they_left_it() {
    for limits in [None, positions_from(-5.0, 5.0)] {
        let mut bench = Bench::playing();
        bench.settings.limits = limits;
        bench.safety_inputs.is_inactive = true;
        bench.ticks(30);
        bench.safety_inputs.is_inactive = false;
        bench.safety_inputs.measured = Some(vec![3.0]);
        let tick = bench.tick(None);
        assert_eq!((tick.trajectory, tick.state), (None, PlayerState::Waiting));
        let there = chunk(3.0, bench.now);
        let tick = bench.tick(Some(there));
        assert_eq!((tick.hold, tick.trajectory.unwrap().present[0]), (None, 3.0));
    }
}

#[test]
fn a_joint_that_does_not_follow_holds_the_robot_until_it_is_where_it_was_told_to_be() {
    let mut bench = Bench::playing();
    bench.settings.max_following_error = [0.3].into();
    // It stays at 0, while it is told to go at half a unit per second.
    let told = |bench: &Bench| bench.positions[bench.positions.len() - 1];
    while bench.tick(None).hold.is_none() {
        assert!(told(&bench) < 0.32);
    }
    assert!(told(&bench) > 0.29);
    let hold = bench.assert_holds_smoothly(HoldReason::FollowingError);
    assert!(hold.detail.contains("joint right_gripper is at 0 and"), "{hold}");
    bench.assert_moves_with_the_next_chunk();
}

#[test]
fn a_robot_that_is_moved_by_other_hands_at_standstill_has_no_following_error() {
    let mut bench = Bench::playing();
    bench.settings.max_following_error = [0.3].into();
    bench.safety_inputs.command = Command::Stopped;
    bench.assert_holds_smoothly(HoldReason::Stopped);
    bench.safety_inputs.measured = Some(vec![2.0]);
    bench.safety_inputs.command = Command::Enabled;
    assert_eq!(bench.tick(None).hold.unwrap().reason, HoldReason::ChunkSpent);
}

#[test]
fn a_reset_in_motion_brings_the_robot_to_rest_before_everything_is_forgotten() {
    let mut bench = Bench::playing();
    bench.controller.reset();
    let tick = bench.tick(None);
    assert_eq!(tick.hold.unwrap().reason, HoldReason::Reset);
    assert!(tick.trajectory.is_some());
    let stopping = bench.positions.len();
    let tick = bench.ticks(20);
    assert_eq!((tick.trajectory, tick.state), (None, PlayerState::Waiting));
    assert!(
        (5..15).contains(&(bench.positions.len() - stopping)),
        "{:?}",
        bench.positions
    );
    assert!(bench.largest_change() < 0.1, "{}", bench.largest_change());
    // It begins where it was left, not where it was sent.
    bench.safety_inputs.measured = Some(vec![3.0]);
    let there = chunk(3.0, bench.now);
    assert_eq!(bench.tick(Some(there)).hold, None);
}

#[test]
fn a_reset_at_rest_forgets_at_once() {
    let mut bench = Bench::playing();
    bench.safety_inputs.command = Command::Stopped;
    bench.assert_holds_smoothly(HoldReason::Stopped);
    bench.safety_inputs.command = Command::Enabled;
    bench.controller.reset();
    bench.safety_inputs.measured = Some(vec![3.0]);
    let there = chunk(3.0, bench.now);
    assert_eq!(bench.tick(Some(there)).hold, None);
}

#[test]
fn a_chunk_that_was_observed_before_the_rest_after_a_reset_is_not_played() {
    let mut bench = Bench::playing();
    bench.controller.reset();
    bench.ticks(3);
    let in_motion = chunk(0.3, bench.now);
    let tick = bench.ticks(20);
    assert_eq!(tick.state, PlayerState::Waiting);
    assert_eq!(
        bench.tick(Some(in_motion)).refusal,
        Some(ChunkRefusal::BeforeRelease)
    );
}
