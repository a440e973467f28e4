//! What inference and control share.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::time::Duration;

use super::lock;
use crate::control::TimedChunk;

/// What can be changed about the playing of chunks while it goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlaybackSettings {
    /// Time from one tick to the next.
    pub control_period: Duration,
    /// Time from one action of the next chunk to the next.
    pub action_period: Duration,
    /// Actions of the next chunk that are played before the robot is observed again; none for half of them.
    pub actions_to_execute: Option<NonZeroUsize>,
    /// Points of a trajectory at most.
    pub publish_horizon: NonZeroUsize,
}

/// A value that one thread sets and others read.
#[derive(Debug)]
pub struct Shared<T>(Mutex<T>);

impl<T: Copy> Shared<T> {
    pub fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub fn get(&self) -> T {
        *lock(&self.0)
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
pub struct ChunkSlot(Mutex<Option<NewChunk>>);

impl ChunkSlot {
    pub fn put(&self, chunk: NewChunk) {
        *lock(&self.0) = Some(chunk);
    }

    pub fn take(&self) -> Option<NewChunk> {
        lock(&self.0).take()
    }

    pub fn is_empty(&self) -> bool {
        lock(&self.0).is_none()
    }
}
