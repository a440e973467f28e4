//! Publishers that the node's subscriptions cannot receive from. ROS 2 connects neither topics of another type nor
//! publishers that offer less than a subscription asks for, and is silent about both.

use std::collections::BTreeMap;

use r2r::qos::{DurabilityPolicy, ReliabilityPolicy};
use r2r::{Node, QosProfile};

use super::other_publishers::full_name;
use super::topic_names::Names;

/// A topic that the node subscribes to.
#[derive(Clone, Debug)]
pub struct SubscribedTopic {
    /// As in the parameters.
    pub name: String,
    /// `sensor_msgs/msg/Image`, say.
    pub message_type: String,
    pub qos: QosProfile,
}

/// Descriptions of the publishers that cannot be received from, by topic as in the parameters.
///
/// # Errors
/// When the graph cannot be read.
pub fn publisher_mismatches(
    node: &Node,
    names: &Names,
    subscribed: &[SubscribedTopic],
) -> r2r::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for topic in subscribed {
        let publishers = node.get_publishers_info_by_topic(&names.resolve(&topic.name), false)?;
        let mut mismatches: Vec<String> = publishers
            .iter()
            .filter_map(|publisher| {
                let mismatch = topic.mismatch(&publisher.topic_type, &publisher.qos_profile)?;
                let name = full_name(&publisher.node_namespace, &publisher.node_name);
                Some(format!("{name} {mismatch}"))
            })
            .collect();
        mismatches.sort();
        mismatches.dedup();
        if !mismatches.is_empty() {
            found.insert(topic.name.clone(), mismatches.join("; "));
        }
    }
    Ok(found)
}

impl SubscribedTopic {
    /// Why a publisher is not received, with the remedy; none if it is.
    fn mismatch(&self, message_type: &str, offered: &QosProfile) -> Option<String> {
        let Self {
            name,
            message_type: expected,
            qos,
        } = self;
        if message_type != expected {
            let is_image = expected.ends_with("Image") && message_type.ends_with("Image");
            let remedy = match is_image {
                true => "set cameras.<name>.transport, or another topic",
                false => "set another topic",
            };
            return Some(format!(
                "publishes {message_type} on {name}, and this node expects {expected}: {remedy}"
            ));
        }
        let is_short_of = |offers: &str, asks: &str, policy: &str, remedy: &str| {
            Some(format!(
                "publishes {name} {offers}, and this node asks for {asks}: change the publisher, or set \
                 qos_overrides.{name}.subscription.{policy} to {remedy}"
            ))
        };
        if qos.reliability == ReliabilityPolicy::Reliable
            && offered.reliability == ReliabilityPolicy::BestEffort
        {
            return is_short_of("best effort", "reliable", "reliability", "best_effort");
        }
        if qos.durability == DurabilityPolicy::TransientLocal
            && offered.durability == DurabilityPolicy::Volatile
        {
            return is_short_of("volatile", "transient local", "durability", "volatile");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publisher_that_is_not_received_is_described_with_the_remedy() {
        let qos = QosProfile::default;
        let text = "std_msgs/msg/String";
        for (asked, message_type, offered, words) in [
            (qos(), text, qos(), None),
            (qos().best_effort(), text, qos().best_effort(), None),
            (qos(), text, qos().transient_local(), None),
            (
                qos(),
                text,
                qos().best_effort(),
                Some("qos_overrides./prompt.subscription.reliability to best_effort"),
            ),
            (
                qos().transient_local(),
                text,
                qos(),
                Some("qos_overrides./prompt.subscription.durability to volatile"),
            ),
            (
                qos(),
                "std_msgs/msg/Int32",
                qos(),
                Some("publishes std_msgs/msg/Int32 on /prompt, and this node expects std_msgs/msg/String"),
            ),
        ] {
            let topic = SubscribedTopic {
                name: "/prompt".to_owned(),
                message_type: text.to_owned(),
                qos: asked,
            };
            let mismatch = topic.mismatch(message_type, &offered);
            assert_eq!(mismatch.is_some(), words.is_some(), "{mismatch:?}");
            assert!(
                mismatch.unwrap_or_default().contains(words.unwrap_or_default()),
                "{words:?}"
            );
        }
        let camera = SubscribedTopic {
            name: "/top".to_owned(),
            message_type: "sensor_msgs/msg/Image".to_owned(),
            qos: qos().best_effort(),
        };
        let mismatch = camera
            .mismatch("sensor_msgs/msg/CompressedImage", &qos())
            .unwrap();
        assert!(mismatch.contains("cameras.<name>.transport"), "{mismatch}");
    }
}
