//! Plays action chunks: which actions are still ahead at this moment.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::policy::ActionChunk;

/// An action this close behind the present (in actions) is the present: periods are rounded to nanoseconds.
const SAME_ACTION: f64 = 1e-6;

/// A chunk with what is needed to play it.
#[derive(Clone, Debug, PartialEq)]
pub struct TimedChunk {
    pub actions: ActionChunk,
    /// When the observation was made that the actions answer: the moment of the first action.
    pub observed_at: Duration,
    /// Time from one action to the next: that of the recordings the policy learned from.
    pub action_period: Duration,
    /// Actions that are played before the robot is observed for the next chunk; the rest play on until that one comes.
    /// None for half of them.
    pub actions_to_execute: Option<NonZeroUsize>,
}

/// Where every joint shall be at some moment.
#[derive(Clone, Debug, PartialEq)]
pub struct TrajectoryPoint {
    /// One per joint, in the robot's units.
    pub positions: Vec<f32>,
    /// Time from the tick to this point.
    pub time_from_start: Duration,
}

/// What the player is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlayerState {
    /// There is nothing to hold yet: no chunk came since the start, or since time jumped back.
    Waiting,
    /// A chunk has actions ahead.
    Playing,
    /// The last action of a spent chunk is held until the next chunk comes.
    Holding,
}

/// Why a chunk is not played. What was played before goes on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ChunkRefusal {
    #[error("the actions have {found} joints, expected {expected}")]
    JointCount { found: usize, expected: usize },
    #[error("joint {joint} of action {action} is {value}, expected a finite number")]
    NotFinite { action: usize, joint: usize, value: f32 },
    #[error(
        "the chunk came {} s after its observation, but its actions reach {} s: all of them are past",
        age.as_secs_f64(), reach.as_secs_f64()
    )]
    Late { age: Duration, reach: Duration },
    #[error(
        "the observation is stamped {} s ahead of now, further than the chunk's actions reach: the clocks of the \
         observation and of this node differ",
        ahead.as_secs_f64()
    )]
    FromTheFuture { ahead: Duration },
}

/// Plays one chunk after the other.
///
/// A chunk that arrives while the robot moves is played from the action of the time that really passed since its
/// observation. One that arrives at standstill, and whose observation was made at that standstill, is played from
/// its first action: the robot did not move since.
#[derive(Debug)]
pub struct ChunkPlayer {
    joint_count: usize,
    newest_time: Option<Duration>,
    motion: Motion,
}

#[derive(Debug)]
enum Motion {
    Waiting,
    /// `start` is the moment of the chunk's first action.
    Playing {
        chunk: TimedChunk,
        start: Duration,
    },
    Holding {
        positions: Vec<f32>,
        since: Duration,
    },
}

impl TimedChunk {
    /// Time from the first action to when the chunk is spent.
    pub fn reach(&self) -> Duration {
        self.time_of(self.actions.horizon())
    }

    /// Time from the first action to when the robot is to be observed for the next chunk.
    fn until_next_observation(&self) -> Duration {
        let half = self.actions.horizon() / 2;
        self.time_of(self.actions_to_execute.map_or(half, NonZeroUsize::get))
    }

    fn time_of(&self, actions: usize) -> Duration {
        self.action_period
            .saturating_mul(actions.try_into().unwrap_or(u32::MAX))
    }

    /// The positions `elapsed` after the first action, and the actions that come after them.
    fn points(&self, elapsed: Duration, limit: usize) -> Vec<TrajectoryPoint> {
        let last = self.actions.horizon() - 1;
        let place = elapsed.as_secs_f64() / self.action_period.as_secs_f64();
        let present = ((place + SAME_ACTION) as usize).min(last);
        let following = self.actions.action((present + 1).min(last));
        let share = (place - present as f64).max(0.0) as f32;
        let positions = self.actions.action(present).iter().zip(following);
        let now = TrajectoryPoint {
            positions: positions.map(|(from, to)| from + (to - from) * share).collect(),
            time_from_start: Duration::ZERO,
        };
        let ahead = (present + 1..=last).map(|index| TrajectoryPoint {
            positions: self.actions.action(index).to_vec(),
            time_from_start: (self.action_period * index as u32).saturating_sub(elapsed),
        });
        std::iter::once(now).chain(ahead).take(limit).collect()
    }
}

