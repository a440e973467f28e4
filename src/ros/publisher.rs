//! Publishers of the newest value.

use r2r::{Node, Publisher, QosProfile, WrappedTypesupport};

use super::messages;
use super::node_error::NodeError;
use crate::parameters::{QosEnd, QosOverrides};

/// A reliable publisher of the newest value on `topic`, with the parameters' overrides of its quality of service.
///
/// # Errors
/// When ROS 2 refuses the publisher.
pub fn publisher<T: WrappedTypesupport>(
    node: &mut Node,
    qos: &QosOverrides,
    topic: &str,
) -> Result<Publisher<T>, NodeError> {
    let newest = QosProfile::default().keep_last(1);
    let profile = messages::qos_profile(newest, qos.of(topic, QosEnd::Publisher));
    node.create_publisher(topic, profile)
        .map_err(|source| NodeError::ros(topic, source))
}
