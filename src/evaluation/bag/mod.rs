//! rosbag2: MCAP and SQLite3 files, compressed or not, one or several, with `metadata.yaml` or without.
//!
//! Formats: the MCAP specification (mcap.dev/spec) and rosbag2's `storage_default_plugins` and `rosbag2_compression`.
//! Messages are passed on one by one, in the order of the times at which they were recorded. Memory does not grow with the bag.

mod error;
mod files;
mod in_order;
mod mcap_file;
mod message;
mod message_compression;
mod metadata;
mod sqlite_file;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::BagError;
pub use files::{bags_below, is_bag};
pub use message::{Recorded, Topic, Visit};

use files::{OpenFile, Storage};
use message::Contents;
use metadata::Metadata;

/// Recording of ROS 2, of which only the description is in memory.
#[derive(Clone, Debug)]
pub struct Bag {
    path: PathBuf,
    files: Vec<PathBuf>,
    contents: Contents,
}

impl Bag {
    /// Opens a bag's folder, or a single file of a bag.
    ///
    /// # Errors
    /// When there is no bag, or a file is not one of rosbag2's.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, BagError> {
        let path = path.as_ref();
        let metadata = Metadata::of(path)?;
        let (files, missing) = files::find(path, metadata.as_ref())?;
        let mut contents = match metadata.as_ref().map(Metadata::contents) {
            Some(contents) if !contents.topics.is_empty() => contents,
            _ => {
                let mut contents = Contents::default();
                for file in &files {
                    contents.add(contents_of(&OpenFile::open(file)?)?);
                }
                contents
            }
        };
        contents.warnings.extend(missing);
        Ok(Self {
            path: path.to_owned(),
            files,
            contents,
        })
    }

    /// Path that the bag was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Topics by their names.
    pub fn topics(&self) -> &BTreeMap<String, Topic> {
        &self.contents.topics
    }

    /// Log times of the first and the last message, if they are known before reading.
    pub fn span(&self) -> Option<(Duration, Duration)> {
        self.contents.span
    }

    /// Files of the bag that are missing.
    pub fn warnings(&self) -> &[String] {
        &self.contents.warnings
    }

    /// Passes every message of the topics `wanted` to `visit`, in the order of their log times. Returns warnings: where a
    /// damaged file ended, and how many messages came out of order.
    ///
    /// # Errors
    /// When a file cannot be read at all.
    pub fn read(&self, wanted: &BTreeSet<String>, visit: &mut Visit) -> Result<Vec<String>, BagError> {
        let mut warnings = Vec::new();
        for file in &self.files {
            let opened = OpenFile::open(file)?;
            let (flow, damage) = match opened.storage {
                Storage::Mcap => mcap_file::read(&opened, wanted, visit)?,
                Storage::Sqlite => sqlite_file::read(&opened, wanted, visit)?,
            };
            warnings.extend(opened.unpacking);
            warnings.extend(damage);
            if flow.is_break() {
                break;
            }
        }
        Ok(warnings)
    }
}

fn contents_of(file: &OpenFile) -> Result<Contents, BagError> {
    match file.storage {
        Storage::Mcap => mcap_file::contents(file),
        Storage::Sqlite => sqlite_file::contents(file),
    }
}