impl ChunkPlayer {
    /// A player that waits for its first chunk. `joint_count`: the joints of every action.
    pub fn new(joint_count: usize) -> Self {
        Self {
            joint_count,
            newest_time: None,
            motion: Motion::Waiting,
        }
    }

    /// Plays `chunk` from now on.
    ///
    /// # Errors
    /// When it has other joints, a value that is no finite number, or no action left to play.
    pub fn offer(&mut self, chunk: TimedChunk, now: Duration) -> Result<(), ChunkRefusal> {
        self.advance(now);
        self.check_values(&chunk.actions)?;
        let reach = chunk.reach();
        let standstill = self
            .standstill_since()
            .is_some_and(|since| chunk.observed_at >= since);
        let ahead = chunk.observed_at.saturating_sub(now);
        if ahead > reach {
            return Err(ChunkRefusal::FromTheFuture { ahead });
        }
        let start = if standstill { now } else { chunk.observed_at };
        let age = now.saturating_sub(start);
        if age >= reach {
            return Err(ChunkRefusal::Late { age, reach });
        }
        self.motion = Motion::Playing { chunk, start };
        Ok(())
    }

    /// The state at `now` and the points still ahead: first the present one, then the actions after it, at most
    /// `limit`. The one point to hold when there is nothing ahead; none while waiting.
    pub fn tick(&mut self, now: Duration, limit: NonZeroUsize) -> (PlayerState, Vec<TrajectoryPoint>) {
        self.advance(now);
        match &self.motion {
            Motion::Waiting => (PlayerState::Waiting, Vec::new()),
            Motion::Playing { chunk, start } => (
                PlayerState::Playing,
                chunk.points(now.saturating_sub(*start), limit.get()),
            ),
            Motion::Holding { positions, .. } => {
                let point = TrajectoryPoint {
                    positions: positions.clone(),
                    time_from_start: Duration::ZERO,
                };
                (PlayerState::Holding, vec![point])
            }
        }
    }

    /// Since when the robot is not told to move; none while a chunk is played.
    pub fn standstill_since(&self) -> Option<Duration> {
        match &self.motion {
            Motion::Waiting => Some(Duration::ZERO),
            Motion::Playing { .. } => None,
            Motion::Holding { since, .. } => Some(*since),
        }
    }

    /// From when on an observation is to become the next chunk: at once, unless a chunk is played.
    pub fn next_observation_due(&self) -> Duration {
        match &self.motion {
            Motion::Waiting | Motion::Holding { .. } => Duration::ZERO,
            Motion::Playing { chunk, start } => start.saturating_add(chunk.until_next_observation()),
        }
    }

    fn advance(&mut self, now: Duration) {
        if self.newest_time.is_some_and(|newest| now < newest) {
            self.motion = Motion::Waiting;
        }
        self.newest_time = Some(now);
        if let Motion::Playing { chunk, start } = &self.motion {
            let end = start.saturating_add(chunk.reach());
            if now >= end {
                let positions = chunk.actions.action(chunk.actions.horizon() - 1).to_vec();
                self.motion = Motion::Holding {
                    positions,
                    since: end,
                };
            }
        }
    }

