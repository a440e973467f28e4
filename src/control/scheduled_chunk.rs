//! A chunk that is being played, with its times.

use std::time::Duration;

use super::axis_layout::AxisLayout;
use super::timed_chunk::TimedChunk;

/// A chunk that is being played, and how far.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ScheduledChunk {
    pub chunk: TimedChunk,
    /// Of its actions.
    pub layout: AxisLayout,
    /// When it took over.
    pub started_at: Duration,
    /// How much of it was past then. May be more than `started_at`: simulated time begins at 0.
    pub played: Duration,
}

impl ScheduledChunk {
    /// When its last action ends.
    pub fn end(&self) -> Duration {
        self.time_of(self.chunk.duration())
    }

    /// When the position `elapsed` after the first action is due; `started_at` for one that was past then.
    pub fn time_of(&self, elapsed: Duration) -> Duration {
        self.started_at
            .saturating_add(elapsed.saturating_sub(self.played))
    }

    /// The position of every axis at `time`.
    pub fn positions(&self, time: Duration) -> Vec<f32> {
        let elapsed = time.saturating_sub(self.started_at).saturating_add(self.played);
        self.chunk.positions(elapsed, &self.layout)
    }
}
