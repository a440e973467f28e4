//! What inference and control share.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::time::Duration;

use super::lock;
use crate::control::{ControlSettings, Seam, TimedChunk};

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
}

/// A value that one thread sets and others read.
#[derive(Debug)]
pub struct Shared<T>(Mutex<T>);

impl<T: Clone> Shared<T> {
    pub fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub fn get(&self) -> T {
        lock(&self.0).clone()
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
pub struct ChunkSlot(Mutex<Slot>);

#[derive(Debug, Default)]
struct Slot {
    chunk: Option<NewChunk>,
    not_finite: Option<String>,
}

impl ChunkSlot {
    pub fn put(&self, chunk: NewChunk) {
        *lock(&self.0) = Slot {
            chunk: Some(chunk),
            not_finite: None,
        };
    }

    /// Instead of a chunk: a value of it was no finite number, as `problem` says.
    pub fn put_not_finite(&self, problem: String) {
        *lock(&self.0) = Slot {
            chunk: None,
            not_finite: Some(problem),
        };
    }

    pub fn take(&self) -> Option<NewChunk> {
        lock(&self.0).chunk.take()
    }

    /// Why the newest prediction has no finite actions, if so.
    pub fn not_finite(&self) -> Option<String> {
        lock(&self.0).not_finite.clone()
    }

    pub fn is_empty(&self) -> bool {
        lock(&self.0).chunk.is_none()
    }
}
