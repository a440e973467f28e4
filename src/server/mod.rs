//! A policy over the network: a server of openpi's WebSocket protocol ([`crate::protocol`]).
//!
//! One thread has the policy and predicts in the order of the observations; a queue with a bound is before it. Every client
//! has its own caches and noise. Clients are served on tokio, which decodes their messages.

mod access;
mod client;
mod error;
mod http_head;
mod listener;
mod options;
mod policy_thread;
mod shared;
mod tls;

pub use access::ApiKey;
pub use error::ServerError;
pub use listener::Server;
pub use options::ServerOptions;
