//! Who else publishes on the topics that move the robot.

use r2r::Node;

/// Types of the outputs, as the graph of ROS 2 names them.
const OUTPUT_TYPES: [&str; 2] = [
    "trajectory_msgs/msg/JointTrajectory",
    "std_msgs/msg/Float64MultiArray",
];

/// What the graph names a publisher whose node it does not know.
const UNKNOWN: &str = "_NODE_NAME_UNKNOWN_";

/// Describes the other publishers on the outputs of the node of this full name; none when there are none. A controller takes
/// the message that comes last, so with two of them the robot jumps to and fro.
///
/// # Errors
/// When the graph cannot be read.
pub fn other_publishers(node: &Node, name: &str) -> r2r::Result<Option<String>> {
    let shown = format!("{name}/chunk");
    // The graph has the topics' names after remapping; which of them are outputs is known by who publishes on them.
    let topics = node.get_topic_names_and_types()?.into_iter();
    let topics = topics.filter(|(topic, types)| {
        *topic != shown && types.iter().any(|one| OUTPUT_TYPES.contains(&one.as_str()))
    });
    let mut found: Vec<String> = Vec::new();
    for (topic, _) in topics {
        let publishers = node.get_publishers_info_by_topic(&topic, false)?;
        let publishers = publishers
            .iter()
            .map(|publisher| full_name(&publisher.node_namespace, &publisher.node_name));
        found.extend(others(name, &topic, publishers.collect()));
    }
    found.sort();
    Ok((!found.is_empty()).then(|| {
        format!(
            "{}; only one may move the robot: end the others, or give each its own topic",
            found.join(", ")
        )
    }))
}

/// The full name of a node.
pub(super) fn full_name(namespace: &str, name: &str) -> String {
    format!("{}/{name}", namespace.trim_end_matches('/'))
}

/// The `publishers` on a topic other than the node `name`; none where the node does not publish itself.
fn others(name: &str, topic: &str, mut publishers: Vec<String>) -> Option<String> {
    let own = publishers.iter().position(|publisher| publisher == name)?;
    publishers.remove(own);
    publishers.sort();
    let in_words = publishers.iter().map(|publisher| match publisher.as_str() {
        same if same == name => format!("another node of the name {name}"),
        unknown if unknown.ends_with(UNKNOWN) => "a program that is no node".to_owned(),
        other => other.to_owned(),
    });
    let in_words: Vec<String> = in_words.collect();
    (!in_words.is_empty()).then(|| format!("{} publishes on {topic} too", in_words.join(" and ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(publishers: &[&str]) -> Option<String> {
        let publishers = publishers.iter().map(|&publisher| publisher.to_owned());
        others("/pi0_node", "/arm", publishers.collect())
    }

    #[test]
    fn everybody_else_on_an_output_is_named() {
        assert_eq!(told(&["/pi0_node"]), None);
        assert_eq!(
            told(&["/teleop", "/record"]),
            None,
            "the topic is no output of the node"
        );
        for (publishers, expected) in [
            (&["/teleop", "/pi0_node"][..], "/teleop publishes on /arm too"),
            (
                &["/pi0_node", "/left/teleop", "/a"],
                "/a and /left/teleop publishes on /arm too",
            ),
            (
                &["/pi0_node", "/pi0_node"],
                "another node of the name /pi0_node publishes on /arm too",
            ),
            (
                &["/pi0_node", "/_NODE_NAME_UNKNOWN_"],
                "a program that is no node publishes on /arm too",
            ),
        ] {
            assert_eq!(told(publishers).as_deref(), Some(expected));
        }
    }
}
