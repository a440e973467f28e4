//! What passes between inference and control: the newest chunk, and values that one thread sets and others read.

use crate::control::TimedChunk;
use crate::locking::Locking;
#[cfg(test)]
use crate::sync::MutexGuard;
use crate::sync::{AtomicBool, Mutex, Ordering};

/// A value that one thread sets and others read.
#[derive(Debug, Default)]
pub struct Shared<T>(Mutex<T>);

impl<T: Clone> Shared<T> {
    /// A value to share.
    pub fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Copy of the value.
    pub fn get(&self) -> T {
        self.0.lock().clone()
    }

    /// Brings a copy up to date; it stays as it is while another thread holds the lock and this one must not wait.
    pub fn refresh(&self, copy: &mut T, locking: Locking) {
        if let Some(value) = locking.lock(&self.0) {
            copy.clone_from(&value);
        }
    }

    #[cfg(test)]
    pub(super) fn locked(&self) -> MutexGuard<'_, T> {
        self.0.lock()
    }

    /// Sets the value.
    pub fn set(&self, value: T) {
        *self.0.lock() = value;
    }
}

/// A chunk, and the [resets](crate::observation::Clock::resets) of the clock that its observation had seen.
#[derive(Clone, Debug)]
pub struct NewChunk {
    /// The chunk.
    pub chunk: TimedChunk,
    /// Resets of the clock before its observation.
    pub clock_resets: u64,
}

/// The newest chunk that control has not taken yet.
#[derive(Debug, Default)]
pub struct ChunkSlot {
    slot: Mutex<NewestPrediction>,
    /// Whether control took a chunk that its report does not cover yet.
    report_pending: AtomicBool,
}

/// The result of the newest prediction that control has not taken yet.
#[derive(Debug, Default)]
pub struct NewestPrediction {
    /// The chunk; none without a new one.
    pub chunk: Option<NewChunk>,
    /// Why the prediction has no finite actions, if so.
    pub not_finite: Option<String>,
}

impl ChunkSlot {
    /// Puts a chunk in place of the one before.
    pub fn put(&self, chunk: NewChunk) {
        *self.slot.lock() = NewestPrediction {
            chunk: Some(chunk),
            not_finite: None,
        };
    }

    /// Puts in place of a chunk that a value of it was not a finite number, as `problem` describes.
    pub fn put_not_finite(&self, problem: String) {
        *self.slot.lock() = NewestPrediction {
            chunk: None,
            not_finite: Some(problem),
        };
    }

    /// Takes the chunk. None while another thread holds the lock and this one must not wait.
    pub fn take(&self, locking: Locking) -> Option<NewestPrediction> {
        let mut slot = locking.lock(&self.slot)?;
        let chunk = slot.chunk.take();
        if chunk.is_some() {
            self.report_pending.store(true, Ordering::Release);
        }
        Some(NewestPrediction {
            chunk,
            not_finite: slot.not_finite.clone(),
        })
    }

    #[cfg(test)]
    pub(super) fn locked(&self) -> MutexGuard<'_, NewestPrediction> {
        self.slot.lock()
    }

    /// Marks control's report as covering the chunk that it took last.
    pub fn report_published(&self) {
        self.report_pending.store(false, Ordering::Release);
    }

    /// Whether control has yet to take a chunk, or to report on the one that it took.
    pub fn is_pending(&self) -> bool {
        self.slot.lock().chunk.is_some() || self.report_pending.load(Ordering::Acquire)
    }
}
