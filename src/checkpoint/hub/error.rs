//! Problems with models of the hub.

use std::io;
use std::path::PathBuf;

/// Why there is no folder of a model of the hub.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// A name that neither a folder nor a model has.
    #[error(
        "{model}: there is no folder of this name, and no model of this name on {endpoint}{}; check the name{}",
        if *.has_token { " that this token may read" } else { "" },
        if *.has_token { "" } else { ", or set HF_TOKEN if the model is private" }
    )]
    NotFound {
        /// Name of the model.
        model: String,
        /// Address of the hub.
        endpoint: String,
        /// Whether the request had a token.
        has_token: bool,
    },
    /// A model without this branch, tag or commit.
    #[error(
        "{repository} has no branch, tag or commit {revision:?} on {endpoint}; give one that it has, a commit in full"
    )]
    NoRevision {
        /// Owner and name of the model.
        repository: String,
        /// Revision that was given.
        revision: String,
        /// Address of the hub.
        endpoint: String,
    },
    /// A model whose licence this user has not accepted.
    #[error(
        "{model} is gated: accept its licence at {endpoint}/{repository}, then set HF_TOKEN to a token of that account{}",
        if *.has_token { " (the present token has no access)" } else { " (or run `hf auth login`)" }
    )]
    Gated {
        /// Name of the model.
        model: String,
        /// Owner and name of the model.
        repository: String,
        /// Address of the hub.
        endpoint: String,
        /// Whether the request had a token.
        has_token: bool,
    },
    /// A token that the hub does not accept.
    #[error(
        "{model}: {endpoint} refuses the token ({status}: {reason}); set HF_TOKEN to a valid one, or to none"
    )]
    Token {
        /// Name of the model.
        model: String,
        /// Address of the hub.
        endpoint: String,
        /// HTTP status.
        status: u16,
        /// The hub's message.
        reason: String,
    },
    /// A hub that does not answer, or not as one.
    #[error(
        "{model}: there is no folder of this name, the hub's cache {} has not all of the model, and {endpoint} cannot be \
         reached: {reason}", cache.display()
    )]
    Unreachable {
        /// Name of the model.
        model: String,
        /// Address of the hub.
        endpoint: String,
        /// Folder of the cache.
        cache: PathBuf,
        /// Reason.
        reason: String,
    },
    /// A model that is not in the cache while nothing may be downloaded.
    #[error(
        "{model}: there is no folder of this name, the hub's cache {} has not all of the model, and {reason}; get it with \
         `{command}`", cache.display()
    )]
    NotCached {
        /// Name of the model.
        model: String,
        /// Folder of the cache.
        cache: PathBuf,
        /// Why nothing is downloaded.
        reason: String,
        /// Command that downloads the model.
        command: String,
    },
    /// A repository without the weights of a policy.
    #[error(
        "{model} has no weights in safetensors, expected a policy saved by LeRobot or openpi; its files: {files}"
    )]
    NoPolicy {
        /// Name of the model.
        model: String,
        /// Files of the repository.
        files: String,
    },
    /// A listing or header that no hub has.
    #[error("{model}: {endpoint} does not answer as a hub does: {problem}")]
    Answer {
        /// Name of the model.
        model: String,
        /// Address of the hub.
        endpoint: String,
        /// Problem, in one sentence.
        problem: String,
    },
    /// A file that did not arrive whole in several attempts.
    #[error(
        "{model}: the transfer of {file} breaks off, {attempts} times in a row without a byte: {reason}; what has \
             arrived is kept, the next start goes on from there"
    )]
    Transfer {
        /// Name of the model.
        model: String,
        /// File within the repository.
        file: String,
        /// Attempts in a row that brought nothing.
        attempts: u32,
        /// Reason of the last one.
        reason: String,
    },
    /// A file with other content than the hub has.
    #[error(
        "{model}: {file} arrived damaged, {what} is {found}, expected {expected}; it was removed, start again"
    )]
    Damaged {
        /// Name of the model.
        model: String,
        /// File within the repository.
        file: String,
        /// What differs.
        what: &'static str,
        /// Size or hash of the content.
        found: String,
        /// Size or hash that the hub states.
        expected: String,
    },
    /// A cache that cannot be written.
    #[error(
        "{model}: {} cannot be written: {source}; make room or give access, or set HF_HUB_CACHE to another folder",
        path.display()
    )]
    Cache {
        /// Name of the model.
        model: String,
        /// File or folder of the cache.
        path: PathBuf,
        /// Reason.
        source: io::Error,
    },
}
