//! Content of a bag: topics and messages.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

/// Topic of a bag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Type of its messages, `sensor_msgs/msg/Image` for example.
    pub type_name: String,
    /// Encoding of its messages; `cdr` for ROS 2.
    pub encoding: String,
    /// Number of its messages; `None` when only reading the whole bag can tell.
    pub messages: Option<u64>,
}

/// Recorded message with the bytes of the bag.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    /// Name of the topic.
    pub topic: &'a str,
    /// Time of recording since the epoch.
    pub log_time: Duration,
    /// Encoded message.
    pub data: &'a [u8],
}

/// Callback for one message after the other, which returns whether to go on.
pub type Visit<'a> = dyn FnMut(Recorded<'_>) -> ControlFlow<()> + 'a;

/// Description of files, which is known before their messages are read.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    pub topics: BTreeMap<String, Topic>,
    /// Log times of the first and the last message.
    pub span: Option<(Duration, Duration)>,
    /// Missing parts of the bag.
    pub warnings: Vec<String>,
}

impl Contents {
    /// Adds the contents of another file.
    pub fn add(&mut self, other: Self) {
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
