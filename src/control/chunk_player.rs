//! Playback of action chunks: which actions are ahead at a given time.

use std::collections::VecDeque;
use std::time::Duration;

use super::axes::Axes;
use super::blending::{BlendingStrategy, join};
use super::chunk_refusal::ChunkRefusal;
use super::plan::Plan;
use super::progress::Progress;
use super::scheduled_chunk::ScheduledChunk;
use super::timed_chunk::TimedChunk;
use crate::policy::ActionChunk;

/// Chunks whose arrival is remembered.
const ARRIVALS: usize = 10;

/// What the player is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlayerState {
    /// No chunk was played since the start, or since time jumped back: there is no position to hold.
    Waiting,
    /// A chunk has actions ahead.
    Playing,
    /// The last action of the chunk is held until the next one arrives, or the robot is held.
    Holding,
}

/// Plays one chunk after the other.
///
/// A new chunk starts at the action that follows the time for which actions were played since its observation: at its
/// first one when the robot stood still since, however long inference took.
#[derive(Debug)]
pub struct ChunkPlayer {
    axes: Axes,
    newest_time: Option<Duration>,
    progress: Progress,
    motion: Motion,
    /// Chunks that still have actions ahead, the newest last.
    chunks: Vec<ScheduledChunk>,
    /// Chunks observed before this time are not played.
    released_at: Duration,
    /// Actions that were played between an observation and the arrival of its chunk, of the newest chunks.
    played_before_arrival: VecDeque<usize>,
}

#[derive(Debug)]
enum Motion {
    Waiting,
    Playing {
        plan: Plan,
        end: Duration,
        next_observation_due: Duration,
    },
    /// The plan comes to rest at `since`.
    Holding {
        plan: Plan,
        since: Duration,
    },
}

impl ChunkPlayer {
    /// A player that waits for its first chunk. `axes`: of every action.
    pub fn new(axes: Axes) -> Self {
        Self {
            axes,
            newest_time: None,
            progress: Progress::default(),
            motion: Motion::Waiting,
            chunks: Vec::new(),
            released_at: Duration::ZERO,
            played_before_arrival: VecDeque::new(),
        }
    }

    /// The axes of every action.
    pub fn axes(&self) -> &Axes {
        &self.axes
    }

    /// The most actions that were played between an observation and the arrival of its chunk, of the newest chunks.
    pub fn played_before_arrival(&self) -> usize {
        self.played_before_arrival.iter().copied().max().unwrap_or(0)
    }

    /// Plays `chunk` from when it takes over on; until then what was played before goes on.
    ///
    /// # Errors
    /// When it has other joints, a value that is no finite number, or no action left to play; what was played before
    /// goes on.
    pub fn offer(&mut self, chunk: TimedChunk, now: Duration) -> Result<(), ChunkRefusal> {
        self.advance(now);
        let scheduled = self.schedule(chunk, now)?;
        let takeover = scheduled.started_at;
        let chunk = &scheduled.chunk;
        let were_it_new = takeover.saturating_add(chunk.until_next_observation());
        let next_observation_due = were_it_new.saturating_sub(scheduled.played);
        let action_period = chunk.action_period;
        let played = scheduled.played.as_secs_f64() / action_period.as_secs_f64();
        self.played_before_arrival.truncate(ARRIVALS - 1);
        self.played_before_arrival.push_front(played.ceil() as usize);
        self.chunks.retain(|earlier| {
            scheduled.chunk.blending.strategy == Some(BlendingStrategy::Ensemble) && earlier.end() > takeover
        });
        self.chunks.push(scheduled);
        let plan = join(&self.chunks, self.plan(), takeover);
        let end = self.chunks[self.chunks.len() - 1].end();
        self.progress.play(takeover, end, action_period);
        self.motion = Motion::Playing {
            end: end.max(plan.end()),
            plan,
            next_observation_due,
        };
        Ok(())
    }

    /// What would be played if `chunk` were offered now: the chunk by itself, and as it takes over from what is played.
    ///
    /// # Errors
    /// As [`offer`](Self::offer).
    pub(super) fn plans_with(
        &mut self,
        chunk: &TimedChunk,
        now: Duration,
    ) -> Result<[Plan; 2], ChunkRefusal> {
        self.advance(now);
        let scheduled = [self.schedule(chunk.clone(), now)?];
        let takeover = scheduled[0].started_at;
        Ok([None, self.plan()].map(|before| join(&scheduled, before, takeover)))
    }

