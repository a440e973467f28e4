//! An observation becomes an action chunk in the robot's units.

mod chunk;

pub use chunk::{ActionChunk, Observation};
