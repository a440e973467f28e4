//! An action chunk becomes a trajectory: at every tick, the points that are still ahead.
//!
//! Nothing here knows a clock: every call is told the time, as a duration since the epoch of the stamps of the
//! observations (the system's or a simulation's), so the same calls always give the same trajectory.

mod chunk_player;
mod controller;
mod hold;
mod limiter;
mod limits;
mod look_ahead;
mod plan;
mod progress;
mod safety;
mod seam;
mod stop;
mod supervisor;
mod tick_schedule;
mod timed_chunk;
mod window;

pub use chunk_player::{ChunkPlayer, ChunkRefusal, PlayerState};
pub use controller::{ControlSettings, Controller, Tick};
pub use hold::{Hold, HoldReason};
pub use limiter::Limiter;
pub use limits::JointLimits;
pub use plan::{Plan, TrajectoryPoint};
pub use seam::{ChunkOverlap, Seam};
pub use supervisor::{Command, InputWatch, Situation, SupervisionSettings, WatchedInput};
pub use tick_schedule::TickSchedule;
pub use timed_chunk::TimedChunk;
pub use window::Window;
