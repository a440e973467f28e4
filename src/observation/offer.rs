//! Whether a publisher reaches a subscription. ROS 2 connects neither topics of another type nor publishers that offer less
//! than a subscription asks for, and is silent about both.

/// What a publisher offers, or a subscription asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// `sensor_msgs/msg/Image`, say.
    pub message_type: String,
    /// Whether messages may be lost.
    pub is_best_effort: bool,
    /// Whether somebody who comes late gets nothing of what was sent before.
    pub is_volatile: bool,
}

impl Offer {
    /// Why a subscription to `topic` that asks for this does not receive from a publisher of `offered`, with the remedy; none
    /// if it does.
    pub fn mismatch(&self, topic: &str, offered: &Self) -> Option<String> {
        let expected = &self.message_type;
        let message_type = &offered.message_type;
        if message_type != expected {
            let is_image = expected.ends_with("Image") && message_type.ends_with("Image");
            let remedy = match is_image {
                true => "set cameras.<name>.transport, or another topic",
                false => "set another topic",
            };
            return Some(format!(
                "publishes {message_type} on {topic}, and this node expects {expected}: {remedy}"
            ));
        }
        let is_short_of = |offers: &str, asks: &str, policy: &str, remedy: &str| {
            Some(format!(
                "publishes {topic} {offers}, and this node asks for {asks}: change the publisher, or set \
                 qos_overrides.{topic}.subscription.{policy} to {remedy}"
            ))
        };
        if !self.is_best_effort && offered.is_best_effort {
            return is_short_of("best effort", "reliable", "reliability", "best_effort");
        }
        if !self.is_volatile && offered.is_volatile {
            return is_short_of("volatile", "transient local", "durability", "volatile");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(message_type: &str, is_best_effort: bool, is_volatile: bool) -> Offer {
        Offer {
            message_type: message_type.to_owned(),
            is_best_effort,
            is_volatile,
        }
    }

    #[test]
    fn a_publisher_that_is_not_received_is_described_with_the_remedy() {
        let text = |is_best_effort, is_volatile| offer("std_msgs/msg/String", is_best_effort, is_volatile);
        for (asked, offered, words) in [
            (text(false, true), text(false, true), None),
            (text(true, true), text(true, true), None),
            (text(false, true), text(false, false), None),
            (
                text(false, true),
                text(true, true),
                Some("qos_overrides./prompt.subscription.reliability to best_effort"),
            ),
            (
                text(false, false),
                text(false, true),
                Some("qos_overrides./prompt.subscription.durability to volatile"),
            ),
            (
                text(false, true),
                offer("std_msgs/msg/Int32", false, true),
                Some("publishes std_msgs/msg/Int32 on /prompt, and this node expects std_msgs/msg/String"),
            ),
            (
                offer("sensor_msgs/msg/Image", true, true),
                offer("sensor_msgs/msg/CompressedImage", true, true),
                Some("cameras.<name>.transport"),
            ),
        ] {
            let mismatch = asked.mismatch("/prompt", &offered);
            assert_eq!(mismatch.is_some(), words.is_some(), "{mismatch:?}");
            assert!(
                mismatch.unwrap_or_default().contains(words.unwrap_or_default()),
                "{words:?}"
            );
        }
    }
}
