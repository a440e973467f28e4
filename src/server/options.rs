//! Choices of a user about the server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::access::ApiKey;
use crate::protocol::{MAX_MESSAGE_BYTES, ObservationKeys};

/// Choices of a user about the server.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Address to listen on; port 0 is any that is free.
    pub address: SocketAddr,
    /// Under which names the parts of an observation are.
    pub keys: ObservationKeys,
    /// Prompt of observations that have none.
    pub default_prompt: Option<String>,
    /// Key that clients have to know.
    pub api_key: Option<ApiKey>,
    /// Whether nobody needs a key on an address that other machines reach.
    pub is_open_to_all: bool,
    /// Files of the certificates and of the private key for TLS.
    pub tls_files: Option<(PathBuf, PathBuf)>,
    /// Most clients at once.
    pub max_clients: usize,
    /// Most observations that wait for the policy.
    pub queue: usize,
    /// Longest message, in bytes.
    pub max_message_bytes: usize,
    /// Longest time for a client's request, for one of its messages to arrive or for an answer to leave, and of its silence.
    pub client_patience: Duration,
}

impl ServerOptions {
    /// A server of this machine alone, on openpi's port.
    pub fn new(keys: ObservationKeys) -> Self {
        Self {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8000),
            keys,
            default_prompt: None,
            api_key: None,
            is_open_to_all: false,
            tls_files: None,
            max_clients: 16,
            queue: 16,
            max_message_bytes: MAX_MESSAGE_BYTES,
            client_patience: Duration::from_secs(30),
        }
    }
}
