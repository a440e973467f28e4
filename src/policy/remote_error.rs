//! Failures of a policy on another machine.

/// Why a server gives no policy or no actions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// No connection, or one that broke.
    #[error("the server {server} is lost: {reason}")]
    Lost {
        /// Address of the server.
        server: String,
        /// Reason.
        reason: String,
    },
    /// An error in the server's words.
    #[error("the server {server} refused the observation: {reason}")]
    Refused {
        /// Address of the server.
        server: String,
        /// Words of the server.
        reason: String,
    },
    /// A server whose policy does not fit, or options that cannot be used.
    #[error("the server {server} cannot be used: {reason}")]
    Unfit {
        /// Address of the server.
        server: String,
        /// What was found, what was expected, and what to do.
        reason: String,
    },
}
