//! What the tasks of all clients share.

use std::sync::atomic::AtomicU64;

use tokio::sync::Semaphore;

use super::options::ServerOptions;
use super::policy_thread::PolicyQueue;

/// What every client's task needs.
pub(super) struct Shared {
    pub options: ServerOptions,
    /// The first message to every client.
    pub metadata: Vec<u8>,
    pub queue: PolicyQueue,
    /// Values of an action.
    pub action_dim: usize,
    /// A place for each client that may be connected.
    pub clients: Semaphore,
    pub next_client: AtomicU64,
}
