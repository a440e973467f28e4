//! Names of topics as ROS 2 resolves them.

use r2r::Node;

use super::node_error::NodeError;

/// The names of topics as ROS 2 resolves them for a node; r2r has no function for it.
#[derive(Debug)]
pub struct Names {
    namespace: String,
    node: String,
    /// What is renamed, and to what.
    remappings: Vec<(String, String)>,
}

impl Names {
    /// The names for this node, with the remappings among the arguments of its process.
    ///
    /// # Errors
    /// When ROS 2 does not know the node's name.
    pub fn new(node: &Node, arguments: impl Iterator<Item = String>) -> Result<Self, NodeError> {
        let ros = |source| NodeError::ros("the node's name", source);
        Ok(Self {
            namespace: node.namespace().map_err(ros)?,
            node: node.fully_qualified_name().map_err(ros)?,
            remappings: remappings(arguments, &node.name().map_err(ros)?),
        })
    }

    /// The full name of a topic: the first remapping that fits counts.
    pub fn resolve(&self, topic: &str) -> String {
        let name = self.expanded(topic);
        let mut remappings = self.remappings.iter();
        match remappings.find(|(from, _)| self.expanded(from) == name) {
            Some((_, to)) => self.expanded(to),
            None => name,
        }
    }

    fn expanded(&self, topic: &str) -> String {
        match topic.strip_prefix('~') {
            Some(rest) => format!("{}{rest}", self.node),
            None if topic.starts_with('/') => topic.to_owned(),
            None => format!("{}/{topic}", self.namespace.trim_end_matches('/')),
        }
    }
}

/// The remappings of topics among ROS arguments, of those for every node and for the one of this name.
fn remappings(arguments: impl Iterator<Item = String>, node: &str) -> Vec<(String, String)> {
    let mut remappings = Vec::new();
    let mut arguments = arguments;
    let mut is_for_ros = false;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--ros-args" => is_for_ros = true,
            "--" => is_for_ros = false,
            "-r" | "--remap" if is_for_ros => {
                let rule = arguments.next().unwrap_or_default();
                remappings.extend(remapping(&rule, node));
            }
            _ => {}
        }
    }
    remappings
}

/// One rule, `[node:][rostopic://]from:=to`; none when it is for another node.
fn remapping(rule: &str, node: &str) -> Option<(String, String)> {
    let (from, to) = rule.split_once(":=")?;
    let from = match from.split_once(':') {
        Some((of_node, from)) if !from.starts_with("//") => (of_node == node).then_some(from)?,
        _ => from,
    };
    let topic = |name: &str| name.strip_prefix("rostopic://").unwrap_or(name).to_owned();
    Some((topic(from), topic(to)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(topic: &str, namespace: &str, arguments: &str) -> String {
        let names = Names {
            namespace: namespace.to_owned(),
            node: format!("{}/pi0_node", namespace.trim_end_matches('/')),
            remappings: remappings(arguments.split(' ').map(str::to_owned), "pi0_node"),
        };
        names.resolve(topic)
    }

    #[test]
    fn topics_have_the_names_that_ros_resolves() {
        for (topic, namespace, arguments, expected) in [
            ("/top", "/left", "", "/top"),
            ("wrist/image", "/left", "", "/left/wrist/image"),
            ("wrist/image", "/", "", "/wrist/image"),
            ("~/chunk", "/", "", "/pi0_node/chunk"),
            ("~/chunk", "/left", "", "/left/pi0_node/chunk"),
            ("/a", "/", "--ros-args -r /a:=/b", "/b"),
            ("/a", "/left", "--ros-args --remap /a:=b", "/left/b"),
            ("~/chunk", "/left", "--ros-args -r ~/chunk:=chunk", "/left/chunk"),
            ("/a", "/", "--ros-args -r /a:=/first -r /a:=/second", "/first"),
            ("/a", "/", "--ros-args -r pi0_node:/a:=/b", "/b"),
            ("/a", "/", "--ros-args -r camera:/a:=/b", "/a"),
            ("/a", "/", "--ros-args -r rostopic:///a:=/b", "/b"),
            ("/a", "/", "--ros-args -r rosservice:///a:=/b", "/a"),
            ("/a", "/", "--ros-args -r __ns:=/left -- -r /a:=/b", "/a"),
        ] {
            assert_eq!(
                resolved(topic, namespace, arguments),
                expected,
                "{topic} {namespace} {arguments}"
            );
        }
    }
}
