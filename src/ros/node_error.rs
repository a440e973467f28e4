//! Why the node does not run.

use crate::chrome_trace::ChromeTraceError;
use crate::parameters::ParameterProblem;
use crate::runtime::ConfigureError;

/// Why the node does not run.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error(transparent)]
    Trace(#[from] ChromeTraceError),
    #[error("the parameters do not fit:{}", ParameterProblem::list(.0))]
    Parameters(Vec<ParameterProblem>),
    #[error(transparent)]
    Configure(#[from] ConfigureError),
    #[error("ROS 2 does not understand the arguments: {0}")]
    Arguments(String),
    #[error("ROS 2 could not make {what}")]
    Ros { what: String, source: r2r::Error },
    #[error("the system could not provide {what}")]
    System {
        what: &'static str,
        source: std::io::Error,
    },
    #[error("the {0} thread exited unexpectedly (a bug); see the log above")]
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
