//! Reports as files.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::result::{FORMAT, Report};

/// Why a report was not written or read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{} cannot be {doing}: {source}", path.display())]
    Io {
        path: PathBuf,
        doing: &'static str,
        source: io::Error,
    },
    #[error("{} is no report of pi0_eval: {source}", path.display())]
    Json {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("{} has the format {found}, expected {FORMAT}; evaluate again with this version", path.display())]
    Format { path: PathBuf, found: u32 },
    #[error("{} cannot be written: {problem}", path.display())]
    Table { path: PathBuf, problem: String },
}

impl Report {
    /// # Errors
    /// When the file cannot be read, or is no report of this version.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let text = fs::read(path).map_err(|source| FileError::Io {
            path: path.to_owned(),
            doing: "read",
            source,
        })?;
        let json = |source| FileError::Json {
            path: path.to_owned(),
            source,
        };
        let report: Self = serde_json::from_slice(&text).map_err(json)?;
        if report.format != FORMAT {
            return Err(FileError::Format {
                path: path.to_owned(),
                found: report.format,
            });
        }
        Ok(report)
    }

    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|source| FileError::Json {
            path: path.to_owned(),
            source,
        })?;
        text.push(b'\n');
        write_whole(path, &text)
    }
}

/// Writes a file whole or not at all: what is killed in the middle leaves none behind under its name.
///
/// # Errors
/// When the file cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let io = |source| FileError::Io {
        path: path.to_owned(),
        doing: "written",
        source,
    };
    let mut file = unfinished(path).map_err(io)?;
    file.write_all(bytes).map_err(io)?;
    file.persist(path).map_err(|error| io(error.error))?;
    Ok(())
}

/// A file in the folder of `path`, to be given that name when it is whole.
pub(super) fn unfinished(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // As any other new file; a temporary one would be its owner's alone.
    let permissions = Permissions::from_mode(0o666);
    tempfile::Builder::new()
        .permissions(permissions)
        .tempfile_in(folder)
}
