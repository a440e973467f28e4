//! Problems of a checkpoint.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::hub::HubError;

/// Problem of one tensor. Names are those of the file, without a leading `model.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TensorProblem {
    /// A parameter that is not stored.
    Missing {
        /// Name of the tensor.
        name: String,
        /// Shape that the configuration demands.
        expected: Vec<usize>,
    },
    /// A tensor that the model does not have.
    Unexpected {
        /// Name of the tensor.
        name: String,
        /// Shape of the tensor.
        found: Vec<usize>,
    },
    /// A parameter of another shape.
    Shape {
        /// Name of the tensor.
        name: String,
        /// Shape of the tensor.
        found: Vec<usize>,
        /// Shape that the configuration demands.
        expected: Vec<usize>,
    },
    /// A tensor of another type than F32, BF16 or F16.
    Dtype {
        /// Name of the tensor.
        name: String,
        /// Type of the tensor.
        found: String,
    },
    /// A parameter that is stored under two names.
    StoredTwice {
        /// First name of the tensor.
        name: String,
        /// Second name of the tensor.
        also_as: String,
    },
}

impl TensorProblem {
    /// Name of the tensor.
    pub fn name(&self) -> &str {
        match self {
            Self::Missing { name, .. }
            | Self::Unexpected { name, .. }
            | Self::Shape { name, .. }
            | Self::Dtype { name, .. }
            | Self::StoredTwice { name, .. } => name,
        }
    }
}

impl fmt::Display for TensorProblem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Missing { name, expected } => write!(f, "{name}: missing, expected {expected:?}"),
            Self::Unexpected { name, found } => write!(f, "{name}: found {found:?}, expected no such tensor"),
            Self::Shape {
                name,
                found,
                expected,
            } => write!(f, "{name}: found {found:?}, expected {expected:?}"),
            Self::Dtype { name, found } => write!(f, "{name}: found {found}, expected F32, BF16 or F16"),
            Self::StoredTwice { name, also_as } => {
                write!(f, "{name}: found a second time as {also_as}, expected once")
            }
        }
    }
}

/// Why a folder is no checkpoint of π0.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file that cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Reason.
        source: io::Error,
    },
    /// A file that is missing, empty, truncated or of another format than its name says.
    #[error("{}: {problem}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Reason, in one sentence.
        problem: String,
    },
    /// A checkpoint of another policy.
    #[error("{}: this is a checkpoint of the policy {found}, expected pi0; {advice}", path.display())]
    OtherPolicy {
        /// Path of the folder.
        path: PathBuf,
        /// Name of the policy.
        found: String,
        /// Way out, in one sentence.
        advice: String,
    },
    /// An adapter, which changes the weights of another checkpoint.
    #[error(
        "{}: this is an adapter ({kind}) of the base {base}, expected whole weights; load it on its base in LeRobot, \
         merge it with peft's merge_and_unload() and give the folder of the merged policy", path.display()
    )]
    Adapter {
        /// Path of the folder.
        path: PathBuf,
        /// Kind of adapter, as peft names it.
        kind: String,
        /// Name or path of the checkpoint that it adapts.
        base: String,
    },
    /// A policy without normalisation statistics.
    #[error(
        "{}: the policy has no normalisation statistics, so it is a base model, or its statistics were lost; give a \
         policy that was fine-tuned on this robot, saved by LeRobot with the statistics of its data set", path.display()
    )]
    NoStatistics {
        /// Path of the folder.
        path: PathBuf,
    },
    /// Values of the configuration that are impossible or unknown.
    #[error("{}: the configuration cannot be used:{}", path.display(), list(problems))]
    Config {
        /// Path of the file.
        path: PathBuf,
        /// Every problem, a sentence each.
        problems: Vec<String>,
    },
    /// Weights of another configuration.
    #[error(
        "{}: the weights do not fit the configuration, {} problems:{}", path.display(), problems.len(), list(problems)
    )]
    Tensors {
        /// Path of the folder.
        path: PathBuf,
        /// Every problem.
        problems: Vec<TensorProblem>,
    },
    /// Normalisation statistics of another length or that are not finite, or steps around the model that π0 does
    /// not have.
    #[error("{}: the normalisation cannot be used:{}", path.display(), list(problems))]
    Statistics {
        /// Path of the folder.
        path: PathBuf,
        /// Every problem, a sentence each.
        problems: Vec<String>,
    },
    /// A model of the Hugging Face Hub that has no folder here.
    #[error(transparent)]
    Hub(#[from] Box<HubError>),
    /// Problems of several parts of the checkpoint.
    #[error("{}", list(.0).trim_start())]
    Several(Vec<CheckpointError>),
}

/// Formats each item on a line of its own.
pub(crate) fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(|item| format!("\n  {item}")).collect()
}
