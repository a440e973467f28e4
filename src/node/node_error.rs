//! Why the node does not run.

use super::parameters::ParameterProblem;
use crate::chrome_trace::ChromeTraceError;
use crate::policy::{OpenError, PolicyError};

/// Why the node does not run, or is not configured.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error(transparent)]
    Trace(#[from] ChromeTraceError),
    #[error("the parameters do not fit:{}", list(.0))]
    Parameters(Vec<ParameterProblem>),
    #[error("no policy from the checkpoint {checkpoint}")]
    Policy { checkpoint: String, source: OpenError },
    #[error("the policy does not warm up")]
    WarmUp(#[source] PolicyError),
    #[error("ROS 2 does not understand the arguments: {0}")]
    Arguments(String),
    #[error("ROS 2 could not make {what}")]
    Ros { what: String, source: r2r::Error },
    #[error("the system could not provide {what}")]
    System {
        what: &'static str,
        source: std::io::Error,
    },
    #[error("the {0} thread ended by itself, which is a mistake in the program; its last words are above")]
    ThreadEnded(&'static str),
}

impl NodeError {
    pub(super) fn ros(what: &str, source: r2r::Error) -> Self {
        Self::Ros {
            what: what.to_owned(),
            source,
        }
    }
}

fn list(problems: &[ParameterProblem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}
