//! Errors of reading a bag.

use std::path::{Path, PathBuf};

/// Reason why a bag cannot be read, with the file or folder.
#[derive(Debug, thiserror::Error)]
pub enum BagError {
    /// File or folder that is no bag of ROS 2.
    #[error("{path}: {1}", path = .0.display())]
    NotABag(PathBuf, String),
    /// Failure of the file system.
    #[error("{path} cannot be read: {1}", path = .0.display())]
    Io(PathBuf, std::io::Error),
    /// Metadata in another format.
    #[error("{path} is no metadata of a rosbag2: {1}", path = .0.display())]
    Metadata(PathBuf, serde_norway::Error),
    /// SQLite3 database of something else.
    #[error("{path} is no SQLite3 database of a rosbag2: {1}", path = .0.display())]
    Sqlite(PathBuf, rusqlite::Error),
}

impl BagError {
    /// Adds the path to a failure of the file system.
    pub(super) fn io(path: &Path) -> impl Fn(std::io::Error) -> Self + use<'_> {
        |error| Self::Io(path.to_owned(), error)
    }
}
