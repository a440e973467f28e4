//! Publishers that the node's subscriptions cannot receive from.

use std::collections::BTreeMap;

use r2r::qos::{DurabilityPolicy, ReliabilityPolicy};
use r2r::{Node, QosProfile};

use super::other_publishers::full_name;
use super::topic_names::Names;
use crate::observation::Offer;

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
                let offered = offer(&publisher.topic_type, &publisher.qos_profile);
                let mismatch = offer(&topic.message_type, &topic.qos).mismatch(&topic.name, &offered)?;
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

/// What a profile offers, or asks for.
pub(super) fn offer(message_type: &str, qos: &QosProfile) -> Offer {
    Offer {
        message_type: message_type.to_owned(),
        is_best_effort: qos.reliability == ReliabilityPolicy::BestEffort,
        is_volatile: qos.durability == DurabilityPolicy::Volatile,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_has_the_reliability_and_durability_of_its_profile() {
        let of = |qos: QosProfile| {
            let offer = offer("std_msgs/msg/String", &qos);
            (offer.is_best_effort, offer.is_volatile)
        };
        assert_eq!(of(QosProfile::default()), (false, true));
        assert_eq!(of(QosProfile::default().best_effort()), (true, true));
        assert_eq!(of(QosProfile::default().transient_local()), (false, false));
    }
}
