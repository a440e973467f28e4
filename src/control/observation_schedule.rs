//! When the next observation becomes a chunk.

use std::time::Duration;

use super::TimedChunk;

/// Decides which observation becomes the next chunk: the first one after `execution_horizon` actions were played.
///
/// A policy so slow that its chunks are over when they arrive observes only while the robot stands still: every action of
/// a chunk that was observed in motion would be in the past.
#[derive(Clone, Copy, Debug, Default)]
pub struct ObservationSchedule {
    is_too_slow_for_motion: bool,
}

impl ObservationSchedule {
    /// Notes that a chunk arrived `age` after its observation.
    pub fn chunk_arrived(&mut self, chunk: &TimedChunk, age: Duration) {
        self.is_too_slow_for_motion = age >= chunk.duration();
    }

    /// Whether an observation of `observed_at` becomes the next chunk. `next_observation_due` and `standstill_since` are those
    /// of [`Controller`](super::Controller) or [`ChunkPlayer`](super::ChunkPlayer).
    pub fn is_due(
        &self,
        observed_at: Duration,
        next_observation_due: Duration,
        standstill_since: Option<Duration>,
    ) -> bool {
        let due = if self.is_too_slow_for_motion {
            standstill_since
        } else {
            Some(next_observation_due)
        };
        due.is_some_and(|due| observed_at >= due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Blending;
    use crate::policy::ActionChunk;

    #[test]
    fn a_policy_slower_than_its_chunks_observes_at_standstill_only() {
        let ms = Duration::from_millis;
        let chunk = TimedChunk {
            actions: ActionChunk::new(vec![0.0; 10], 1),
            observed_at: ms(0),
            action_period: ms(100),
            execution_horizon: None,
            blending: Blending::default(),
        };
        let mut schedule = ObservationSchedule::default();
        assert!(schedule.is_due(ms(500), ms(500), None));
        assert!(!schedule.is_due(ms(499), ms(500), Some(ms(0))));
        schedule.chunk_arrived(&chunk, ms(1000));
        assert!(!schedule.is_due(ms(900), ms(500), None));
        assert!(schedule.is_due(ms(900), ms(500), Some(ms(900))));
        schedule.chunk_arrived(&chunk, ms(999));
        assert!(schedule.is_due(ms(900), ms(500), None));
    }
}
