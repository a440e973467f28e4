//! An action chunk becomes a trajectory: at every tick, the points that are still ahead.
//!
//! Nothing here knows a clock: every call is told the time, as a duration since the epoch of the stamps of the
//! observations (the system's or a simulation's), so the same calls always give the same trajectory.

mod chunk_player;
mod tick_schedule;
mod window;

pub use chunk_player::{ChunkPlayer, ChunkRefusal, PlayerState, TimedChunk, TrajectoryPoint};
pub use tick_schedule::TickSchedule;
pub use window::Window;
