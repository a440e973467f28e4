//! Hold reasons: why the robot stands still.

/// Reason to hold the robot, in order of decreasing priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HoldReason {
    /// The managed node is not active.
    Inactive,
    /// `~/enable` with false was called, or `auto_start` is false.
    Disabled,
    /// `~/stop` was called.
    Stopped,
    /// `~/takeover` was called, or the robot was moved by hand: somebody else moves it.
    Takeover,
    /// `~/reset` was called, and the robot comes to rest before everything is forgotten.
    Reset,
    /// Another publisher is on a topic that moves the robot.
    OtherPublisher,
    /// The limits of a joint cannot be kept or are not known.
    InvalidLimits,
    /// A joint is beyond its position limits, and must not move back by itself.
    OutsideLimits,
    /// A measured position, an extra state or an action is not a finite number.
    NotFinite,
    /// No good joint position for longer than `max_age_ms`.
    StaleJointStates,
    /// No good frame of a camera for longer than `max_age_ms`.
    StaleCamera,
    /// No good message of another input for longer than `max_age_ms`.
    StaleInput,
    /// The server of the policy is lost.
    ServerLost,
    /// A joint does not follow its command.
    FollowingError,
    /// The prompt moved the robot for `max_run_time_s`.
    RunTimeOver,
    /// The run of an action goal is over, and no prompt came since.
    GoalOver,
    /// The first commanded position is too far from the measured one.
    StartJump,
    /// The policy leads a pose beyond its workspace, and the robot is at its edge.
    WorkspaceEdge,
    /// No chunk was played since the start or a reset.
    NoChunkYet,
    /// Every action is played and no other chunk arrived.
    ChunkSpent,
}

impl HoldReason {
    /// Every reason, in order of decreasing priority.
    pub const ALL: [Self; 20] = [
        Self::Inactive,
        Self::Disabled,
        Self::Stopped,
        Self::Takeover,
        Self::Reset,
        Self::OtherPublisher,
        Self::InvalidLimits,
        Self::OutsideLimits,
        Self::NotFinite,
        Self::StaleJointStates,
        Self::StaleCamera,
        Self::StaleInput,
        Self::ServerLost,
        Self::FollowingError,
        Self::RunTimeOver,
        Self::GoalOver,
        Self::StartJump,
        Self::WorkspaceEdge,
        Self::NoChunkYet,
        Self::ChunkSpent,
    ];

    /// Stable name of the reason, for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Inactive => "INACTIVE",
            Self::Disabled => "DISABLED",
            Self::Stopped => "STOPPED",
            Self::Takeover => "TAKEOVER",
            Self::Reset => "RESET",
            Self::OtherPublisher => "OTHER_PUBLISHER",
            Self::InvalidLimits => "INVALID_LIMITS",
            Self::OutsideLimits => "OUTSIDE_LIMITS",
            Self::NotFinite => "NOT_FINITE",
            Self::StaleJointStates => "STALE_JOINT_STATES",
            Self::StaleCamera => "STALE_CAMERA",
            Self::StaleInput => "STALE_INPUT",
            Self::ServerLost => "SERVER_LOST",
            Self::FollowingError => "FOLLOWING_ERROR",
            Self::RunTimeOver => "RUN_TIME_OVER",
            Self::GoalOver => "GOAL_OVER",
            Self::StartJump => "START_JUMP",
            Self::WorkspaceEdge => "WORKSPACE_EDGE",
            Self::NoChunkYet => "NO_CHUNK_YET",
            Self::ChunkSpent => "CHUNK_SPENT",
        }
    }

    /// Whether it ends with the next chunk that can be played. The others end when their cause does, and only then is
    /// the robot observed again.
    pub fn ends_with_a_chunk(self) -> bool {
        match self {
            Self::NotFinite | Self::StartJump | Self::WorkspaceEdge | Self::NoChunkYet | Self::ChunkSpent => {
                true
            }
            Self::Inactive
            | Self::Disabled
            | Self::Stopped
            | Self::Takeover
            | Self::Reset
            | Self::OtherPublisher
            | Self::InvalidLimits
            | Self::OutsideLimits
            | Self::StaleJointStates
            | Self::StaleCamera
            | Self::StaleInput
            | Self::ServerLost
            | Self::FollowingError
            | Self::RunTimeOver
            | Self::GoalOver => false,
        }
    }

    /// Whether it lasts until somebody moves the robot, sets other limits, or gives another prompt.
    pub fn needs_somebody(self) -> bool {
        matches!(
            self,
            Self::InvalidLimits | Self::OutsideLimits | Self::RunTimeOver | Self::GoalOver
        )
    }
}

/// A hold: its reason, and the details in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Reason of the hold.
    pub reason: HoldReason,
    /// Details in words.
    pub detail: String,
}

impl Hold {
    /// A hold for this reason, with its details in words.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_every_reason_the_gravest_first() {
        assert!(HoldReason::ALL.is_sorted());
        let documentation = include_str!("../../docs/control.md");
        let rows = documentation
            .split("## ")
            .find(|part| part.starts_with("When the robot is held"));
        let rows = rows.unwrap().lines().filter_map(|line| line.strip_prefix("| `"));
        let codes: Vec<&str> = rows.filter_map(|row| Some(row.split_once('`')?.0)).collect();
        assert_eq!(codes, HoldReason::ALL.map(HoldReason::code));
    }
}
