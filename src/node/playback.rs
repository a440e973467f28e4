//! What inference and control share.

use std::num::NonZeroUsize;
#[cfg(test)]
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{lock, lock_if_free};
use crate::control::{ControlSettings, Seam, TimedChunk};
use crate::policy::VisionRefresh;

/// What can be changed about the playing of chunks while it goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct PlaybackSettings {
    /// Time from one tick to the next.
    pub control_period: Duration,
    /// Time from one action of the next chunk to the next, at the speed of play.
    pub action_period: Duration,
    /// Actions of the next chunk that are played before the robot is observed again; none for half of them.
    pub actions_to_execute: Option<NonZeroUsize>,
    /// How the next chunk takes over.
    pub seam: Seam,
    pub control: ControlSettings,
    /// Cameras whose frames the policy looks at less often than it infers. Shared, for control copies the settings at every
    /// tick.
    pub vision_refresh: Arc<VisionRefresh>,
    /// Euler steps from noise to actions; none for the checkpoint's number.
    pub denoise_steps: Option<NonZeroUsize>,
}

/// A value that one thread sets and others read.
#[derive(Debug, Default)]
pub struct Shared<T>(Mutex<T>);

impl<T: Clone> Shared<T> {
    pub fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub fn get(&self) -> T {
        lock(&self.0).clone()
    }

    /// None while another thread has it in hand, unless this one `may_wait`.
    pub fn get_if_free(&self, may_wait: bool) -> Option<T> {
        lock_if_free(&self.0, may_wait).map(|value| value.clone())
    }

    #[cfg(test)]
    pub(super) fn in_hand(&self) -> MutexGuard<'_, T> {
        lock(&self.0)
    }

    pub fn set(&self, value: T) {
        *lock(&self.0) = value;
    }
}

/// A chunk, and the [resets](super::RosClock::resets) of the clock that its observation had seen.
#[derive(Clone, Debug)]
pub struct NewChunk {
    pub chunk: TimedChunk,
    pub clock_resets: u64,
}

/// The newest chunk that control has not taken yet.
#[derive(Debug, Default)]
pub struct ChunkSlot {
    slot: Mutex<NewestPrediction>,
    /// Whether control took a chunk that its report says nothing of yet.
    is_untold: AtomicBool,
}

/// What came of the newest prediction, as far as control has not taken it yet.
#[derive(Debug, Default)]
pub struct NewestPrediction {
    pub chunk: Option<NewChunk>,
    /// Why it has no finite actions, if so.
    pub not_finite: Option<String>,
}

impl ChunkSlot {
    pub fn put(&self, chunk: NewChunk) {
        *lock(&self.slot) = NewestPrediction {
            chunk: Some(chunk),
            not_finite: None,
        };
    }

    /// Instead of a chunk: a value of it was no finite number, as `problem` says.
    pub fn put_not_finite(&self, problem: String) {
        *lock(&self.slot) = NewestPrediction {
            chunk: None,
            not_finite: Some(problem),
        };
    }

    /// Takes the chunk. None while another thread has the slot in hand, unless this one `may_wait`.
    pub fn take(&self, may_wait: bool) -> Option<NewestPrediction> {
        let mut slot = lock_if_free(&self.slot, may_wait)?;
        let chunk = slot.chunk.take();
        if chunk.is_some() {
            self.is_untold.store(true, Ordering::Release);
        }
        Some(NewestPrediction {
            chunk,
            not_finite: slot.not_finite.clone(),
        })
    }

    #[cfg(test)]
    pub(super) fn in_hand(&self) -> MutexGuard<'_, NewestPrediction> {
        lock(&self.slot)
    }

    /// What control says of itself is about the chunk that it took last, from now on.
    pub fn told(&self) {
        self.is_untold.store(false, Ordering::Release);
    }

    /// Whether control took every chunk and told what became of it.
    pub fn is_done_with(&self) -> bool {
        lock(&self.slot).chunk.is_none() && !self.is_untold.load(Ordering::Acquire)
    }
}
