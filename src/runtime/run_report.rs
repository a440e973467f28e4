//! What a run tells: how far it is, and how it ended.

use std::time::Duration;

use super::node_state::NodeState;
use crate::control::Hold;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Termination {
    /// A success condition was met.
    Completed,
    /// Its longest duration is over.
    Timeout,
    /// Its client cancelled it.
    Cancelled,
    /// `~/stop`, or `~/enable` with false.
    Stopped,
    /// The node became inactive.
    NodeDeactivated,
    /// The robot is held, for too long or for good.
    Held,
    /// Another run took its place.
    Replaced,
    /// Another prompt took its place.
    PromptChanged,
    /// Its client is gone.
    ClientGone,
}

impl Termination {
    /// Every termination.
    pub const ALL: [Self; 9] = [
        Self::Completed,
        Self::Timeout,
        Self::Cancelled,
        Self::Stopped,
        Self::NodeDeactivated,
        Self::Held,
        Self::Replaced,
        Self::PromptChanged,
        Self::ClientGone,
    ];

    /// The constant of the action that programs compare with.
    pub fn code(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Stopped => "stopped",
            Self::NodeDeactivated => "node_deactivated",
            Self::Held => "held",
            Self::Replaced => "replaced",
            Self::PromptChanged => "prompt_changed",
            Self::ClientGone => "client_gone",
        }
    }

    /// Whether the robot goes on with another task, without coming to rest.
    pub(super) fn hands_over(self) -> bool {
        matches!(self, Self::Replaced | Self::PromptChanged)
    }
}

/// What was done in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RunCounts {
    /// Chunks that were inferred.
    pub chunks: u64,
    /// Chunks that control did not play.
    pub refused_chunks: u64,
    /// Actions that were played; the one that is played counts in part.
    pub played_actions: f64,
}

impl RunCounts {
    /// The counts since the node's start.
    pub(super) fn of(state: &NodeState) -> Self {
        let chunks = state.inference.lock().chunks;
        let control = state.control.lock();
        Self {
            chunks,
            refused_chunks: control.refused_chunks,
            played_actions: control.played_actions,
        }
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self {
            // A policy that is configured anew counts from 0.
            chunks: self.chunks.saturating_sub(before.chunks),
            refused_chunks: self.refused_chunks.saturating_sub(before.refused_chunks),
            played_actions: self.played_actions - before.played_actions,
        }
    }
}

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunStatus {
    /// Nothing has been played yet.
    Waiting,
    /// A chunk is played.
    Playing,
    /// The robot is held.
    Holding,
    /// The run has ended, and the robot comes to rest.
    Stopping,
}

impl RunStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Playing, Self::Holding, Self::Stopping];

    /// The constant of the action that programs compare with.
    pub fn code(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Playing => "playing",
            Self::Holding => "holding",
            Self::Stopping => "stopping",
        }
    }
}

/// State of a run that goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct RunProgress {
    /// What it is doing.
    pub status: RunStatus,
    /// Why the robot is held, while it is.
    pub hold: Option<Hold>,
    /// ROS time since its beginning.
    pub elapsed: Duration,
    /// What was done so far.
    pub counts: RunCounts,
    /// Actions of the current chunk that are still to be played.
    pub queued_actions: usize,
    /// Time since the observation of its newest chunk; none before the first one.
    pub chunk_age: Option<Duration>,
    /// Time since the newest good message of each input but the prompt, by its kind in words; none before the first one.
    pub input_ages: Vec<(String, Option<Duration>)>,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunOutcome {
    /// How it ended.
    pub termination: Termination,
    /// The same in words.
    pub message: String,
    /// ROS time from its beginning to its end.
    pub elapsed: Duration,
    /// What was done.
    pub counts: RunCounts,
}
