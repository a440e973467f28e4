//! Recordings of a robot: read, replayed to a policy, and compared with what the policy predicts.

pub mod bag;
pub mod cdr;
mod compare;
mod evaluation;
mod files;
mod html;
mod live;
mod many;
pub mod messages;
mod metrics;
mod pictures;
mod plots;
mod predictions_file;
mod recorded_actions;
mod replayer;
mod result;
mod table;
mod topics;

pub use compare::{Comparison, Difference};
pub use evaluation::{EvaluationError, EvaluationOptions, Look, Prediction, evaluate};
pub use files::{FileError, write_whole};
pub use html::{index, page};
pub use live::{LiveRun, Missed};
pub use many::{find_bags, fingerprint, finished, result_name, run_processes};
pub use pictures::{Moment, Pictures, WorstPrediction};
pub use predictions_file::PredictionsFile;
pub use recorded_actions::Between;
pub use replayer::{ReplayOptions, ReplaySummary, Sample, replay};
pub use result::{
    Accuracy, BadMessages, BagResult, JointAccuracy, LossAtTime, RecordingFound, Report, Spread,
    StepAccuracy, Timing, UsedSettings,
};
pub use topics::{ActionSource, BagTopics, Role, TopicProblem};