    /// Plays `stop`, which comes to rest, instead of the chunk from `now` on, and holds its end. Of the chunks that come,
    /// those are played that were observed after the last call of this.
    pub fn hold(&mut self, stop: Plan, now: Duration) {
        self.advance(now);
        self.progress.stop(now);
        self.chunks.clear();
        self.released_at = now;
        self.motion = Motion::Holding {
            since: stop.end().max(now),
            plan: stop,
        };
    }

    /// No chunk that was observed before `now` is played from here on.
    pub fn refuse_observations_before(&mut self, now: Duration) {
        self.released_at = now;
    }

    /// What the robot is to do from here on; none while waiting.
    pub fn plan(&self) -> Option<&Plan> {
        match &self.motion {
            Motion::Waiting => None,
            Motion::Playing { plan, .. } | Motion::Holding { plan, .. } => Some(plan),
        }
    }

    /// State of the playback.
    pub fn state(&self) -> PlayerState {
        match &self.motion {
            Motion::Waiting => PlayerState::Waiting,
            Motion::Playing { .. } => PlayerState::Playing,
            Motion::Holding { .. } => PlayerState::Holding,
        }
    }

    /// Since when the robot is commanded to stand still; none while a chunk is played.
    pub fn standstill_since(&self) -> Option<Duration> {
        match &self.motion {
            Motion::Waiting => Some(self.released_at),
            Motion::Playing { .. } => None,
            Motion::Holding { since, .. } => Some(self.released_at.max(*since)),
        }
    }

    /// From when on an observation is to become the next chunk: at once, unless a chunk is played.
    pub fn next_observation_due(&self) -> Duration {
        match &self.motion {
            Motion::Waiting | Motion::Holding { .. } => self.released_at,
            Motion::Playing {
                next_observation_due, ..
            } => self.released_at.max(*next_observation_due),
        }
    }

    /// The chunk as it is played when it arrives at `now`: from when it takes over, and from the action that follows the time
    /// played since its observation until then.
    fn schedule(&self, chunk: TimedChunk, now: Duration) -> Result<ScheduledChunk, ChunkRefusal> {
        self.check_values(&chunk.actions)?;
        if chunk.observed_at < self.released_at {
            return Err(ChunkRefusal::BeforeRelease);
        }
        let duration = chunk.duration();
        let ahead = chunk.observed_at.saturating_sub(now);
        if ahead > duration {
            return Err(ChunkRefusal::FromTheFuture { ahead });
        }
        let takeover = now.saturating_add(chunk.blending.delay());
        let played = self
            .progress
            .played(chunk.observed_at, takeover, chunk.action_period);
        if played >= duration {
            return Err(ChunkRefusal::Late { played, duration });
        }
        Ok(ScheduledChunk {
            chunk,
            layout: self.axes.layout().clone(),
            started_at: takeover,
            played,
        })
    }

    /// Lets time go on to `now`: a chunk that ends by then is held.
    pub fn advance(&mut self, now: Duration) {
        if self.newest_time.is_some_and(|newest| now < newest) {
            *self = Self::new(self.axes.clone());
        }
        self.newest_time = Some(now);
        if let Motion::Playing { plan, end, .. } = &self.motion
            && now >= *end
        {
            self.motion = Motion::Holding {
                plan: plan.clone(),
                since: *end,
            };
            self.chunks.clear();
        }
    }

