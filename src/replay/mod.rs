//! Recordings of a robot: read, replayed to a policy, and compared with what the policy predicts.

pub mod bag;
pub mod cdr;
pub mod messages;
mod recorded_actions;
mod replayer;
mod topics;

pub use recorded_actions::Between;
pub use replayer::{ReplayOptions, ReplaySummary, Sample, replay};
pub use topics::{ActionSource, BagTopics, Role, TopicProblem};
