//! `metadata.yaml`, the description that rosbag2 writes beside a bag's files when a recording ends.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::error::BagError;
use super::message::{Contents, Topic};

const FILE_NAME: &str = "metadata.yaml";

#[derive(Debug, Deserialize)]
struct File {
    rosbag2_bagfile_information: Metadata,
}

/// Fields that are used, of any version of the format.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    pub relative_file_paths: Vec<String>,
    #[serde(default)]
    topics_with_message_count: Vec<TopicWithCount>,
    starting_time: Option<StartingTime>,
    duration: Option<Nanoseconds>,
}

#[derive(Debug, Deserialize)]
struct TopicWithCount {
    topic_metadata: TopicMetadata,
    message_count: u64,
}

#[derive(Debug, Deserialize)]
struct TopicMetadata {
    name: String,
    #[serde(rename = "type")]
    type_name: String,
    serialization_format: String,
}

#[derive(Debug, Deserialize)]
struct StartingTime {
    nanoseconds_since_epoch: i64,
}

#[derive(Debug, Deserialize)]
struct Nanoseconds {
    nanoseconds: i64,
}

impl Metadata {
    /// Reads the metadata in a bag's folder, if there is any.
    ///
    /// # Errors
    /// When the file has another format.
    pub fn of(folder: &Path) -> Result<Option<Self>, BagError> {
        let path = folder.join(FILE_NAME);
        if !path.is_file() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path).map_err(BagError::io(&path))?;
        let file = serde_norway::from_str::<File>(&text);
        let file = file.map_err(|error| BagError::Metadata(path, error))?;
        Ok(Some(file.rosbag2_bagfile_information))
    }

    /// Topics and times, without the files being read.
    pub fn contents(&self) -> Contents {
        let topics = self.topics_with_message_count.iter().map(|topic| {
            let metadata = &topic.topic_metadata;
            let described = Topic {
                type_name: metadata.type_name.clone(),
                encoding: metadata.serialization_format.clone(),
                messages: Some(topic.message_count),
            };
            (metadata.name.clone(), described)
        });
        let start = self.starting_time.as_ref().and_then(|start| {
            let nanoseconds = u64::try_from(start.nanoseconds_since_epoch).ok()?;
            Some(Duration::from_nanos(nanoseconds))
        });
        let duration = self.duration.as_ref().and_then(|duration| {
            let nanoseconds = u64::try_from(duration.nanoseconds).ok()?;
            Some(Duration::from_nanos(nanoseconds))
        });
        Contents {
            topics: topics.collect(),
            span: start
                .zip(duration)
                .map(|(start, duration)| (start, start + duration)),
            warnings: Vec::new(),
        }
    }
}
