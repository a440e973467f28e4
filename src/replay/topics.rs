//! Which topics of a bag are which inputs of the policy, by the node's own configuration.

use std::collections::{BTreeMap, BTreeSet};

use super::bag::{Bag, Topic};
use super::messages::{CLOCK, COMPRESSED_IMAGE, FLOAT64_ARRAY, IMAGE, JOINT_STATE, JOINT_TRAJECTORY, STRING};
use super::recorded_actions::Between;
use crate::node::parameters::Settings;

/// What a topic is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The camera at this place of the configuration.
    Image(usize),
    CompressedImage(usize),
    /// The joint states topic at this place of the configuration.
    JointStates(usize),
    /// The extra state at this place of the configuration.
    ExtraState(usize),
    Prompt,
    Clock,
}

/// What recorded actions are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionSource {
    Trajectory,
    Array,
    JointState,
}

/// The topics of a bag that an evaluation reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BagTopics {
    pub roles: BTreeMap<String, Role>,
    pub actions_topic: String,
    pub actions: ActionSource,
    /// Whether there are commands, or only where the robot went.
    pub between: Between,
    /// What the report is to say of the choice.
    pub notes: Vec<String>,
}

/// What of a bag does not fit the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} on {topic}: found {found}, expected {expected}")]
pub struct TopicProblem {
    pub what: String,
    pub topic: String,
    pub found: String,
    pub expected: String,
}

impl BagTopics {
    /// Chooses the topics. `actions_topic` is where the commands were recorded; without it, that is the topic on which
    /// the node would publish, or the joint states when the bag does not have it.
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
            problems: Vec::new(),
        };
        let mut roles = BTreeMap::new();
        let mut notes = Vec::new();
        for (index, camera) in settings.inputs.cameras.iter().enumerate() {
            let what = format!("camera {}", camera.name);
            let compressed = format!("{}/compressed", camera.topic);
            match chooser.topic(&camera.topic) {
                None if chooser.topic(&compressed).is_some() => {
                    notes.push(format!("{what}: read from {compressed}"));
                    if chooser.expect(&what, &compressed, &[COMPRESSED_IMAGE]).is_some() {
                        roles.insert(compressed, Role::CompressedImage(index));
                    }
                }
                _ => match chooser.expect(&what, &camera.topic, &[IMAGE, COMPRESSED_IMAGE]) {
                    Some(IMAGE) => drop(roles.insert(camera.topic.clone(), Role::Image(index))),
                    Some(_) => drop(roles.insert(camera.topic.clone(), Role::CompressedImage(index))),
                    None => {}
                },
            }
        }
        for (index, joint_states) in settings.inputs.joint_states.iter().enumerate() {
            chooser.expect("the joint states", &joint_states.topic, &[JOINT_STATE]);
            roles.insert(joint_states.topic.clone(), Role::JointStates(index));
        }
        for (index, extra) in settings.inputs.extra_state.iter().enumerate() {
            chooser.expect("the extra state", &extra.topic, &[FLOAT64_ARRAY]);
            roles.insert(extra.topic.clone(), Role::ExtraState(index));
        }
        let prompt = &settings.inputs.prompt;
        let has_prompts = chooser.topic(prompt).is_some();
        if has_prompts || settings.prompt.is_empty() {
            chooser.expect("the prompt (the parameter prompt is empty)", prompt, &[STRING]);
            roles.insert(prompt.clone(), Role::Prompt);
        }
        if settings.use_sim_time {
            match chooser.topic("/clock") {
                Some(_) => {
                    chooser.expect("the simulated time", "/clock", &[CLOCK]);
                    roles.insert("/clock".to_owned(), Role::Clock);
                }
                None => {
                    notes.push("the bag has no /clock; the time at which it was recorded serves".to_owned())
                }
            }
        }
        let joint_states = &settings.inputs.joint_states[0].topic;
        let actions_topic = match actions_topic {
            Some(topic) => topic,
            None if chooser.topic(&settings.trajectory_topic).is_some() => &settings.trajectory_topic,
            None => joint_states,
        };
        let types = [JOINT_TRAJECTORY, FLOAT64_ARRAY, JOINT_STATE];
        let actions = match chooser.expect("the recorded actions", actions_topic, &types) {
            Some(JOINT_TRAJECTORY) => ActionSource::Trajectory,
            Some(FLOAT64_ARRAY) => ActionSource::Array,
            _ => ActionSource::JointState,
        };
        let is_commands = actions_topic != joint_states;
        if !is_commands {
            notes.push("no commands: predictions are compared with where the joints went".to_owned());
        }
        if chooser.problems.is_empty() {
            Ok(Self {
                roles,
                actions_topic: actions_topic.to_owned(),
                actions,
                between: if is_commands {
                    Between::Hold
                } else {
                    Between::Interpolate
                },
                notes,
            })
        } else {
            chooser.problems.dedup();
            Err(chooser.problems)
        }
    }

    /// Every topic that is to be read.
    pub fn names(&self) -> BTreeSet<String> {
        let actions = std::iter::once(&self.actions_topic);
        self.roles.keys().chain(actions).cloned().collect()
    }
}

struct Chooser<'a> {
    bag: &'a Bag,
    problems: Vec<TopicProblem>,
}

impl Chooser<'_> {
    /// A topic that has messages.
    fn topic(&self, name: &str) -> Option<&Topic> {
        self.bag
            .topics()
            .get(name)
            .filter(|topic| topic.messages != Some(0))
    }

    /// The type of a topic, when it is one of `types` and can be decoded.
    fn expect<'t>(&mut self, what: &str, name: &str, types: &[&'t str]) -> Option<&'t str> {
        let expected = types.join(" or ");
        let found = match self.topic(name) {
            Some(topic) if topic.encoding != "cdr" && !topic.encoding.is_empty() => {
                format!("messages encoded as {:?}", topic.encoding)
            }
            Some(topic) => match types.iter().find(|one| same_type(&topic.type_name, one)) {
                Some(one) => return Some(one),
                None => format!("type {}", topic.type_name),
            },
            None if self.bag.topics().contains_key(name) => "no message".to_owned(),
            None => {
                let same: Vec<&str> = self
                    .bag
                    .topics()
                    .iter()
                    .filter(|(_, topic)| types.iter().any(|one| same_type(&topic.type_name, one)))
                    .map(|(name, _)| name.as_str())
                    .collect();
                match same.is_empty() {
                    true => "no such topic, and none of that type".to_owned(),
                    false => format!("no such topic; of that type are {}", same.join(", ")),
                }
            }
        };
        self.problems.push(TopicProblem {
            what: what.to_owned(),
            topic: name.to_owned(),
            found,
            expected,
        });
        None
    }
}

/// Some tools write `sensor_msgs/Image` for `sensor_msgs/msg/Image`.
fn same_type(found: &str, expected: &str) -> bool {
    found == expected || found == expected.replace("/msg/", "/")
}
