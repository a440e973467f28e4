//! Matching of a bag's topics with the inputs and outputs of the node's configuration.

use std::collections::{BTreeMap, BTreeSet};

use super::bag::{Bag, Topic};
use super::messages::{
    CLOCK, COMPRESSED_IMAGE, FLOAT64_ARRAY, IMAGE, JOINT_STATE, JOINT_TRAJECTORY, ODOMETRY, POSE, STRING,
    TRANSFORMS,
};
use super::recorded_actions::Between;
use crate::control::OutputKind;
use crate::observation::{ExtraStateKind, STATIC_TRANSFORMS};
use crate::parameters::Settings;
use crate::pose::POSE_VALUES;

const CLOCK_TOPIC: &str = "/clock";

/// Input of the node that a topic is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Camera at this index of the configuration.
    Image(usize),
    /// Camera at this index of the configuration, sent as JPEG or PNG.
    CompressedImage(usize),
    /// Joint states topic at this index of the configuration.
    JointStates(usize),
    /// Pose at this index of the configuration.
    Pose(usize),
    /// Frames.
    Transforms {
        /// Whether they never move.
        is_static: bool,
    },
    /// Extra state at this index of the configuration.
    ExtraState(usize),
    /// Velocities of a base, the extra state at this index of the configuration.
    Odometry(usize),
    /// Prompt.
    Prompt,
    /// Simulated time.
    Clock,
}

/// Meaning of the messages with recorded actions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionSource {
    /// Trajectory.
    Trajectory {
        /// Prefix of its joints' names in the configuration.
        prefix: String,
    },
    /// Array of values.
    Array {
        /// Index of each value's joint among the commanded joints.
        joints: Vec<usize>,
    },
    /// Pose.
    Pose {
        /// Index of its first value in the robot's actions.
        first: usize,
    },
    /// Joint states.
    JointState {
        /// Prefix of their joints' names in the configuration.
        prefix: String,
    },
}

/// Topics of a bag that an evaluation reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BagTopics {
    /// Inputs of the node, by topic.
    pub roles: BTreeMap<String, Role>,
    /// Recorded actions, by topic.
    pub actions: BTreeMap<String, ActionSource>,
    /// Motion between two recorded actions: commands hold, measured positions are interpolated.
    pub between: Between,
    /// Remarks on the choice, for the report.
    pub notes: Vec<String>,
}

/// Topic of a bag that does not fit the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} on {topic}: found {found}, expected {expected}")]
pub struct TopicProblem {
    /// Input or action that the topic is for.
    pub what: String,
    /// Name of the topic.
    pub topic: String,
    /// Content of the bag.
    pub found: String,
    /// Types that would fit.
    pub expected: String,
}

impl BagTopics {
    /// Chooses the topics. `actions_topic` has the recorded commands; when it is `None`, they are on the topics on which the
    /// node would publish, or else on the joint states topics.
    ///
    /// # Errors
    /// Every topic that is missing or has another type than expected.
    pub fn choose(
        bag: &Bag,
        settings: &Settings,
        actions_topic: Option<&str>,
    ) -> Result<Self, Vec<TopicProblem>> {
        let mut chooser = Chooser {
            bag,
            settings,
            roles: BTreeMap::new(),
            notes: Vec::new(),
            problems: Vec::new(),
        };
        chooser.choose_cameras();
        chooser.choose_state();
        chooser.choose_prompt();
        chooser.choose_clock();
        let (actions, between) = chooser.choose_actions(actions_topic);
        if !chooser.problems.is_empty() {
            chooser.problems.dedup();
            return Err(chooser.problems);
        }
        Ok(Self {
            roles: chooser.roles,
            actions,
            between,
            notes: chooser.notes,
        })
    }

    /// Names of all topics to read.
    pub fn names(&self) -> BTreeSet<String> {
        self.roles.keys().chain(self.actions.keys()).cloned().collect()
    }
}

struct Chooser<'a> {
    bag: &'a Bag,
    settings: &'a Settings,
    roles: BTreeMap<String, Role>,
    notes: Vec<String>,
    problems: Vec<TopicProblem>,
}

