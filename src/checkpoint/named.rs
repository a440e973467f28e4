//! Names of checkpoints: a folder, or a model of the Hugging Face Hub.

use std::path::{Path, PathBuf};

use super::error::CheckpointError;
use super::hub::{Hub, ModelId};

/// Finds the folder of a checkpoint that is named by its path, or as `owner/name` or `owner/name@revision` on
/// the Hugging Face Hub. A folder that exists is always the one that is meant, and needs no network; a model is
/// downloaded if the hub's cache has not all of it, which can take minutes.
///
/// # Errors
/// When there is neither such a folder nor such a model, or it cannot be downloaded.
pub fn folder_of(checkpoint: impl AsRef<Path>) -> Result<PathBuf, CheckpointError> {
    let checkpoint = checkpoint.as_ref();
    if checkpoint.is_dir() {
        return Ok(checkpoint.to_owned());
    }
    let model = checkpoint
        .to_str()
        .and_then(ModelId::parse)
        .filter(|_| !checkpoint.exists());
    match model {
        Some(model) => Ok(Hub::from_environment().find(&model)?),
        None => Err(CheckpointError::File {
            path: checkpoint.to_owned(),
            problem: "no such folder, expected that of a checkpoint, or owner/name or owner/name@revision for a model of the \
                      Hugging Face Hub"
                .to_owned(),
        }),
    }
}
