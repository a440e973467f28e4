//! Report of an evaluation: its content, and the forms in which it is written.
//!
//! Everything but `timing` and `settings.threads` is the same whenever the same bag, checkpoint and parameters are
//! evaluated, on any number of threads.

mod facts;
mod file;
mod html;
mod json;
mod parquet;
mod pictures;
mod plots;
mod table;
mod writer;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use file::FileError;
pub use writer::{ReportFiles, ReportWriter};

pub(super) use facts::number;

use super::accuracy::Accuracy;
use crate::statistics::Summary;

/// Format of the JSON files; grows when a key changes its name or its meaning.
pub const FORMAT: u32 = 2;

/// Results of one bag or of several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`] of the program that made it.
    pub format: u32,
    /// Hash of everything that the result of a single bag depends on, see [`fingerprint`](super::fingerprint).
    pub fingerprint: Option<String>,
    /// Results in the order of the bags.
    pub bags: Vec<BagResult>,
    /// Accuracy over all bags: every mean is weighted by what it was taken over.
    pub combined: Accuracy,
}

/// Result of one bag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BagResult {
    /// Path of the bag.
    pub bag: String,
    /// Settings of the evaluation.
    pub settings: UsedSettings,
    /// Content of the bag.
    pub recording: RecordingFound,
    /// Accuracy of the predictions.
    pub accuracy: Accuracy,
    /// Speed of the evaluation.
    pub timing: Timing,
}

/// Settings that an evaluation was made with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsedSettings {
    /// Description of the policy and its device.
    pub policy: String,
    /// Seed of the noise.
    pub seed: u64,
    /// Threads of the CPU device; 0 is one for each core.
    pub threads: usize,
    /// Commanded joints.
    pub joints: Vec<String>,
    /// Topics of the recorded actions, separated by commas.
    pub actions_topic: String,
    /// Actions per second.
    pub action_rate_hz: f64,
    /// Control ticks per second.
    pub control_rate_hz: f64,
    /// Actions of a chunk.
    pub action_horizon: usize,
    /// Actions from one observation to the next.
    pub execution_horizon: usize,
}

/// Content of a bag.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecordingFound {
    /// Seconds from the first message to the last one.
    pub duration_s: f64,
    /// Messages on the topics that were read.
    pub messages: u64,
    /// Images that were decoded.
    pub images: u64,
    /// Jumps back in time.
    pub clock_resets: u64,
    /// Messages that could not be used, by topic.
    pub bad_messages: BTreeMap<String, BadMessages>,
    /// Seconds by which the frame of each camera was older than the joint positions.
    pub camera_age_s: BTreeMap<String, Summary>,
    /// Observations without a prediction, or without a loss.
    pub failed_predictions: u64,
    /// Reason of the first failure.
    pub first_failure: Option<String>,
    /// Remarks on the choice of topics and metrics.
    pub notes: Vec<String>,
    /// Problems of the bag.
    pub warnings: Vec<String>,
}

/// Messages of a topic that could not be used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BadMessages {
    /// Number of the messages.
    pub count: u64,
    /// Problem of the first one.
    pub first_problem: String,
}

/// Speed of an evaluation on the machine that made it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Seconds for everything.
    pub wall_s: f64,
    /// Milliseconds from an observation to its chunk.
    pub chunk_ms: Summary,
    /// Milliseconds of each stage of a chunk.
    pub stages_ms: BTreeMap<String, Summary>,
    /// Images per second that the reading thread read and decoded.
    pub images_read_per_s: Option<f64>,
    /// Share of control ticks, after the first chunk of a live run at this speed, at which the robot would have held still for
    /// want of an action.
    pub ticks_without_action: Option<f64>,
    /// Share of camera frames that a live run at this speed would have skipped.
    pub frames_not_used: Option<f64>,
}

impl Report {
    /// Creates the report of several bags.
    pub fn new(bags: Vec<BagResult>) -> Self {
        let parts: Vec<&Accuracy> = bags.iter().map(|bag| &bag.accuracy).collect();
        Self {
            format: FORMAT,
            fingerprint: None,
            combined: Accuracy::combined(&parts),
            bags,
        }
    }
}

impl UsedSettings {
    /// Names of the settings that differ and make two results hard to compare.
    pub(super) fn differing(&self, other: &Self) -> Vec<&'static str> {
        let settings = [
            ("actions_topic", self.actions_topic == other.actions_topic),
            ("joints", self.joints == other.joints),
            ("action_rate_hz", self.action_rate_hz == other.action_rate_hz),
            ("action_horizon", self.action_horizon == other.action_horizon),
            (
                "execution_horizon",
                self.execution_horizon == other.execution_horizon,
            ),
            ("seed", self.seed == other.seed),
        ];
        let differing = settings.into_iter().filter(|(_, is_same)| !is_same);
        differing.map(|(name, _)| name).collect()
    }
}
