//! What the node may do under SROS 2, as a policy for `ros2 security create_permission`.
//!
//! The format is that of "ROS 2 Access Control Policies" (design.ros2.org), version 0.2.0.

use super::node::{node_of_this_process, parameters_of};
use super::node_error::NodeError;
use super::run_policy::ACTION;
use super::topic_names::Names;
use super::topics::topics;

/// Published whatever the parameters are, beside what the settings say.
const PUBLISHED: [&str; 3] = ["/rosout", "/parameter_events", "~/transition_event"];
const SERVICES: [&str; 16] = [
    "~/change_state",
    "~/describe_parameters",
    "~/enable",
    "~/get_available_states",
    "~/get_available_transitions",
    "~/get_parameter_types",
    "~/get_parameters",
    "~/get_state",
    "~/get_transition_graph",
    "~/list_parameters",
    "~/reset",
    "~/set_parameters",
    "~/set_parameters_atomically",
    "~/stop",
    "~/success",
    "~/takeover",
];

/// The policy of a node with the ROS arguments of this process: its own topics, services and action by their full names,
/// in the enclave of its full name, and nothing else.
///
/// # Errors
/// When the parameters are not whole, or ROS 2 fails.
pub fn security_policy() -> Result<String, NodeError> {
    let node = node_of_this_process()?;
    let names = Names::new(&node, std::env::args())?;
    let parameters = parameters_of(&node)?;
    let settings = parameters.settings();
    let ros = |source| NodeError::ros("the node's name", source);
    let (subscribed, published): (Vec<_>, Vec<_>) =
        topics(settings).partition(|(kind, _)| *kind == "subscribe");
    let of = |(_, topic)| topic;
    let (subscribed, published) = (subscribed.into_iter().map(of), published.into_iter().map(of));
    let groups = [
        group(&names, "topics", "topic", "subscribe", subscribed),
        group(&names, "topics", "topic", "publish", published.chain(PUBLISHED)),
        group(&names, "services", "service", "reply", SERVICES),
        group(&names, "actions", "action", "execute", [ACTION]),
    ];
    Ok(document(
        &node.fully_qualified_name().map_err(ros)?,
        &node.namespace().map_err(ros)?,
        &node.name().map_err(ros)?,
        &groups.concat(),
    ))
}

/// The elements of one kind that the node may use in one way, sorted, each once. ROS 2 allows no character in a name that
/// XML would have to escape.
fn group<'a>(
    names: &Names,
    list: &str,
    element: &str,
    allowed: &str,
    topics: impl IntoIterator<Item = &'a str>,
) -> String {
    let mut full: Vec<_> = topics.into_iter().map(|topic| names.resolve(topic)).collect();
    full.sort();
    full.dedup();
    let lines: String = full
        .iter()
        .map(|name| format!("            <{element}>{name}</{element}>\n"))
        .collect();
    format!("          <{list} {allowed}=\"ALLOW\">\n{lines}          </{list}>\n")
}

fn document(enclave: &str, namespace: &str, node: &str, groups: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<policy version="0.2.0">
  <enclaves>
    <enclave path="{enclave}">
      <profiles>
        <profile ns="{namespace}" node="{node}">
{groups}        </profile>
      </profiles>
    </enclave>
  </enclaves>
</policy>"#
    )
}
