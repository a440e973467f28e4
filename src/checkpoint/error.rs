//! What can be wrong with a checkpoint.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// What is wrong with one tensor. Names are as the file has them, without a leading `model.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TensorProblem {
    Missing {
        name: String,
        expected: Vec<usize>,
    },
    Unexpected {
        name: String,
        found: Vec<usize>,
    },
    Shape {
        name: String,
        found: Vec<usize>,
        expected: Vec<usize>,
    },
    Dtype {
        name: String,
        found: String,
    },
    StoredTwice {
        name: String,
        also_as: String,
    },
}

impl TensorProblem {
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
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// A file that is missing, empty, truncated or not what its name says.
    #[error("{}: {problem}", path.display())]
    File { path: PathBuf, problem: String },
    #[error("{}: this is a checkpoint of the policy {found}, expected pi0", path.display())]
    OtherPolicy { path: PathBuf, found: String },
    #[error(
        "{}: the normalisation statistics are among the weights, as LeRobot before version 0.4 kept them; convert \
         the checkpoint with LeRobot's src/lerobot/processor/migrate_policy_normalization.py --pretrained-path {}",
        path.display(), path.display()
    )]
    BeforeProcessors { path: PathBuf },
    #[error("{}: the configuration cannot be used:{}", path.display(), list(problems))]
    Config { path: PathBuf, problems: Vec<String> },
    #[error(
        "{}: the weights do not fit the configuration, {} problems:{}", path.display(), problems.len(), list(problems)
    )]
    Tensors {
        path: PathBuf,
        problems: Vec<TensorProblem>,
    },
    #[error("{}: the normalisation statistics cannot be used:{}", path.display(), list(problems))]
    Statistics { path: PathBuf, problems: Vec<String> },
    #[error("{}", list(.0).trim_start())]
    Several(Vec<CheckpointError>),
}

/// Each item on a line of its own.
pub(crate) fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(|item| format!("\n  {item}")).collect()
}
