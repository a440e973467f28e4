//! Somebody else moves the robot for a while: the node yields, and goes on from where the robot was left.

use std::time::Duration;

use pi0_node::control::{
    Blending, BlendingStrategy, ControlSettings, Controller, HoldReason, JointLimits, PlayerState,
    SafetyInputs, Takeover, Tick, TimedChunk,
};
use pi0_node::policy::ActionChunk;

use crate::simulated::{HORIZON, TICK, blending};

/// A robot that is where the node, or a person, last put it.
struct Bench {
    controller: Controller,
    settings: ControlSettings,
    safety_inputs: SafetyInputs,
    now: Duration,
    blending: Blending,
    position: f32,
    /// What the node published, a position a tick.
    published: Vec<f32>,
}

impl Bench {
    /// Plays a chunk for ten ticks.
    fn playing(blending: Blending) -> Self {
        let mut bench = Self {
            controller: Controller::new(["joint".to_owned()].into()),
            settings: ControlSettings {
                max_start_jump: [0.3].into(),
                max_following_error: [0.2].into(),
                ..ControlSettings::unlimited(TICK)
            },
            safety_inputs: SafetyInputs::default(),
            now: Duration::from_secs(10),
            blending,
            position: 0.0,
            published: Vec::new(),
        };
        bench.tick(Some(0.0));
        bench.ticks(9);
        bench
    }

    /// A tick, with a chunk that is observed now and goes on from a position.
    fn tick(&mut self, chunk: Option<f32>) -> Tick {
        self.now += TICK;
        self.safety_inputs.measured = Some(vec![self.position]);
        let chunk = chunk.map(|from| self.chunk(from, self.now));
        let tick = self
            .controller
            .tick(self.now, chunk, &self.safety_inputs, &self.settings);
        if let Some(trajectory) = &tick.trajectory {
            self.position = trajectory.present[0];
            self.published.push(self.position);
        }
        tick
    }

    fn ticks(&mut self, count: usize) -> Tick {
        (1..count).for_each(|_| drop(self.tick(None)));
        self.tick(None)
    }

    /// Half a unit per second.
    fn chunk(&self, from: f32, observed_at: Duration) -> TimedChunk {
        let values = (0..HORIZON).map(|action| from + 0.01 * action as f32);
        TimedChunk {
            actions: ActionChunk::new(values.collect(), 1),
            observed_at,
            action_period: TICK,
            execution_horizon: None,
            blending: self.blending,
        }
    }

    fn take_over(&mut self) {
        self.safety_inputs.takeover.is_requested = true;
    }

    fn give_back(&mut self) {
        let releases = self.safety_inputs.takeover.releases + 1;
        self.safety_inputs.takeover = Takeover {
            is_requested: false,
            releases,
        };
    }

    /// Somebody moves the robot by 0.8, at ten ticks of silence.
    fn moved_by_others(&mut self) {
        for _ in 0..10 {
            self.position -= 0.08;
            let before = self.position;
            let tick = self.tick(None);
            assert_eq!(tick.trajectory, None);
            assert_eq!(self.position, before);
        }
    }

    /// The largest step of what was published from an index on, which begins at `from`.
    fn largest_step(&self, since: usize, from: f32) -> f32 {
        let before = std::iter::once(&from).chain(&self.published[since..]);
        let steps = before.zip(&self.published[since..]);
        steps.map(|(from, to)| (to - from).abs()).fold(0.0, f32::max)
    }
}

fn reason(tick: &Tick) -> Option<HoldReason> {
    tick.hold.as_ref().map(|hold| hold.reason)
}

#[test]
fn a_robot_that_is_taken_over_comes_to_rest_is_left_to_others_and_goes_on_without_a_jump() {
    for strategy in BlendingStrategy::ALL {
        let mut bench = Bench::playing(blending(strategy, 200));
        let moving = bench.published.len();
        bench.take_over();
        assert_eq!(reason(&bench.tick(None)), Some(HoldReason::Takeover));
        assert!(
            bench.ticks(14).trajectory.is_none(),
            "at rest, nothing is published"
        );
        let speed_before = 0.0101;
        assert!(bench.largest_step(moving, bench.published[moving - 1]) < speed_before);
        bench.moved_by_others();
        assert_eq!(
            bench.controller.next_observation_due(),
            Duration::MAX,
            "nothing is inferred"
        );

        bench.give_back();
        let (since, left_at) = (bench.published.len(), bench.position);
        let tick = bench.tick(None);
        assert_eq!(
            (tick.state, reason(&tick)),
            (PlayerState::Holding, Some(HoldReason::ChunkSpent))
        );
        assert_eq!(bench.position, left_at, "held where it was left");
        assert!(bench.controller.next_observation_due() <= bench.now);
        // The policy wants to begin elsewhere.
        let tick = bench.tick(Some(left_at + 0.2));
        assert_eq!(tick.refusal, None);
        bench.ticks(30);
        let largest = bench.largest_step(since, left_at);
        // The steepest part of a fade of 0.2, from which the chunk moves on by 0.1 meanwhile, and the chunk's own step.
        assert!(
            largest < (0.2 + 0.1) * 1.5 * 0.1 + 0.0101,
            "{strategy:?}: a step of {largest}"
        );
        assert!(bench.position > left_at + 0.2, "the chunk is reached");
    }
}

