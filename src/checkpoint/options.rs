//! Choices of a user about what a checkpoint's folder does not tell.

use std::path::PathBuf;

/// Choices of a user about a checkpoint: by default none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckpointOptions {
    /// File of the tokenizer, or a folder with it; `None` to look for it.
    pub tokenizer: Option<PathBuf>,
}
