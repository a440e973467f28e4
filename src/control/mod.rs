//! An action chunk becomes a trajectory: at every tick, the points that are still ahead.
//!
//! Nothing here knows a clock: every call gets the time, as a duration since the epoch of the stamps of the
//! observations (the system's or a simulation's), so the same calls always give the same trajectory.

mod action_prefix;
mod axes;
mod axis_layout;
mod blending;
mod chunk_player;
mod chunk_refusal;
mod controller;
mod hold;
mod interpolation;
mod limiter;
mod limits;
mod next_velocity;
mod observation_schedule;
mod output_topics;
mod plan;
mod progress;
mod robot_description;
mod safety;
mod scheduled_chunk;
mod stop;
mod supervisor;
mod takeover;
mod tick_schedule;
mod timed_chunk;
mod trajectory;
mod twist;
mod waypoint_velocities;

pub use axes::Axes;
pub use axis_layout::AxisLayout;
pub use blending::{Blending, BlendingStrategy, RtcMode};
pub use chunk_player::{ChunkPlayer, PlayerState};
pub use chunk_refusal::ChunkRefusal;
pub use controller::{ControlSettings, Controller, Tick};
pub use hold::{Hold, HoldReason};
pub use interpolation::lerp;
pub use limiter::Limiter;
pub use limits::JointLimits;
pub use observation_schedule::ObservationSchedule;
pub use output_topics::{OutputKind, OutputTopic};
pub use plan::Plan;
pub use robot_description::{DescribedLimits, DescriptionProblem, joint_limits};
pub use supervisor::{Command, InputRole, MonitoredInput, SafetyInputs, SupervisionSettings, Takeover};
pub use tick_schedule::TickSchedule;
pub use timed_chunk::TimedChunk;
pub use trajectory::{Trajectory, TrajectoryPoint, TrajectorySettings};
pub use twist::TwistSettings;
