//! Which topics of a bag are which inputs of the policy, by the node's own configuration.

use std::collections::{BTreeMap, BTreeSet};

use super::bag::{Bag, Topic};
use super::messages::{CLOCK, COMPRESSED_IMAGE, FLOAT64_ARRAY, IMAGE, JOINT_STATE, JOINT_TRAJECTORY, STRING};
use super::recorded_actions::Between;
use crate::parameters::Settings;

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

/// What the recorded actions of a topic are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionSource {
    /// A trajectory, whose joints' names get this prefix.
    Trajectory(String),
    /// A value for each of the joints at these places of the robot's actions.
    Array(Vec<usize>),
    /// Joint states, whose joints' names get this prefix.
    JointState(String),
}

/// The topics of a bag that an evaluation reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BagTopics {
    pub roles: BTreeMap<String, Role>,
    pub actions: BTreeMap<String, ActionSource>,
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
    /// Chooses the topics. `actions_topic` is where the commands were recorded; without it, those are the topics on which
    /// the node would publish, or the joint states when the bag has none of them.
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
        let joint_states: Vec<&str> = settings
            .inputs
            .joint_states
            .iter()
            .map(|one| &*one.topic)
            .collect();
        let outputs: Vec<&str> = settings.outputs.iter().map(|output| &*output.topic).collect();
        let actions_topics = match actions_topic {
            Some(topic) => vec![topic],
            None if outputs.iter().any(|output| chooser.topic(output).is_some()) => outputs,
            None => joint_states.clone(),
        };
        let types = [JOINT_TRAJECTORY, FLOAT64_ARRAY, JOINT_STATE];
        let mut actions = BTreeMap::new();
        for topic in &actions_topics {
            let output = settings.outputs.iter().find(|output| output.topic == *topic);
            let prefix = output.map_or(String::new(), |output| output.prefix.clone());
            let source = match chooser.expect("the recorded actions", topic, &types) {
                Some(JOINT_TRAJECTORY) => ActionSource::Trajectory(prefix),
                Some(FLOAT64_ARRAY) => ActionSource::Array(match output {
                    Some(output) => output.joints.clone(),
                    None => (0..settings.commanded_joints().len()).collect(),
                }),
                _ => {
                    let input = settings
                        .inputs
                        .joint_states
                        .iter()
                        .find(|one| one.topic == *topic);
                    ActionSource::JointState(input.map_or(prefix, |input| input.prefix.clone()))
                }
            };
            actions.insert((*topic).to_owned(), source);
        }
        let is_commands = !actions_topics.iter().any(|topic| joint_states.contains(topic));
        if !is_commands {
            notes.push("no commands: predictions are compared with where the joints went".to_owned());
        }
        if chooser.problems.is_empty() {
            Ok(Self {
                roles,
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
        self.roles.keys().chain(self.actions.keys()).cloned().collect()
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
