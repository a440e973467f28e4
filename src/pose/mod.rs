//! Poses: positions and rotations in three dimensions, and the numbers that datasets write rotations as.

mod representation;
mod rigid;
mod rotation;

pub use representation::{PositionAxes, RotationRepresentation};
pub use rigid::{POSE_VALUE_NAMES, POSE_VALUES, Pose};
pub use rotation::Rotation;
pub(crate) use rotation::length;