    fn check_values(&self, actions: &ActionChunk) -> Result<(), ChunkRefusal> {
        let found = actions.action_dim();
        let expected = self.joint_count;
        if found != expected {
            return Err(ChunkRefusal::JointCount { found, expected });
        }
        match actions.values().iter().position(|value| !value.is_finite()) {
            Some(index) => Err(ChunkRefusal::NotFinite {
                action: index / found,
                joint: index % found,
                value: actions.values()[index],
            }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// Two joints, 10 actions a second: action `i` is `[base + i, -(base + i)]`.
    fn chunk(base: f32, horizon: usize, observed_at: Duration) -> TimedChunk {
        let values = (0..horizon).flat_map(|i| [base + i as f32, -(base + i as f32)]);
        TimedChunk {
            actions: ActionChunk::new(values.collect(), 2),
            observed_at,
            action_period: ms(100),
            actions_to_execute: None,
        }
    }

    fn tick(player: &mut ChunkPlayer, now: Duration) -> (PlayerState, Vec<(f32, Duration)>) {
        let (state, points) = player.tick(now, NonZeroUsize::MAX);
        let points = points.into_iter().map(|point| {
            assert!((point.positions[0] + point.positions[1]).abs() < 1e-5);
            (point.positions[0], point.time_from_start)
        });
        (state, points.collect())
    }

    #[test]
    fn waits_without_points_before_the_first_chunk() {
        let mut player = ChunkPlayer::new(2);
        assert_eq!(tick(&mut player, ms(5)), (PlayerState::Waiting, vec![]));
    }

    #[test]
    fn first_chunk_starts_at_its_first_action_however_long_it_took() {
        let mut player = ChunkPlayer::new(2);
        player.offer(chunk(0.0, 3, ms(1000)), ms(60_000)).unwrap();
        let expected = vec![(0.0, ms(0)), (1.0, ms(100)), (2.0, ms(200))];
        assert_eq!(tick(&mut player, ms(60_000)), (PlayerState::Playing, expected));
    }

    #[test]
    fn position_between_two_actions_is_interpolated() {
        let mut player = ChunkPlayer::new(2);
        player.offer(chunk(0.0, 3, ms(0)), ms(0)).unwrap();
        let (_, points) = tick(&mut player, ms(125));
        assert_eq!(points, vec![(1.25, ms(0)), (2.0, ms(75))]);
    }

    #[test]
    fn a_tick_on_an_action_gives_that_action_once() {
        let mut player = ChunkPlayer::new(2);
        let mut thirds = chunk(0.0, 4, ms(0));
        thirds.action_period = Duration::from_secs_f64(1.0 / 30.0);
        player.offer(thirds, ms(0)).unwrap();
        for nanoseconds in [66_666_665, 66_666_666, 66_666_667] {
            let (_, points) = tick(&mut player, Duration::from_nanos(nanoseconds));
            assert_eq!(points.len(), 2, "{points:?}");
            assert!(
                (points[0].0 - 2.0).abs() < 1e-5 && points[1].0 == 3.0,
                "{points:?}"
            );
        }
    }

    #[test]
    fn a_late_chunk_is_played_from_the_time_that_passed_since_its_observation() {
        let mut player = ChunkPlayer::new(2);
        player.offer(chunk(0.0, 10, ms(0)), ms(0)).unwrap();
        player.offer(chunk(100.0, 10, ms(200)), ms(550)).unwrap();
        let (state, points) = tick(&mut player, ms(550));
        assert_eq!(state, PlayerState::Playing);
        assert_eq!(points[0], (103.5, ms(0)));
        assert_eq!(points[1], (104.0, ms(50)));
        assert_eq!(points.len(), 7);
    }

    #[test]
    fn a_chunk_whose_actions_are_all_past_is_refused_and_the_old_one_goes_on() {
        let mut player = ChunkPlayer::new(2);
        player.offer(chunk(0.0, 30, ms(0)), ms(0)).unwrap();
        let refusal = player.offer(chunk(100.0, 10, ms(200)), ms(1200)).unwrap_err();
        assert_eq!(
            refusal,
            ChunkRefusal::Late {
                age: ms(1000),
                reach: ms(1000)
            }
        );
        assert_eq!(tick(&mut player, ms(1200)).1[0], (12.0, ms(0)));
    }

    #[test]
    fn holds_the_last_action_when_the_chunk_is_spent() {
        let mut player = ChunkPlayer::new(2);
        player.offer(chunk(0.0, 3, ms(0)), ms(0)).unwrap();
        assert_eq!(
            tick(&mut player, ms(299)),
            (PlayerState::Playing, vec![(2.0, ms(0))])
        );
        assert_eq!(
            tick(&mut player, ms(300)),
            (PlayerState::Holding, vec![(2.0, ms(0))])
        );
        assert_eq!(
            tick(&mut player, ms(90_000)),
            (PlayerState::Holding, vec![(2.0, ms(0))])
        );
    }

    #[test]
    fn the_next_observation_is_due_when_the_actions_to_execute_are_played() {
        let mut player = ChunkPlayer::new(2);
        assert_eq!(player.next_observation_due(), ms(0));
        player.offer(chunk(0.0, 10, ms(2000)), ms(3000)).unwrap();
        assert_eq!(player.next_observation_due(), ms(3500));
        let mut four = chunk(0.0, 10, ms(3500));
        four.actions_to_execute = NonZeroUsize::new(4);
        player.offer(four, ms(3600)).unwrap();
        assert_eq!(player.next_observation_due(), ms(3900));
        assert_eq!(tick(&mut player, ms(3900)).0, PlayerState::Playing);
        assert_eq!(tick(&mut player, ms(4500)).0, PlayerState::Holding);
        assert_eq!(player.next_observation_due(), ms(0));
    }

    #[test]
    fn at_most_the_publish_horizon_is_published() {
        let mut player = ChunkPlayer::new(2);
        player.offer(chunk(0.0, 10, ms(0)), ms(0)).unwrap();
        let (_, points) = player.tick(ms(0), NonZeroUsize::new(3).unwrap());
        assert_eq!(points.len(), 3);
    }

    #[test]
    fn a_chunk_observed_at_standstill_starts_at_its_first_action() {
        let mut player = ChunkPlayer::new(2);
        player.offer(chunk(0.0, 3, ms(0)), ms(0)).unwrap();
        player.offer(chunk(50.0, 3, ms(300)), ms(9000)).unwrap();
        assert_eq!(tick(&mut player, ms(9000)).1[0], (50.0, ms(0)));
    }

    #[test]
    fn a_chunk_observed_in_motion_never_starts_over_at_standstill() {
        let mut player = ChunkPlayer::new(2);
        player.offer(chunk(0.0, 3, ms(0)), ms(0)).unwrap();
        assert!(player.offer(chunk(50.0, 3, ms(299)), ms(9000)).is_err());
        assert_eq!(
            tick(&mut player, ms(9000)),
            (PlayerState::Holding, vec![(2.0, ms(0))])
        );
    }

    #[test]
    fn wrong_joints_and_values_that_are_no_numbers_never_enter() {
        let mut player = ChunkPlayer::new(2);
        let mut not_finite = chunk(0.0, 3, ms(0));
        let mut values = not_finite.actions.values().to_vec();
        values[3] = f32::NAN;
        not_finite.actions = ActionChunk::new(values, 2);
        let refusal = player.offer(not_finite, ms(0)).unwrap_err();
        assert!(
            matches!(
                refusal,
                ChunkRefusal::NotFinite {
                    action: 1,
                    joint: 1,
                    ..
                }
            ),
            "{refusal}"
        );
        let mut other_joints = chunk(0.0, 3, ms(0));
        other_joints.actions = ActionChunk::new(vec![0.0; 9], 3);
        let refusal = player.offer(other_joints, ms(0)).unwrap_err();
        assert_eq!(
            refusal,
            ChunkRefusal::JointCount {
                found: 3,
                expected: 2
            }
        );
        assert_eq!(tick(&mut player, ms(1)), (PlayerState::Waiting, vec![]));
    }

    #[test]
    fn a_jump_back_in_time_drops_the_chunk() {
        let mut player = ChunkPlayer::new(2);
        player.offer(chunk(0.0, 10, ms(5000)), ms(5000)).unwrap();
        tick(&mut player, ms(5100));
        assert_eq!(tick(&mut player, ms(20)), (PlayerState::Waiting, vec![]));
        player.offer(chunk(7.0, 10, ms(20)), ms(40)).unwrap();
        assert_eq!(tick(&mut player, ms(40)).1[0], (7.0, ms(0)));
    }

    #[test]
    fn a_chunk_observed_far_in_the_future_is_refused() {
        let mut player = ChunkPlayer::new(2);
        let refusal = player.offer(chunk(0.0, 10, ms(2001)), ms(1000)).unwrap_err();
        assert_eq!(refusal, ChunkRefusal::FromTheFuture { ahead: ms(1001) });
    }
}
