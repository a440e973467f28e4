//! Checkpoints of LeRobot and openpi: weights, configuration, normalisation statistics, tokenizer.

mod error;

pub(crate) use error::list;
pub use error::{CheckpointError, TensorProblem};
