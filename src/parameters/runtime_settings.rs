//! The settings that can change while the node runs.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use crate::control::{Blending, ControlSettings};
use crate::policy::VisionRefresh;

/// What can be changed about the playing of chunks while it goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct RuntimeSettings {
    /// Time from one tick to the next.
    pub control_period: Duration,
    /// Time from one action of the next chunk to the next, at the speed of play.
    pub action_period: Duration,
    /// Actions of the next chunk that are played before the robot is observed again; none for half of them.
    pub execution_horizon: Option<NonZeroUsize>,
    /// How the next chunk takes over.
    pub blending: Blending,
    /// Settings of control: limits, holds, look-ahead.
    pub control: ControlSettings,
    /// Cameras whose frames the policy looks at less often than it infers. Shared, for control copies the settings at every
    /// tick.
    pub vision_refresh: Arc<VisionRefresh>,
    /// Euler steps from noise to actions; none for the checkpoint's number.
    pub denoise_steps: Option<NonZeroUsize>,
    /// Goals of the action that runs the policy.
    pub goals: GoalSettings,
    /// Time by which every chunk is held back after its inference, for measurements.
    pub added_inference_latency: Duration,
}

/// Which goals of the action are accepted, and when their runs end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GoalSettings {
    /// Treatment of a goal that comes while another runs.
    pub second_goal: SecondGoal,
    /// Whether a run ends when its client is not on the network any more.
    pub needs_client: bool,
    /// Longest hold of a run, in wall time; none for no limit.
    pub hold_limit: Option<Duration>,
}

/// Treatment of a goal that comes while another runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecondGoal {
    /// It is rejected.
    #[default]
    Refuse,
    /// It takes the place of the one that runs.
    Replace,
}
