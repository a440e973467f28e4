//! A folder that is written as a whole or not at all.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::checkpoint::error::CheckpointError;

/// Writes a new folder: `write` fills a temporary one beside it, which then gets its name.
///
/// # Errors
/// When something of this name exists, the folder cannot be made, or `write` fails. Nothing is left then.
pub(in crate::checkpoint) fn write_new_folder<T>(
    folder: &Path,
    write: impl FnOnce(&Path) -> Result<T, CheckpointError>,
) -> Result<T, CheckpointError> {
    if folder.symlink_metadata().is_ok() {
        return Err(CheckpointError::File {
            path: folder.to_owned(),
            problem: "exists already, give a folder that does not".to_owned(),
        });
    }
    let parent = match folder.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let write_error = |source| CheckpointError::Write {
        path: folder.to_owned(),
        source,
    };
    let temporary = tempfile::Builder::new()
        .prefix(".pi0_checkpoint_")
        .permissions(Permissions::from_mode(0o777))
        .tempdir_in(parent)
        .map_err(write_error)?;
    let written = write(temporary.path())?;
    fs::rename(temporary.path(), folder).map_err(write_error)?;
    Ok(written)
}
