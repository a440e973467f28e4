//! One tick of control: chunks in, what the robot is to do out.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::stop::stop;
use super::supervisor::Supervisor;
use super::{
    ChunkPlayer, ChunkRefusal, Hold, HoldReason, JointLimits, Limiter, Plan, PlayerState, Situation,
    SupervisionSettings, TimedChunk, TrajectoryPoint,
};

/// How the robot is moved.
#[derive(Clone, Debug, PartialEq)]
pub struct ControlSettings {
    /// Points of a trajectory at most.
    pub publish_horizon: NonZeroUsize,
    /// Time between the knots of a limited trajectory.
    pub step: Duration,
    /// One per joint; none when no joint has any.
    pub limits: Option<Arc<[JointLimits]>>,
    /// From standstill no joint is sent further than this from where it is, in its unit; one per joint, or none for
    /// anywhere.
    pub max_start_jump: Arc<[f32]>,
    /// Time to come to rest, where the acceleration limits do not ask for longer.
    pub stop_duration: Duration,
    pub supervision: SupervisionSettings,
}

/// What one tick gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    pub points: Vec<TrajectoryPoint>,
    pub state: PlayerState,
    /// Why the robot is held, while it is.
    pub hold: Option<Hold>,
    /// Why the chunk of this tick is not played.
    pub refusal: Option<ChunkRefusal>,
}

/// Plays chunks within the limits while the robot may move, and brings it to rest when it must not.
#[derive(Debug)]
pub struct Controller {
    player: ChunkPlayer,
    limiter: Option<Limiter>,
    /// Whether anything was published.
    has_moved: bool,
    supervisor: Supervisor,
    hold: Option<Hold>,
    newest_time: Duration,
}

impl Controller {
    /// A controller that waits for its first chunk. `joint_names`: the joints of every action.
    pub fn new(joint_names: Arc<[String]>) -> Self {
        Self {
            player: ChunkPlayer::new(joint_names),
            limiter: None,
            has_moved: false,
            supervisor: Supervisor::default(),
            hold: None,
            newest_time: Duration::ZERO,
        }
    }

    /// What the robot is to do from `now` on. `chunk` is one that came since the tick before.
    pub fn tick(
        &mut self,
        now: Duration,
        chunk: Option<TimedChunk>,
        situation: &Situation,
        settings: &ControlSettings,
    ) -> Tick {
        if now < self.newest_time {
            *self = Self::new(Arc::clone(self.player.joint_names()));
        }
        self.newest_time = now;
        let held_before = self.is_blocked();
        let hold = self
            .supervisor
            .hold(now, situation, settings.supervision)
            .or_else(|| {
                let detail = situation.not_finite.clone()?;
                Some(Hold::new(HoldReason::NotFinite, detail))
            });
        let mut refusal = None;
        if let Some(hold) = hold {
            self.begin_hold(hold, now, settings);
        } else {
            if held_before {
                self.player.refuse_observations_before(now);
                self.hold = None;
            }
            if let Some(chunk) = chunk {
                refusal = self.offer(chunk, now, situation, settings).err();
                match &refusal {
                    None => self.hold = None,
                    Some(refused) => self.hold_for(refused, now, settings),
                }
            }
        }
        let (state, mut points) = self.points(now, situation, settings);
        let at_rest = points.iter().all(|point| point.positions == points[0].positions);
        if situation.is_inactive && at_rest {
            // Others may move the robot through the same controllers now.
            points.clear();
        }
        self.has_moved |= !points.is_empty();
        if state == PlayerState::Playing {
            self.supervisor.moves(now, situation.prompt_number);
        }
        let why = match state {
            PlayerState::Playing => None,
            PlayerState::Waiting => Some(Hold::new(HoldReason::NoChunkYet, "waiting for the first chunk")),
            PlayerState::Holding => Some(Hold::new(
                HoldReason::ChunkSpent,
                "every action of the last chunk is played and no other one came",
            )),
        };
        Tick {
            points,
            state,
            hold: self.hold.clone().or(why),
            refusal,
        }
    }

    /// Since when the robot is not told to move; none while a chunk is played.
    pub fn standstill_since(&self) -> Option<Duration> {
        self.player.standstill_since()
    }

    /// From when on an observation is to become the next chunk; never, while nothing but the end of its cause ends the
    /// hold.
    pub fn next_observation_due(&self) -> Duration {
        match self.is_blocked() {
            true => Duration::MAX,
            false => self.player.next_observation_due(),
        }
    }