    fn check_values(&self, actions: &ActionChunk) -> Result<(), ChunkRefusal> {
        let found = actions.action_dim();
        let expected = self.axes.count();
        if found != expected {
            return Err(ChunkRefusal::ValueCount { found, expected });
        }
        match actions.values().iter().position(|value| !value.is_finite()) {
            Some(index) => Err(ChunkRefusal::NotFinite {
                action: index / found,
                value_name: self.axes.value(index % found),
                value: actions.values()[index],
            }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::control::Blending;

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
            execution_horizon: None,
            blending: Blending::default(),
        }
    }

    fn player() -> ChunkPlayer {
        ChunkPlayer::new(["waist", "elbow"].map(str::to_owned).into())
    }

    fn tick(player: &mut ChunkPlayer, now: Duration) -> (PlayerState, Vec<(f32, Duration)>) {
        player.advance(now);
        let waypoints = player
            .plan()
            .map_or_else(Vec::new, |plan| plan.waypoints_from(now));
        let points = waypoints.into_iter().map(|(time, positions)| {
            assert!((positions[0] + positions[1]).abs() < 1e-5);
            (positions[0], time - now)
        });
        (player.state(), points.collect())
    }

    #[test]
    fn waits_without_points_before_the_first_chunk() {
        let mut player = player();
        assert_eq!(tick(&mut player, ms(5)), (PlayerState::Waiting, vec![]));
    }

    #[test]
    fn first_chunk_starts_at_its_first_action_however_long_it_took() {
        let mut player = player();
        player.offer(chunk(0.0, 3, ms(1000)), ms(60_000)).unwrap();
        let expected = vec![(0.0, ms(0)), (1.0, ms(100)), (2.0, ms(200))];
        assert_eq!(tick(&mut player, ms(60_000)), (PlayerState::Playing, expected));
    }

    #[test]
    fn position_between_two_actions_is_interpolated() {
        let mut player = player();
        player.offer(chunk(0.0, 3, ms(0)), ms(0)).unwrap();
        let (_, points) = tick(&mut player, ms(125));
        assert_eq!(points, vec![(1.25, ms(0)), (2.0, ms(75))]);
    }

    #[test]
    fn a_tick_on_an_action_gives_that_action_once() {
        let mut player = player();
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
        let mut player = player();
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
        let mut player = player();
        player.offer(chunk(0.0, 30, ms(0)), ms(0)).unwrap();
        let refusal = player.offer(chunk(100.0, 10, ms(200)), ms(1200)).unwrap_err();
        assert_eq!(
            refusal,
            ChunkRefusal::Late {
                played: ms(1000),
                duration: ms(1000)
            }
        );
        assert_eq!(tick(&mut player, ms(1200)).1[0], (12.0, ms(0)));
    }

    #[test]
    fn holds_the_last_action_when_the_chunk_is_spent() {
        let mut player = player();
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
        let mut player = player();
        assert_eq!(player.next_observation_due(), ms(0));
        player.offer(chunk(0.0, 10, ms(2000)), ms(3000)).unwrap();
        assert_eq!(player.next_observation_due(), ms(3500));
        let mut four = chunk(0.0, 10, ms(3500));
        four.execution_horizon = NonZeroUsize::new(4);
        player.offer(four, ms(3600)).unwrap();
        assert_eq!(player.next_observation_due(), ms(3900));
        assert_eq!(tick(&mut player, ms(3900)).0, PlayerState::Playing);
        assert_eq!(tick(&mut player, ms(4500)).0, PlayerState::Holding);
        assert_eq!(player.next_observation_due(), ms(0));
    }

    #[test]
    fn a_chunk_takes_over_when_the_controller_has_got_it_and_the_one_before_goes_on_until_then() {
        let mut player = player();
        let late = |base, observed_at| TimedChunk {
            blending: Blending {
                blend_duration: ms(1),
                controller_latency: ms(100),
                ..Blending::default()
            },
            ..chunk(base, 10, observed_at)
        };
        player.offer(late(0.0, ms(0)), ms(1000)).unwrap();
        let (_, points) = tick(&mut player, ms(1000));
        assert_eq!(points[..3], [(0.0, ms(0)), (0.0, ms(100)), (1.0, ms(200))]);
        assert_eq!(player.next_observation_due(), ms(1600));
        player.offer(late(102.0, ms(1300)), ms(1500)).unwrap();
        assert_eq!(player.played_before_arrival(), 3);
        // Until 1.6 s the first one, then the action that is 0.3 s after the observation.
        let (_, points) = tick(&mut player, ms(1550));
        let expected = [(4.5, ms(0)), (5.0, ms(50)), (106.0, ms(150)), (107.0, ms(250))];
        assert_eq!(points[..4], expected);
        assert_eq!(player.next_observation_due(), ms(1800));
    }

    #[test]
    fn a_chunk_observed_at_standstill_starts_at_its_first_action() {
        let mut player = player();
        player.offer(chunk(0.0, 3, ms(0)), ms(0)).unwrap();
        player.offer(chunk(50.0, 3, ms(300)), ms(9000)).unwrap();
        assert_eq!(tick(&mut player, ms(9000)).1[0], (50.0, ms(0)));
    }

    #[test]
    fn a_chunk_that_comes_after_the_end_of_the_one_before_goes_on_where_that_one_ended() {
        let mut player = player();
        player.offer(chunk(0.0, 10, ms(0)), ms(0)).unwrap();
        assert_eq!(tick(&mut player, ms(6000)).0, PlayerState::Holding);
        // Half a second was played after the observation, then the robot stood still.
        player.offer(chunk(5.0, 10, ms(500)), ms(6000)).unwrap();
        assert_eq!(tick(&mut player, ms(6000)).1[0], (10.0, ms(0)));
        assert_eq!(tick(&mut player, ms(6400)).1, vec![(14.0, ms(0))]);
        assert_eq!(tick(&mut player, ms(6500)).0, PlayerState::Holding);
    }

    #[test]
    fn a_chunk_at_another_speed_goes_on_with_the_action_that_is_next() {
        let mut player = player();
        player.offer(chunk(0.0, 10, ms(9000)), ms(9000)).unwrap();
        let mut slow = chunk(0.0, 10, ms(9000));
        slow.action_period = ms(200);
        player.offer(slow, ms(9400)).unwrap();
        assert_eq!(tick(&mut player, ms(9500)).1[..2], [(4.5, ms(0)), (5.0, ms(100))]);
    }

    #[test]
    fn a_chunk_at_another_speed_goes_on_with_the_action_that_is_next_in_the_first_moments_of_time() {
        let mut player = player();
        player.offer(chunk(0.0, 10, ms(0)), ms(0)).unwrap();
        let mut slow = chunk(0.0, 10, ms(0));
        slow.action_period = ms(200);
        player.offer(slow, ms(300)).unwrap();
        assert_eq!(
            tick(&mut player, ms(400)).1[..3],
            [(3.5, ms(0)), (4.0, ms(100)), (5.0, ms(300))]
        );
        assert_eq!(player.next_observation_due(), ms(700));
        assert_eq!(tick(&mut player, ms(1699)).0, PlayerState::Playing);
        assert_eq!(tick(&mut player, ms(1700)).0, PlayerState::Holding);
    }

    #[test]
    fn after_a_hold_only_what_was_observed_since_is_played() {
        let mut player = player();
        player.offer(chunk(0.0, 10, ms(0)), ms(0)).unwrap();
        let stop = Plan::new(vec![(ms(100), vec![1.0, -1.0]), (ms(150), vec![1.5, -1.5])]);
        player.hold(stop, ms(100));
        assert_eq!(
            tick(&mut player, ms(100)),
            (PlayerState::Holding, vec![(1.0, ms(0)), (1.5, ms(50))])
        );
        assert_eq!(player.standstill_since(), Some(ms(150)));
        let refusal = player.offer(chunk(0.0, 10, ms(99)), ms(200)).unwrap_err();
        assert_eq!(refusal, ChunkRefusal::BeforeRelease);
        player.offer(chunk(7.0, 10, ms(180)), ms(200)).unwrap();
        assert_eq!(tick(&mut player, ms(200)).1[0], (7.0, ms(0)));
    }

    #[test]
    fn wrong_joints_and_values_that_are_no_numbers_never_enter() {
        let mut player = player();
        let mut not_finite = chunk(0.0, 3, ms(0));
        let mut values = not_finite.actions.values().to_vec();
        values[3] = f32::NAN;
        not_finite.actions = ActionChunk::new(values, 2);
        let refusal = player.offer(not_finite, ms(0)).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "joint elbow of action 1 is NaN, expected a finite number"
        );
        let mut other_joints = chunk(0.0, 3, ms(0));
        other_joints.actions = ActionChunk::new(vec![0.0; 9], 3);
        let refusal = player.offer(other_joints, ms(0)).unwrap_err();
        assert_eq!(
            refusal,
            ChunkRefusal::ValueCount {
                found: 3,
                expected: 2
            }
        );
        assert_eq!(tick(&mut player, ms(1)), (PlayerState::Waiting, vec![]));
    }

    #[test]
    fn a_jump_back_in_time_drops_the_chunk() {
        let mut player = player();
        player.offer(chunk(0.0, 10, ms(5000)), ms(5000)).unwrap();
        tick(&mut player, ms(5100));
        assert_eq!(tick(&mut player, ms(20)), (PlayerState::Waiting, vec![]));
        player.offer(chunk(7.0, 10, ms(20)), ms(40)).unwrap();
        assert_eq!(tick(&mut player, ms(40)).1[0], (7.0, ms(0)));
    }

    #[test]
    fn a_chunk_observed_far_in_the_future_is_refused() {
        let mut player = player();
        let refusal = player.offer(chunk(0.0, 10, ms(2001)), ms(1000)).unwrap_err();
        assert_eq!(refusal, ChunkRefusal::FromTheFuture { ahead: ms(1001) });
    }
}
