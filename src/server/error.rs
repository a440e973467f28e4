//! Failures of the server.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// An address that cannot be listened on.
    #[error("{address} cannot be listened on: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Reason.
        source: io::Error,
    },
    /// An address that others reach, without a key.
    #[error(
        "{0} is reached from other machines, and nobody is asked for a key: give an API key file, or say that none is wanted"
    )]
    OpenToAll(SocketAddr),
    /// A file that cannot be read.
    #[error("{} cannot be read: {source}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Reason.
        source: io::Error,
    },
    /// A key that is too short to be one.
    #[error("{} has a key of {length} bytes, expected at least {shortest}", .file.display())]
    ShortKey {
        /// The file.
        file: PathBuf,
        /// Bytes of the key.
        length: usize,
        /// Bytes of the shortest one.
        shortest: usize,
    },
    /// Certificates or a private key that cannot be used.
    #[error("the certificate {} with the key {} cannot be used: {reason}", .certificate.display(), .key.display())]
    Certificate {
        /// File of the certificates.
        certificate: PathBuf,
        /// File of the private key.
        key: PathBuf,
        /// Reason.
        reason: String,
    },
    /// A thread that the system does not have.
    #[error("the system could not provide a thread: {0}")]
    Thread(io::Error),
    /// The end of the thread that predicts.
    #[error("the thread of the policy has ended, see its panic above")]
    PolicyEnded,
}
