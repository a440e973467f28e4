//! Why the node does not run.

use crate::chrome_trace::ChromeTraceError;
use crate::parameters::ParameterProblem;
use crate::runtime::ConfigureError;

/// Why the node does not run.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Chrome trace that cannot be written.
    #[error(transparent)]
    Trace(#[from] ChromeTraceError),
    /// Parameters that do not fit.
    #[error("the parameters do not fit:{}", ParameterProblem::list(.0))]
    Parameters(Vec<ParameterProblem>),
    /// Policy that cannot be configured.
    #[error(transparent)]
    Configure(#[from] ConfigureError),
    /// Arguments that ROS 2 does not understand.
    #[error("ROS 2 does not understand the arguments: {0}")]
    Arguments(String),
    /// Failure of ROS 2.
    #[error("ROS 2 could not make {what}")]
    Ros {
        /// Entity that could not be made.
        what: String,
        /// Error of ROS 2.
        source: r2r::Error,
    },
    /// Failure of the operating system.
    #[error("the system could not provide {what}")]
    System {
        /// Resource that could not be provided.
        what: &'static str,
        /// Error of the system.
        source: std::io::Error,
    },
    /// Thread that exited unexpectedly, by its name.
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
