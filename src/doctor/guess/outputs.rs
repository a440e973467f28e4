//! The joint of each action value, and the controllers of the joints.

use crate::control::OutputKind;
use crate::doctor::needs::Needs;
use crate::doctor::setup::{Choice, OutputSetup};
use crate::doctor::sightings::Sightings;

/// Works out the joint of each value of an action.
pub fn action_joints(needs: &Needs, joint_names: &Choice<Vec<String>>) -> Choice<Vec<Option<String>>> {
    let Some(names) = &joint_names.value else {
        return Choice::open("the joints are not known yet");
    };
    if needs.action_names.is_empty() {
        return match needs.action_dim == names.len() {
            true => Choice::known(
                names.iter().cloned().map(Some).collect(),
                "as many values as the state has, so in its order",
            ),
            false => Choice::open(format!(
                "an action has {} values and the state {}, and nothing tells which joints they are for: the joint of each value, or \
                 unused",
                needs.action_dim,
                names.len()
            )),
        };
    }
    let joint = |action: &String| {
        let value = needs.state_names.iter().position(|state| state == action)?;
        names.get(value).cloned()
    };
    let joints: Vec<Option<String>> = needs.action_names.iter().map(joint).collect();
    let unknown = needs
        .action_names
        .iter()
        .zip(&joints)
        .filter(|(_, joint)| joint.is_none());
    let unknown: Vec<&str> = unknown.map(|(action, _)| action.as_str()).collect();
    match unknown.is_empty() {
        true => Choice::known(joints, "the names of the action's values in the data"),
        false => Choice::open(format!(
            "the action of the data is {}, of which {} are no values of the state: the joint of each value, or unused",
            needs.action_names.join(", "),
            unknown.join(", ")
        )),
    }
}

/// Works out which controllers get the commanded joints.
pub fn outputs(seen: &Sightings, action_joints: &Choice<Vec<Option<String>>>) -> Choice<Vec<OutputSetup>> {
    let trajectories = seen
        .controllers
        .iter()
        .filter(|(_, controller)| controller.kind == OutputKind::Trajectory);
    let topics: Vec<&str> = trajectories.map(|(topic, _)| topic.as_str()).collect();
    let Some(joints) = &action_joints.value else {
        return Choice::open(format!(
            "the commanded joints are not known yet. {}",
            found(&topics)
        ));
    };
    let commanded: Vec<&String> = joints.iter().flatten().collect();
    if let [topic] = topics[..]
        && seen.controllers[topic].joints.is_none()
    {
        let output = OutputSetup {
            topic: topic.to_owned(),
            kind: OutputKind::Trajectory,
            joints: commanded.into_iter().cloned().collect(),
            prefix: String::new(),
        };
        return Choice::known(vec![output], "the only topic of trajectories");
    }
    let controllers = seen.controllers.iter().filter_map(|(topic, controller)| {
        let own_names = controller.joints.as_ref()?;
        let (prefix, joints) = with_prefix(own_names, &commanded, topic)?;
        Some(OutputSetup {
            topic: topic.clone(),
            kind: controller.kind,
            joints,
            prefix,
        })
    });
    let controllers: Vec<OutputSetup> = controllers.collect();
    let times = |joint: &&String| {
        controllers
            .iter()
            .filter(|output| output.joints.contains(joint))
            .count()
    };
    match commanded.iter().all(|joint| times(joint) == 1) {
        true => Choice::known(controllers, "the controllers' own joints"),
        false => Choice::open(format!(
            "give the topic of the controller of {}, or an entry of outputs for each controller with its topic and joints. {}",
            commanded
                .iter()
                .map(|joint| joint.as_str())
                .collect::<Vec<_>>()
                .join(", "),
            found(&topics)
        )),
    }
}

/// The commanded joints of a controller with joints of these names, and the text in front of them that its own names do not
/// have; none where one of them is not commanded.
fn with_prefix(own_names: &[String], commanded: &[&String], topic: &str) -> Option<(String, Vec<String>)> {
    let with = |prefix: &str| -> Option<Vec<String>> {
        let names = own_names.iter().map(|name| format!("{prefix}{name}"));
        names
            .map(|name| commanded.contains(&&name).then_some(name))
            .collect()
    };
    let first = own_names.first()?;
    let prefixes = commanded
        .iter()
        .filter_map(|joint| joint.strip_suffix(first.as_str()));
    let is_of_topic =
        |prefix: &&str| prefix.is_empty() || topic.contains(prefix.trim_end_matches(['_', '/']));
    let mut prefixes = prefixes.filter(is_of_topic);
    prefixes.find_map(|prefix| Some((prefix.to_owned(), with(prefix)?)))
}

fn found(topics: &[&str]) -> String {
    match topics {
        [] => "No topic of type trajectory_msgs/JointTrajectory was seen: start the controllers.".to_owned(),
        topics => format!(
            "Topics of type trajectory_msgs/JointTrajectory: {}.",
            topics.join(", ")
        ),
    }
}
