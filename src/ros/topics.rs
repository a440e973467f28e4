//! The topics of the node by the names that `ros2 topic list` has for them, without running it.

use super::node::{node_of_this_process, parameters_of};
use super::node_error::NodeError;
use super::topic_names::Names;
use crate::parameters::Settings;

/// The topics of a node with the ROS arguments of this process, a line each: `subscribe`, `command` for what moves the
/// robot, or `publish`, and the full name.
///
/// # Errors
/// When the parameters are not whole, or ROS 2 fails.
pub fn list_topics() -> Result<String, NodeError> {
    let node = node_of_this_process()?;
    let names = Names::new(&node, std::env::args())?;
    let parameters = parameters_of(&node)?;
    let lines = topics(parameters.settings()).map(|(kind, topic)| format!("{kind} {}", names.resolve(topic)));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// `subscribe`, `command` or `publish`, and the topic as the parameters have it.
pub(super) fn topics(settings: &Settings) -> impl Iterator<Item = (&'static str, &str)> {
    let clock = settings.use_sim_time.then_some("/clock");
    let subscribed = settings.subscribed_topics().into_iter().chain(clock);
    let is_command = |topic: &str| settings.outputs.iter().any(|output| output.topic == topic);
    let published = settings.published_topics().into_iter();
    let subscribed = subscribed.map(|topic| ("subscribe", topic));
    subscribed
        .chain(published.map(move |topic| (if is_command(topic) { "command" } else { "publish" }, topic)))
}
