//! The robot of the fixtures, its parameters, and a policy that knows what it will do.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use pi0_node::evaluation::bag::Bag;
use pi0_node::parameters::{Parameters, Settings, parameters_of};
use pi0_node::policy::{ActionChunk, Observation, Policy, PolicyError, PolicyInfo};
use tempfile::TempDir;

use crate::fixtures::{bag, joints};

/// When the recording of the fixtures begins, in seconds since the epoch.
pub const START_S: u64 = 1_700_000_000;
/// How fast every joint of the fixtures moves, in radians a second.
pub const SPEED: f32 = 0.2;
pub const HORIZON: usize = 20;

/// Two cameras, 20 actions of 50 Hz.
pub fn settings(more: &str) -> Settings {
    let file = format!(
        "/**:
  ros__parameters:
    checkpoint: none
    cameras.top.topic: /camera/top/image_raw
    cameras.wrist.topic: /camera/wrist/image_raw
    joint_names: [{}]
    {more}",
        joints().join(", ")
    );
    let parameters = parameters_of(&file, "/pi0_node").unwrap();
    Parameters::from_overrides(parameters.into_iter())
        .unwrap()
        .settings()
        .clone()
}

/// Predicts that every joint goes on at its speed, from `ahead_s` of where it is, and then `off` from there.
pub struct KnowingPolicy {
    pub ahead_s: f32,
    pub off: f32,
    pub seen: Vec<Observation>,
    pub info: PolicyInfo,
}

impl KnowingPolicy {
    /// The commands of the fixtures are a tenth of a second ahead of the joints.
    pub fn of_commands() -> Self {
        Self {
            ahead_s: 0.1,
            off: 0.0,
            seen: Vec::new(),
            info: PolicyInfo {
                state_dim: 14,
                action_dim: 14,
                action_horizon: HORIZON,
                description: "knowing".to_owned(),
                ..PolicyInfo::default()
            },
        }
    }
}

impl Policy for KnowingPolicy {
    fn info(&self) -> &PolicyInfo {
        &self.info
    }
    fn predict(&mut self, observation: &Observation) -> Result<ActionChunk, PolicyError> {
        self.seen.push(observation.clone());
        let action = |step: usize| {
            let way = SPEED * (self.ahead_s + 0.02 * step as f32) + self.off;
            observation.state.iter().map(move |position| position + way)
        };
        Ok(ActionChunk::new((0..HORIZON).flat_map(action).collect(), 14))
    }
    fn flow_matching_loss(
        &mut self,
        _: &Observation,
        recorded: &ActionChunk,
        noise: u64,
    ) -> Result<Vec<[f64; 2]>, PolicyError> {
        assert_eq!(noise, self.seen.len() as u64 - 1, "the chunk's own noise");
        assert_eq!(recorded.horizon(), HORIZON);
        Ok(vec![[1.0, 2.0], [0.5, 1.0]])
    }
}

/// A message of the fixtures that a test may change.
#[derive(Clone)]
pub struct Message {
    pub topic: String,
    pub type_name: String,
    pub log_time_ns: u64,
    pub data: Vec<u8>,
}

impl Message {
    /// Moves the stamp in the message's header; it has one.
    pub fn move_stamp(&mut self, seconds: i32) {
        let stamp = i32::from_le_bytes(self.data[4..8].try_into().unwrap());
        self.data[4..8].copy_from_slice(&(stamp + seconds).to_le_bytes());
    }

    pub fn has_header(&self) -> bool {
        !["std_msgs/msg/String", "std_msgs/msg/Float64MultiArray"].contains(&self.type_name.as_str())
    }
}

/// A bag with the messages of the fixtures as `change` leaves them, in a folder of its own.
pub fn changed(change: impl Fn(&mut Vec<Message>)) -> (TempDir, PathBuf) {
    let original = Bag::open(bag("mcap_zstd")).unwrap();
    let mut messages = Vec::new();
    original
        .read(&original.topics().keys().cloned().collect(), &mut |message| {
            messages.push(Message {
                topic: message.topic.to_owned(),
                type_name: original.topics()[message.topic].type_name.clone(),
                log_time_ns: message.log_time.as_nanos() as u64,
                data: message.data.to_vec(),
            });
            ControlFlow::Continue(())
        })
        .unwrap();
    change(&mut messages);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.mcap");
    write(&path, &messages);
    (folder, path)
}

fn write(path: &Path, messages: &[Message]) {
    let mut writer = mcap::Writer::new(std::fs::File::create(path).unwrap()).unwrap();
    for message in messages {
        let schema = writer.add_schema(&message.type_name, "ros2msg", b"").unwrap();
        let channel = writer
            .add_channel(schema, &message.topic, "cdr", &Default::default())
            .unwrap();
        let header = mcap::records::MessageHeader {
            channel_id: channel,
            sequence: 0,
            log_time: message.log_time_ns,
            publish_time: message.log_time_ns,
        };
        writer.write_to_known_channel(&header, &message.data).unwrap();
    }
    writer.finish().unwrap();
}