impl Chooser<'_> {
    fn choose_cameras(&mut self) {
        for (index, camera) in self.settings.inputs.cameras.iter().enumerate() {
            let what = format!("camera {}", camera.name);
            let mut topic = camera.topic.clone();
            let compressed = format!("{topic}/compressed");
            let mut types = &[IMAGE, COMPRESSED_IMAGE][..];
            if self.topic(&topic).is_none() && self.topic(&compressed).is_some() {
                self.notes.push(format!("{what}: read from {compressed}"));
                (topic, types) = (compressed, &[COMPRESSED_IMAGE]);
            }
            if let Some(type_name) = self.expect(&what, &topic, types) {
                let role = if type_name == IMAGE {
                    Role::Image(index)
                } else {
                    Role::CompressedImage(index)
                };
                self.roles.insert(topic, role);
            }
        }
    }

    fn choose_state(&mut self) {
        let inputs = &self.settings.inputs;
        for (index, joint_states) in inputs.joint_states.iter().enumerate() {
            self.read(
                "the joint states",
                &joint_states.topic,
                JOINT_STATE,
                Role::JointStates(index),
            );
        }
        for (index, pose) in inputs.poses.iter().enumerate() {
            if let Some(topic) = pose.topic() {
                self.read("the pose", topic, POSE, Role::Pose(index));
            }
        }
        for &topic in inputs.transforms() {
            // A robot may have no frames that never move.
            let is_static = topic == STATIC_TRANSFORMS;
            if !is_static || self.topic(topic).is_some() {
                self.read("the frames", topic, TRANSFORMS, Role::Transforms { is_static });
            }
        }
        for (index, extra) in inputs.extra_state.iter().enumerate() {
            let (message_type, role) = match extra.kind {
                ExtraStateKind::Array => (FLOAT64_ARRAY, Role::ExtraState(index)),
                ExtraStateKind::Odometry => (ODOMETRY, Role::Odometry(index)),
            };
            self.read("the extra state", &extra.topic, message_type, role);
        }
    }

    fn choose_prompt(&mut self) {
        let prompt = &self.settings.inputs.prompt;
        if self.topic(prompt).is_some() || self.settings.prompt.is_empty() {
            self.read(
                "the prompt (the parameter prompt is empty)",
                prompt,
                STRING,
                Role::Prompt,
            );
        }
    }

    fn choose_clock(&mut self) {
        if !self.settings.use_sim_time {
            return;
        }
        if self.topic(CLOCK_TOPIC).is_some() {
            self.read("the simulated time", CLOCK_TOPIC, CLOCK, Role::Clock);
        } else {
            let note = "the bag has no /clock; the time at which it was recorded serves";
            self.notes.push(note.to_owned());
        }
    }

    /// Finds the recorded actions: on the given topic, on the node's outputs, or in the joint states.
    fn choose_actions(&mut self, given: Option<&str>) -> (BTreeMap<String, ActionSource>, Between) {
        let settings = self.settings;
        let outputs: Vec<&str> = settings.outputs.iter().map(|output| &*output.topic).collect();
        let inputs = settings.inputs.joint_states.iter();
        let joint_states = inputs.map(|input| &*input.topic);
        // What is measured of what is commanded.
        let poses = settings.joint_mapping.commanded_poses();
        let poses = poses.filter_map(|pose| settings.inputs.poses[pose].topic());
        let measured: Vec<&str> = joint_states.chain(poses).collect();
        // Velocities are no actions: what the robot made of them is.
        let mut kinds = settings.outputs.iter().map(|output| output.kind);
        let has_positions = kinds.all(|kind| kind != OutputKind::Twist);
        let topics = match given {
            Some(topic) => vec![topic],
            None if has_positions && outputs.iter().any(|output| self.topic(output).is_some()) => outputs,
            None => measured.clone(),
        };
        let sources = topics
            .iter()
            .map(|&topic| (topic.to_owned(), self.action_source(topic)));
        let sources = sources.collect();
        if topics.iter().any(|topic| measured.contains(topic)) {
            let note = "no commands: predictions are compared with where the robot went";
            self.notes.push(note.to_owned());
            (sources, Between::Interpolate)
        } else {
            (sources, Between::Hold)
        }
    }

    fn action_source(&mut self, topic: &str) -> ActionSource {
        let settings = self.settings;
        let output = settings.outputs.iter().find(|output| output.topic == topic);
        if let Some(first) = self.first_of_pose(topic) {
            self.expect("the recorded actions", topic, &[POSE]);
            return ActionSource::Pose { first };
        }
        let prefix = output.map_or(String::new(), |output| output.prefix.clone());
        let types = [JOINT_TRAJECTORY, FLOAT64_ARRAY, JOINT_STATE];
        match self.expect("the recorded actions", topic, &types) {
            Some(JOINT_TRAJECTORY) => ActionSource::Trajectory { prefix },
            Some(FLOAT64_ARRAY) => ActionSource::Array {
                joints: match output {
                    Some(output) => output.joints.clone(),
                    None => (0..settings.commanded_joints().len()).collect(),
                },
            },
            _ => {
                let mut inputs = settings.inputs.joint_states.iter();
                let input = inputs.find(|input| input.topic == topic);
                ActionSource::JointState {
                    prefix: input.map_or(prefix, |input| input.prefix.clone()),
                }
            }
        }
    }

    /// The first value in the robot's actions of the pose that is commanded or measured on a topic, if one is.
    fn first_of_pose(&self, topic: &str) -> Option<usize> {
        let settings = self.settings;
        let mut outputs = settings.outputs.iter();
        if let Some(output) = outputs.find(|output| output.topic == topic && output.kind == OutputKind::Pose)
        {
            return output.joints.first().copied();
        }
        let mut poses = settings.joint_mapping.commanded_poses();
        let place = poses.position(|pose| settings.inputs.poses[pose].topic() == Some(topic))?;
        Some(settings.commanded_joints().len() + place * POSE_VALUES)
    }

    fn read(&mut self, what: &str, topic: &str, type_name: &str, role: Role) {
        self.expect(what, topic, &[type_name]);
        self.roles.insert(topic.to_owned(), role);
    }

    /// Topic with messages.
    fn topic(&self, name: &str) -> Option<&Topic> {
        let topic = self.bag.topics().get(name);
        topic.filter(|topic| topic.messages != Some(0))
    }

    /// Type of a topic that is one of `types` and can be decoded; anything else is a problem.
    fn expect<'t>(&mut self, what: &str, name: &str, types: &[&'t str]) -> Option<&'t str> {
        let found = match self.topic(name) {
            Some(topic) if topic.encoding != "cdr" && !topic.encoding.is_empty() => {
                format!("messages encoded as {:?}", topic.encoding)
            }
            Some(topic) => match types.iter().find(|one| same_type(&topic.type_name, one)) {
                Some(one) => return Some(one),
                None => format!("type {}", topic.type_name),
            },
            None if self.bag.topics().contains_key(name) => "no message".to_owned(),
            None => self.missing(types),
        };
        self.problems.push(TopicProblem {
            what: what.to_owned(),
            topic: name.to_owned(),
            found,
            expected: types.join(" or "),
        });
        None
    }

    /// Description of a missing topic, with the topics that have one of its types.
    fn missing(&self, types: &[&str]) -> String {
        let topics = self.bag.topics().iter();
        let same = topics.filter(|(_, topic)| types.iter().any(|one| same_type(&topic.type_name, one)));
        let same: Vec<&str> = same.map(|(name, _)| name.as_str()).collect();
        if same.is_empty() {
            "no such topic, and none of that type".to_owned()
        } else {
            format!("no such topic; of that type are {}", same.join(", "))
        }
    }
}

/// Compares two type names: some tools write `sensor_msgs/Image` for `sensor_msgs/msg/Image`.
pub(super) fn same_type(found: &str, expected: &str) -> bool {
    found == expected || found == expected.replace("/msg/", "/")
}
