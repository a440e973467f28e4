//! Why a bag cannot be read.

use std::path::PathBuf;

/// Every message names the file.
#[derive(Debug, thiserror::Error)]
pub enum BagError {
    #[error("{}: {problem}", path.display())]
    NotABag { path: PathBuf, problem: String },
    #[error("{} cannot be read: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{} is no metadata of a rosbag2: {problem}", path.display())]
    Metadata { path: PathBuf, problem: String },
    #[error("{} cannot be read: {source}", path.display())]
    Mcap { path: PathBuf, source: mcap::McapError },
    #[error("{} is no SQLite3 database of a rosbag2: {source}", path.display())]
    Sqlite { path: PathBuf, source: rusqlite::Error },
}
