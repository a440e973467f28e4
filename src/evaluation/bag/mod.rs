//! rosbag2: MCAP and SQLite3 files, compressed or not, one or several, with `metadata.yaml` or without.
//!
//! Formats: the MCAP specification (mcap.dev/spec) and rosbag2's `storage_default_plugins` and `rosbag2_compression`.
//! Messages are handed on one by one, in the order of the times at which they were recorded; what is held of a bag does
//! not grow with it.

mod error;
mod files;
mod in_order;
mod mcap_file;
mod message_compression;
mod metadata;
mod sqlite_file;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::BagError;
pub use files::{bags_below, is_bag};

use files::{BagFile, Storage};
use metadata::Metadata;

/// A topic of a bag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Such as `sensor_msgs/msg/Image`.
    pub type_name: String,
    /// How messages are written down; `cdr` for ROS 2.
    pub encoding: String,
    /// None when nothing tells the number before all of the bag is read.
    pub messages: Option<u64>,
}

/// A recorded message, as it lies in the bag.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    pub topic: &'a str,
    /// When it was recorded, since the epoch.
    pub log_time: Duration,
    pub data: &'a [u8],
}

/// Takes one message after the other, and says whether to go on.
pub type Visit<'a> = dyn FnMut(Recorded<'_>) -> ControlFlow<()> + 'a;

/// What is known of files before their messages are read.
#[derive(Clone, Debug, Default)]
struct Contents {
    topics: BTreeMap<String, Topic>,
    /// Log times of the first and the last message.
    span: Option<(Duration, Duration)>,
    /// What is missing of the bag.
    warnings: Vec<String>,
}

/// A recording. Nothing but its description is held in memory.
#[derive(Clone, Debug)]
pub struct Bag {
    path: PathBuf,
    files: Vec<BagFile>,
    contents: Contents,
}

impl Bag {
    /// Opens a bag's folder, or a single file of a bag.
    ///
    /// # Errors
    /// When there is no bag, or a file is none of a rosbag2.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, BagError> {
        let path = path.as_ref();
        let metadata = Metadata::of(path)?;
        let (files, missing) = files::find(path, metadata.as_ref())?;
        let mut contents = match metadata.as_ref().map(Metadata::contents) {
            Some(contents) if !contents.topics.is_empty() => contents,
            _ => {
                let mut contents = Contents::default();
                for file in &files {
                    contents.add(file.contents()?);
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

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn topics(&self) -> &BTreeMap<String, Topic> {
        &self.contents.topics
    }

    /// Log times of the first and the last message; none when the bag does not tell.
    pub fn span(&self) -> Option<(Duration, Duration)> {
        self.contents.span
    }

    /// Files of the bag that are missing.
    pub fn warnings(&self) -> &[String] {
        &self.contents.warnings
    }

    /// Hands every message of the topics `wanted` to `visit`, in the order of their log times. Answers with warnings:
    /// where a damaged file ended, and what came out of order.
    ///
    /// # Errors
    /// When a file cannot be read at all.
    pub fn read(&self, wanted: &BTreeSet<String>, visit: &mut Visit) -> Result<Vec<String>, BagError> {
        let mut warnings = Vec::new();
        for file in &self.files {
            let opened = file.open()?;
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

impl Contents {
    fn add(&mut self, other: Self) {
        for (name, topic) in other.topics {
            match self.topics.get_mut(&name) {
                Some(known) => {
                    known.messages = known.messages.zip(topic.messages).map(|(a, b)| a + b);
                }
                None => {
                    self.topics.insert(name, topic);
                }
            }
        }
        self.span = match (self.span, other.span) {
            (Some((start, end)), Some((other_start, other_end))) => {
                Some((start.min(other_start), end.max(other_end)))
            }
            (one, another) => one.or(another),
        };
        self.warnings.extend(other.warnings);
    }
}
