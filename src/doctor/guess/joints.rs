//! The robot's joints in the order of the policy's state, and the topics that they come on.

use std::collections::BTreeMap;

use crate::doctor::needs::Needs;
use crate::doctor::setup::Choice;
use crate::doctor::sightings::Sightings;
use crate::observation::JointStatesTopic;

/// Topic that is taken where two have a joint.
const USUAL_TOPIC: &str = "/joint_states";

/// A joint of a topic for a value of the state.
struct Found<'a> {
    topic: &'a str,
    /// Text in front of the topic's own name.
    prefix: &'a str,
    /// The topic's own name.
    own_name: &'a str,
}

/// Finds the joints that the policy's data name, and their topics.
pub fn joint_names(seen: &Sightings, needs: &Needs) -> (Choice<Vec<String>>, Vec<JointStatesTopic>) {
    let open = |reason: String| (Choice::open(reason), Vec::new());
    let seen_joints = in_words(seen);
    if needs.state_names.is_empty() {
        return open(format!(
            "nothing tells the order of the {} values of the checkpoint's state: give the data set (--dataset FOLDER), or put the \
             joints in its order. {seen_joints}",
            needs.state_dim
        ));
    }
    let candidates: Vec<Vec<Found>> = needs
        .state_names
        .iter()
        .map(|name| candidates(seen, name))
        .collect();
    let mut coverage = BTreeMap::<&str, usize>::new();
    for found in candidates.iter().flatten() {
        *coverage.entry(found.topic).or_default() += 1;
    }
    let best = |found: &&Found| {
        (
            coverage[found.topic],
            found.topic == USUAL_TOPIC,
            found.prefix.is_empty(),
        )
    };
    let chosen: Vec<Option<&Found>> = candidates
        .iter()
        .map(|found| found.iter().max_by_key(best))
        .collect();
    let missing: Vec<&str> = needs
        .state_names
        .iter()
        .zip(&chosen)
        .filter(|(_, found)| found.is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    if !missing.is_empty() {
        return open(format!(
            "the state of the data is {}, and no topic has a joint of the name of {}: put the robot's names in this order. \
             {seen_joints}",
            needs.state_names.join(", "),
            missing.join(", ")
        ));
    }
    let mut topics: Vec<JointStatesTopic> = Vec::new();
    let mut names = Vec::new();
    for found in chosen.into_iter().flatten() {
        names.push(format!("{}{}", found.prefix, found.own_name));
        let topic = JointStatesTopic {
            topic: found.topic.to_owned(),
            prefix: found.prefix.to_owned(),
        };
        if !topics.contains(&topic) {
            topics.push(topic);
        }
    }
    let is_repeated = |(index, one): (usize, &JointStatesTopic)| {
        topics[..index].iter().any(|other| other.topic == one.topic)
    };
    if topics.iter().enumerate().any(is_repeated) {
        return open(format!(
            "joints of one topic would need two prefixes: put the robot's names in the order of {}. {seen_joints}",
            needs.state_names.join(", ")
        ));
    }
    let reason = "the names of the state's values in the data, in their order";
    (Choice::known(names, reason), topics)
}

/// Joints that a value of the state may be for: those of the same name, and those of a topic that has the beginning of the
/// name in its own.
fn candidates<'a>(seen: &'a Sightings, name: &'a str) -> Vec<Found<'a>> {
    let mut found = Vec::new();
    for (topic, states) in &seen.joint_states {
        for joint in &states.joints {
            let prefix = if plain(&joint.name) == plain(name) {
                Some("")
            } else {
                let prefix = name.strip_suffix(joint.name.as_str()).unwrap_or_default();
                let word = prefix.trim_end_matches(['_', '/']);
                (!word.is_empty() && topic.contains(word)).then_some(prefix)
            };
            found.extend(prefix.map(|prefix| Found {
                topic,
                prefix,
                own_name: &joint.name,
            }));
        }
    }
    found
}

/// A joint's name without what drivers add to it.
fn plain(name: &str) -> String {
    let name = name.to_lowercase();
    name.strip_suffix("_joint").unwrap_or(&name).to_owned()
}

fn in_words(seen: &Sightings) -> String {
    let topics = seen.joint_states.iter().map(|(topic, states)| {
        let names: Vec<&str> = states.joints.iter().map(|joint| joint.name.as_str()).collect();
        format!("{topic} has {}", names.join(", "))
    });
    let topics: Vec<String> = topics.collect();
    match topics.is_empty() {
        true => "No joint states were seen.".to_owned(),
        false => format!("{}.", topics.join("; ")),
    }
}