#[test]
fn a_chunk_that_was_observed_during_a_takeover_is_not_played() {
    let mut bench = Bench::playing(blending(BlendingStrategy::Replace, 60));
    bench.take_over();
    bench.ticks(20);
    bench.moved_by_others();
    let before = bench.chunk(bench.position, bench.now);
    bench.give_back();
    bench.tick(None);
    bench.now += TICK;
    let tick = bench
        .controller
        .tick(bench.now, Some(before), &bench.safety_inputs, &bench.settings);
    assert!(tick.refusal.is_some());
}

#[test]
fn a_chunk_that_begins_far_from_where_the_robot_was_left_moves_nothing() {
    let mut bench = Bench::playing(blending(BlendingStrategy::Replace, 60));
    bench.take_over();
    bench.ticks(20);
    bench.moved_by_others();
    bench.give_back();
    bench.tick(None);
    let left_at = bench.position;
    let tick = bench.tick(Some(left_at + 0.31));
    assert_eq!(reason(&tick), Some(HoldReason::StartJump));
    assert_eq!(bench.position, left_at);
}

#[test]
fn limits_hold_on_the_way_from_where_the_robot_was_left() {
    let mut bench = Bench::playing(blending(BlendingStrategy::Replace, 0));
    bench.take_over();
    bench.ticks(20);
    bench.moved_by_others();
    bench.give_back();
    bench.settings.limits = Some(
        [JointLimits {
            velocity: 1.0,
            ..JointLimits::NONE
        }]
        .into(),
    );
    let (since, left_at) = (bench.published.len(), bench.position);
    bench.tick(None);
    bench.tick(Some(left_at + 0.25));
    bench.ticks(20);
    let largest = bench.largest_step(since, left_at);
    assert!(largest < 1.001 * TICK.as_secs_f32(), "{largest}");
}

#[test]
fn a_joint_that_is_moved_by_hand_gives_the_robot_away_where_the_setting_allows_it() {
    let mut bench = Bench::playing(blending(BlendingStrategy::Replace, 200));
    bench.settings.yields_to_hand = true;
    bench.position -= 0.5;
    let tick = bench.tick(None);
    assert_eq!(reason(&tick), Some(HoldReason::Takeover));
    let detail = tick.hold.unwrap().detail;
    assert!(
        detail.contains("joint joint is at") && detail.contains("~/takeover"),
        "{detail}"
    );
    // Until the robot rests, its last command goes on; then it is the person's, however near they put it.
    bench.ticks(14);
    bench.moved_by_others();
    assert_eq!(reason(&bench.tick(None)), Some(HoldReason::Takeover));
    bench.give_back();
    let left_at = bench.position;
    bench.tick(None);
    assert_eq!(bench.position, left_at);
    assert_eq!(bench.tick(Some(left_at)).refusal, None);
    assert_eq!(bench.ticks(5).state, PlayerState::Playing);
}

#[test]
fn without_that_setting_a_joint_that_does_not_follow_holds_the_robot() {
    let mut bench = Bench::playing(blending(BlendingStrategy::Replace, 200));
    bench.position -= 0.5;
    assert_eq!(reason(&bench.tick(None)), Some(HoldReason::FollowingError));
}

#[test]
fn a_stop_during_a_takeover_stays_after_it() {
    let mut bench = Bench::playing(blending(BlendingStrategy::Replace, 60));
    bench.take_over();
    bench.ticks(20);
    bench.safety_inputs.command = pi0_node::control::Command::Stopped;
    assert_eq!(reason(&bench.tick(None)), Some(HoldReason::Stopped));
    bench.give_back();
    let tick = bench.tick(Some(bench.position));
    assert_eq!(reason(&tick), Some(HoldReason::Stopped));
    assert_ne!(tick.state, PlayerState::Playing);
}
