//! Estimate of a live run: what the policy's speed would have meant at control rate.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::control::{Blending, ChunkPlayer, ObservationSchedule, PlayerState, TimedChunk};
use crate::policy::ActionChunk;

/// Live run to simulate.
#[derive(Clone, Copy, Debug)]
pub struct LiveRun {
    /// Duration of the run.
    pub duration: Duration,
    /// Time from one control tick to the next.
    pub control_period: Duration,
    /// Time from one action to the next.
    pub action_period: Duration,
    /// Actions of a chunk.
    pub action_horizon: usize,
    /// Actions from one observation to the next.
    pub execution_horizon: usize,
    /// Time from one frame to the next, of all cameras together.
    pub camera_period: Duration,
}

/// Share of ticks and frames that a live run would have missed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlaybackEstimate {
    /// Share of the control ticks after the first chunk at which the robot would have held still for want of an action.
    pub ticks_without_action: f64,
    /// Share of camera frames that no chunk would have been made from.
    pub frames_not_used: f64,
}

/// Runs the node's own player at control rate with chunks that take `latencies`, one after the other and again. Returns `None`
/// without latencies, or when no chunk would have come in time.
pub fn simulate_playback(run: LiveRun, latencies: &[Duration]) -> Option<PlaybackEstimate> {
    let mut latencies = latencies.iter().cycle();
    let mut player = ChunkPlayer::new([String::new()].into());
    let mut under_way: Option<(Duration, Duration)> = None;
    let mut schedule = ObservationSchedule::default();
    let (mut chunks, mut ticks, mut without) = (0_u64, 0_u64, 0_u64);
    let mut now = Duration::ZERO;
    while now < run.duration {
        if let Some((observed_at, arrives)) = under_way.filter(|(_, arrives)| *arrives <= now) {
            under_way = None;
            let chunk = run.chunk(observed_at);
            schedule.chunk_arrived(&chunk, arrives - observed_at);
            chunks += 1;
            // A chunk that comes too late is refused; the ticks without its actions are counted below.
            let _ = player.offer(chunk, now);
        }
        player.advance(now);
        let state = player.state();
        let is_due = schedule.is_due(now, player.next_observation_due(), player.standstill_since());
        if under_way.is_none() && is_due {
            under_way = Some((now, now + *latencies.next()?));
        }
        if chunks > 0 {
            ticks += 1;
            without += u64::from(state != PlayerState::Playing);
        }
        now += run.control_period;
    }
    let frames = run.duration.as_secs_f64() / run.camera_period.as_secs_f64();
    (ticks > 0).then(|| PlaybackEstimate {
        ticks_without_action: without as f64 / ticks as f64,
        frames_not_used: (1.0 - chunks as f64 / frames).max(0.0),
    })
}

impl LiveRun {
    fn chunk(&self, observed_at: Duration) -> TimedChunk {
        TimedChunk {
            actions: ActionChunk::new(vec![0.0; self.action_horizon], 1),
            observed_at,
            action_period: self.action_period,
            execution_horizon: NonZeroUsize::new(self.execution_horizon),
            blending: Blending::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// Chunks of one second, half of it executed.
    const RUN: LiveRun = LiveRun {
        duration: ms(60_000),
        control_period: ms(20),
        action_period: ms(20),
        action_horizon: 50,
        execution_horizon: 25,
        camera_period: ms(100),
    };

    #[test]
    fn a_fast_policy_misses_no_tick_and_uses_a_frame_every_half_second() {
        let estimate = simulate_playback(RUN, &[ms(30)]).unwrap();
        assert_eq!(estimate.ticks_without_action, 0.0);
        assert!((estimate.frames_not_used - 0.8).abs() < 0.01, "{estimate:?}");
    }

    #[test]
    fn a_policy_that_takes_longer_than_the_rest_of_a_chunk_misses_the_difference() {
        // The observation at 0.5 s has its chunk at 1.2 s; the one before ended at 1 s. It is 0.7 s old then, and lasts 0.3 s.
        let estimate = simulate_playback(RUN, &[ms(700)]).unwrap();
        assert!(
            (0.1..0.7).contains(&estimate.ticks_without_action),
            "{estimate:?}"
        );
    }

    #[test]
    fn a_policy_slower_than_its_chunks_moves_holds_and_moves() {
        let estimate = simulate_playback(RUN, &[ms(2000)]).unwrap();
        assert!(
            (0.6..0.7).contains(&estimate.ticks_without_action),
            "{estimate:?}"
        );
    }

    #[test]
    fn without_a_chunk_there_is_no_estimate() {
        assert_eq!(simulate_playback(RUN, &[]), None);
        assert_eq!(simulate_playback(RUN, &[ms(100_000)]), None);
    }
}
