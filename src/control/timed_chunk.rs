//! A chunk with what is needed to play it.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::axis_layout::AxisLayout;
use super::blending::Blending;
use crate::policy::ActionChunk;

/// A chunk with what is needed to play it.
#[derive(Clone, Debug, PartialEq)]
pub struct TimedChunk {
    /// Actions in the robot's units.
    pub actions: ActionChunk,
    /// Stamp of the observation: the time of the first action.
    pub observed_at: Duration,
    /// Time from one action to the next: that of the recordings the policy learned from, at the playback speed.
    pub action_period: Duration,
    /// Actions that are played before the robot is observed for the next chunk; the rest play on until that one arrives.
    /// None for half of them.
    pub execution_horizon: Option<NonZeroUsize>,
    /// How it takes over from the chunk before.
    pub blending: Blending,
}

impl TimedChunk {
    /// Time from the first action to the end of the last one.
    pub fn duration(&self) -> Duration {
        self.time_of(self.actions.horizon())
    }

    /// Time from the first action to when the robot is to be observed for the next chunk.
    pub(super) fn until_next_observation(&self) -> Duration {
        let half = self.actions.horizon() / 2;
        self.time_of(self.execution_horizon.map_or(half, NonZeroUsize::get))
    }

    fn time_of(&self, actions: usize) -> Duration {
        self.action_period
            .saturating_mul(actions.try_into().unwrap_or(u32::MAX))
    }

    /// The positions `elapsed` after the first action; the last action's when it is past.
    pub(super) fn positions(&self, elapsed: Duration, layout: &AxisLayout) -> Vec<f32> {
        let last = self.actions.horizon() - 1;
        let index = elapsed.as_secs_f64() / self.action_period.as_secs_f64();
        let present = (index as usize).min(last);
        let following = self.actions.action((present + 1).min(last));
        let share = (index - present as f64).min(1.0);
        layout.interpolate(self.actions.action(present), following, share)
    }
}