    /// What the chunks say that the robot is to do from here on; none while waiting.
    pub fn plan(&self) -> Option<&Plan> {
        self.player.plan()
    }

    /// The most actions that were played between an observation and the arrival of its chunk, of the newest chunks.
    pub fn played_before_arrival(&self) -> usize {
        self.player.played_before_arrival()
    }

    fn is_blocked(&self) -> bool {
        self.hold
            .as_ref()
            .is_some_and(|hold| !hold.reason.ends_with_a_chunk())
    }

    fn offer(
        &mut self,
        chunk: TimedChunk,
        now: Duration,
        situation: &Situation,
        settings: &ControlSettings,
    ) -> Result<(), ChunkRefusal> {
        if let Some(measured) = &situation.measured
            && self.player.state() != PlayerState::Playing
        {
            let first = self.player.first_positions(&chunk, now)?;
            let joints = first.iter().zip(measured).zip(&*settings.max_start_jump);
            for (joint, ((&to, &from), &longest)) in joints.enumerate() {
                if (to - from).abs() > longest {
                    return Err(ChunkRefusal::StartJump {
                        joint: self.player.joint_names()[joint].clone(),
                        from,
                        to,
                        longest,
                    });
                }
            }
        }
        self.player.offer(chunk, now)
    }

    fn hold_for(&mut self, refused: &ChunkRefusal, now: Duration, settings: &ControlSettings) {
        let reason = match refused {
            ChunkRefusal::NotFinite { .. } => HoldReason::NotFinite,
            ChunkRefusal::StartJump { .. } => HoldReason::StartJump,
            _ => return,
        };
        self.begin_hold(Hold::new(reason, refused.to_string()), now, settings);
    }

    /// Brings the robot to rest, unless it is held already.
    fn begin_hold(&mut self, hold: Hold, now: Duration, settings: &ControlSettings) {
        let is_held = self.hold.replace(hold).is_some();
        if let Some(published) = self.published()
            && !is_held
        {
            let limits = settings.limits.as_deref().unwrap_or_default();
            let stop = stop(&published, now, limits, settings.stop_duration, settings.step);
            self.player.hold(stop, now);
        }
    }

    /// What the robot was last told.
    fn published(&self) -> Option<Plan> {
        let limited = self.limiter.as_ref().map(Limiter::published);
        limited.or_else(|| self.player.plan().cloned())
    }

