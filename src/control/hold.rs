//! Why the robot is held.

/// What keeps the robot where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HoldReason {
    /// The managed node is not active.
    Inactive,
    Disabled,
    Stopped,
    NotFinite,
    StaleJointStates,
    StaleCamera,
    StaleInput,
    RunTimeOver,
    StartJump,
    /// Nothing was played yet since the start or a reset.
    NoChunkYet,
    ChunkSpent,
}

impl HoldReason {
    /// The same in every release.
    pub fn code(self) -> &'static str {
        match self {
            Self::Inactive => "INACTIVE",
            Self::Disabled => "DISABLED",
            Self::Stopped => "STOPPED",
            Self::NotFinite => "NOT_FINITE",
            Self::StaleJointStates => "STALE_JOINT_STATES",
            Self::StaleCamera => "STALE_CAMERA",
            Self::StaleInput => "STALE_INPUT",
            Self::RunTimeOver => "RUN_TIME_OVER",
            Self::StartJump => "START_JUMP",
            Self::NoChunkYet => "NO_CHUNK_YET",
            Self::ChunkSpent => "CHUNK_SPENT",
        }
    }

    /// Whether it ends with the next chunk that can be played. The others end when their cause does, and only then is
    /// the robot observed again.
    pub fn ends_with_a_chunk(self) -> bool {
        match self {
            Self::NotFinite | Self::StartJump | Self::NoChunkYet | Self::ChunkSpent => true,
            Self::Inactive
            | Self::Disabled
            | Self::Stopped
            | Self::StaleJointStates
            | Self::StaleCamera
            | Self::StaleInput
            | Self::RunTimeOver => false,
        }
    }
}

/// A hold, and what it is about in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub reason: HoldReason,
    pub detail: String,
}

impl Hold {
    pub fn new(reason: HoldReason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }
}

impl std::fmt::Display for Hold {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.reason.code(), self.detail)
    }
}
