//! Evaluation of a policy on recordings: bags are replayed through the node's own inputs, and predictions are compared with
//! the recorded actions.

pub mod bag;
pub mod cdr;
pub mod messages;

mod accuracy;
mod batch;
mod compare;
mod evaluate;
mod fingerprint;
mod metrics;
mod playback_estimate;
mod recorded_actions;
mod replayer;
mod report;
mod sightings;
mod topics;

pub use accuracy::{Accuracy, Direction, Errors, JointAccuracy, LossAtTime, Metric};
pub use batch::{Batch, BatchError, Progress, find_bags};
pub use compare::{Comparison, Difference};
pub use evaluate::{EvaluationError, EvaluationOptions, Prediction, PredictionObserver, evaluate};
pub use fingerprint::fingerprint;
pub use recorded_actions::Between;
pub use replayer::{ReplayOptions, ReplaySummary, ReplayedObservation, replay};
pub use report::{
    BadMessages, BagResult, FileError, RecordingFound, Report, ReportFiles, Timing, UsedSettings,
};
pub use sightings::sightings;
pub use topics::{ActionSource, BagTopics, Role, TopicProblem};
