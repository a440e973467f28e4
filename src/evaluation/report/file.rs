//! Files that are written whole or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::FORMAT;

/// Reason why a report was not written or read, with the file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Failure to read the file.
    #[error("{path} cannot be read: {1}", path = .0.display())]
    Read(PathBuf, io::Error),
    /// Failure to write the file.
    #[error("{path} cannot be written: {1}", path = .0.display())]
    Write(PathBuf, io::Error),
    /// File that is no report.
    #[error("{path} is no report of pi0_eval: {1}", path = .0.display())]
    Json(PathBuf, serde_json::Error),
    /// Report of another format, which is given.
    #[error("{path} has the format {1}, expected {FORMAT}; evaluate again with this version", path = .0.display())]
    Format(PathBuf, u32),
    /// Failure of the Parquet writer.
    #[error("{path} cannot be written: {1}", path = .0.display())]
    Parquet(PathBuf, parquet::errors::ParquetError),
}

/// File that gets its name when it is whole. An interruption leaves nothing under that name.
pub(super) struct UnfinishedFile {
    path: PathBuf,
    file: NamedTempFile,
}

impl UnfinishedFile {
    /// Creates the file, and the folder that it is in.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        // Permissions of any other new file; a temporary one would be its owner's alone.
        let permissions = Permissions::from_mode(0o666);
        let create = || {
            fs::create_dir_all(folder)?;
            let mut builder = tempfile::Builder::new();
            builder.permissions(permissions).tempfile_in(folder)
        };
        Ok(Self {
            file: create().map_err(not_written(path))?,
            path: path.to_owned(),
        })
    }

    /// Opens the file once more, for a writer that takes ownership.
    pub fn reopen(&self) -> Result<File, FileError> {
        self.file.reopen().map_err(not_written(&self.path))
    }

    /// Gives the file its name.
    pub fn finish(self) -> Result<(), FileError> {
        let named = self.file.persist(&self.path);
        named.map_err(|error| not_written(&self.path)(error.error))?;
        Ok(())
    }
}

/// Writes a file whole or not at all.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut unfinished = UnfinishedFile::create(path)?;
    unfinished.file.write_all(bytes).map_err(not_written(path))?;
    unfinished.finish()
}

fn not_written(path: &Path) -> impl Fn(io::Error) -> FileError + use<'_> {
    |error| FileError::Write(path.to_owned(), error)
}