    fn points(
        &mut self,
        now: Duration,
        situation: &Situation,
        settings: &ControlSettings,
    ) -> (PlayerState, Vec<TrajectoryPoint>) {
        let (state, points) = self.player.tick(now, settings.publish_horizon);
        let (Some(limits), Some(wanted)) = (&settings.limits, self.player.plan()) else {
            self.limiter = None;
            return (state, points);
        };
        if self
            .limiter
            .as_ref()
            .is_none_or(|limiter| limiter.step() != settings.step)
        {
            let told = match (&self.limiter, self.has_moved) {
                (Some(limiter), _) => limiter.published(),
                (None, true) => wanted.clone(),
                (None, false) => {
                    let measured = situation.measured.clone();
                    Plan::hold(measured.unwrap_or_else(|| wanted.positions(now)), now)
                }
            };
            self.limiter = Some(Limiter::going_on(&told, now, settings.step));
        }
        let Some(limiter) = &mut self.limiter else {
            return (state, points);
        };
        let plan = limiter.follow(now, wanted, limits, settings.publish_horizon);
        (state, plan.points(now, settings.publish_horizon))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::control::{Command, InputWatch, Seam, WatchedInput};
    use crate::policy::ActionChunk;

    const PERIOD: Duration = Duration::from_millis(20);

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn settings() -> ControlSettings {
        ControlSettings {
            publish_horizon: NonZeroUsize::new(50).unwrap(),
            step: PERIOD,
            limits: None,
            max_start_jump: [0.5].into(),
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
            actions_to_execute: None,
            seam: Seam {
                align_fade: ms(200),
                ..Seam::default()
            },
        }
    }

    /// A controller that ticks every 20 ms, and what it is told.
    struct Bench {
        controller: Controller,
        settings: ControlSettings,
        situation: Situation,
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
                situation: Situation {
                    measured: Some(vec![0.0]),
                    ..Situation::default()
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
                (WatchedInput::Camera("top".to_owned()), self.camera_is_silent),
                (WatchedInput::JointStates, self.joints_are_silent),
            ];
            let before = std::mem::take(&mut self.situation.inputs);
            let watch = |(index, (input, is_silent)): (usize, (WatchedInput, bool))| {
                let last: Option<&InputWatch> = before.get(index);
                InputWatch {
                    input,
                    received: match is_silent {
                        true => last.and_then(|last| last.received),
                        false => Some(self.began + since_the_beginning),
                    },
                    is_not_finite: last.is_some_and(|last| last.is_not_finite),
                }
            };
            self.situation.inputs = inputs.into_iter().enumerate().map(watch).collect();
            let tick = self
                .controller
                .tick(self.now, chunk, &self.situation, &self.settings);
            self.positions
                .extend(tick.points.first().map(|point| point.positions[0]));
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
            self.situation.measured = Some(vec![from]);
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
        bench.situation.command = Command::Disabled;
        bench.assert_holds_smoothly(HoldReason::Disabled);
        let in_flight = chunk(3.0, bench.now);
        bench.situation.command = Command::Enabled;
        assert_eq!(
            bench.tick(Some(in_flight)).refusal,
            Some(ChunkRefusal::BeforeRelease)
        );
        bench.assert_moves_with_the_next_chunk();
    }

    #[test]
    fn a_stop_is_held_until_the_node_is_enabled() {
        let mut bench = Bench::playing();
        bench.situation.command = Command::Stopped;
        bench.assert_holds_smoothly(HoldReason::Stopped);
        bench.situation.command = Command::Enabled;
        bench.assert_moves_with_the_next_chunk();
    }

    #[test]
    fn a_node_that_starts_disabled_publishes_nothing_until_it_is_enabled() {
        let mut bench = Bench::new();
        bench.situation.command = Command::Disabled;
        let offered = chunk(0.0, bench.now);
        let tick = bench.tick(Some(offered));
        assert_eq!(
            (tick.points.len(), tick.hold.unwrap().reason),
            (0, HoldReason::Disabled)
        );
        bench.situation.command = Command::Enabled;
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
            bench.situation.is_inactive = true;
            let tick = bench.tick(None);
            assert_eq!(tick.hold.unwrap().reason, HoldReason::Inactive);
            assert!(tick.points.len() > 1);
            let published = bench.positions.len();
            assert_eq!(bench.ticks(30).points, []);
            assert!(bench.positions.len() > published + 5);
            assert!(bench.largest_change() < 0.11, "{}", bench.largest_change());
            assert_eq!(bench.controller.next_observation_due(), Duration::MAX);
            bench.situation.is_inactive = false;
            bench.assert_moves_with_the_next_chunk();
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
        bench.situation.not_finite = Some("action 3 is NaN".to_owned());
        let hold = bench.assert_holds_smoothly(HoldReason::NotFinite);
        assert_eq!(hold.detail, "action 3 is NaN");
        bench.situation.not_finite = None;
        bench.assert_moves_with_the_next_chunk();
    }

    #[test]
    fn a_measured_position_that_is_no_number_stops_the_robot() {
        let mut bench = Bench::playing();
        bench.situation.inputs[1].is_not_finite = true;
        let hold = bench.assert_holds_smoothly(HoldReason::NotFinite);
        assert!(hold.detail.contains("joint states"), "{hold}");
        bench.situation.inputs[1].is_not_finite = false;
        bench.assert_moves_with_the_next_chunk();
    }

    #[test]
    fn a_run_never_begins_with_a_jump() {
        let mut bench = Bench::new();
        let far = chunk(0.6, bench.now);
        let tick = bench.tick(Some(far));
        assert_eq!(
            (tick.points.len(), tick.hold.clone().unwrap().reason),
            (0, HoldReason::StartJump)
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
        bench.situation.command = Command::Disabled;
        bench.assert_holds_smoothly(HoldReason::Disabled);
        bench.situation.measured = Some(vec![2.0]);
        bench.situation.command = Command::Enabled;
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
        bench.situation.prompt_number += 1;
        bench.assert_moves_with_the_next_chunk();
        bench.ticks(5);
        assert_eq!(bench.ticks(10).hold.unwrap().reason, HoldReason::RunTimeOver);
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
        bench.situation.command = Command::Stopped;
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
        bench.situation.measured = Some(vec![0.1]);
        let first = chunk(0.3, bench.now);
        bench.tick(Some(first));
        assert_eq!(bench.positions, [0.1]);
        bench.ticks(60);
        assert!((bench.positions[60] - 0.79).abs() < 1e-4, "{:?}", bench.positions);
        assert!(bench.largest_change() <= 0.1 + 1e-3);
    }
}
