//! ROS 2's own parameters for the quality of service of a topic: `qos_overrides.TOPIC.subscription.reliability` and so on.

use std::collections::BTreeMap;

use super::{ParameterProblem, ParameterValue};

const PREFIX: &str = "qos_overrides.";
/// Topics that other tools set for any node; the node's own quality of service holds there.
const OF_ANY_NODE: [&str; 3] = ["/clock", "/parameter_events", "/rosout"];

/// One setting of a topic's quality of service, in place of the node's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QosOverride {
    /// Reliability: reliable.
    Reliable,
    /// Reliability: best effort.
    BestEffort,
    /// Durability: volatile.
    Volatile,
    /// Durability: transient local.
    TransientLocal,
    /// History: keep last.
    KeepLast,
    /// History: keep all.
    KeepAll,
    /// Depth of the history.
    Depth(usize),
}

/// Which end of a topic a setting is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QosEnd {
    /// Subscription of the node.
    Subscription,
    /// Publisher of the node.
    Publisher,
}

/// The settings of all topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QosOverrides(BTreeMap<(String, QosEnd), Vec<QosOverride>>);

impl QosOverrides {
    /// Whether a parameter is one of these.
    pub fn is_one(name: &str) -> bool {
        name.starts_with(PREFIX)
    }

    /// What the parameters say of the node's topics.
    ///
    /// # Errors
    /// Every parameter for a topic that the node does not have at that end, or that has no such setting.
    pub fn from_parameters<'a>(
        parameters: impl Iterator<Item = (&'a String, &'a ParameterValue)>,
        subscribed: &[&str],
        published: &[&str],
    ) -> Result<Self, Vec<ParameterProblem>> {
        let mut overrides = Self::default();
        let mut problems = Vec::new();
        for (name, value) in parameters {
            match parse(name, value, subscribed, published) {
                Ok(Some((topic, end, setting))) => overrides.0.entry((topic, end)).or_default().push(setting),
                Ok(None) => {}
                Err(expected) => problems.push(ParameterProblem::new(name, value, expected)),
            }
        }
        if problems.is_empty() {
            Ok(overrides)
        } else {
            Err(problems)
        }
    }

    /// The settings of one end of a topic.
    pub fn of(&self, topic: &str, end: QosEnd) -> &[QosOverride] {
        self.0.get(&(topic.to_owned(), end)).map_or(&[], Vec::as_slice)
    }
}

/// None for a topic of any node.
fn parse(
    name: &str,
    value: &ParameterValue,
    subscribed: &[&str],
    published: &[&str],
) -> Result<Option<(String, QosEnd, QosOverride)>, String> {
    let mut parts = name.strip_prefix(PREFIX).unwrap_or(name).rsplitn(3, '.');
    let (Some(policy), Some(end), Some(topic)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("a name like qos_overrides./topic.subscription.reliability".to_owned());
    };
    if OF_ANY_NODE.contains(&topic) {
        return Ok(None);
    }
    let (end, topics) = match end {
        "subscription" => (QosEnd::Subscription, subscribed),
        "publisher" => (QosEnd::Publisher, published),
        _ => return Err("subscription or publisher after the topic".to_owned()),
    };
    if !topics.contains(&topic) {
        return Err(format!("one of the topics {}", topics.join(", ")));
    }
    let one_of = |choices: [(&str, QosOverride); 2]| {
        let chosen = choices
            .iter()
            .find(|(name, _)| *value == ParameterValue::String((*name).to_owned()));
        let words = || format!("{} or {}", choices[0].0, choices[1].0);
        chosen.map(|(_, setting)| *setting).ok_or_else(words)
    };
    let setting = match policy {
        "reliability" => one_of([
            ("reliable", QosOverride::Reliable),
            ("best_effort", QosOverride::BestEffort),
        ])?,
        "durability" => one_of([
            ("volatile", QosOverride::Volatile),
            ("transient_local", QosOverride::TransientLocal),
        ])?,
        "history" => one_of([
            ("keep_last", QosOverride::KeepLast),
            ("keep_all", QosOverride::KeepAll),
        ])?,
        "depth" => match value {
            ParameterValue::Integer(depth @ 1..=1000) => QosOverride::Depth(*depth as usize),
            _ => return Err("1 to 1000".to_owned()),
        },
        _ => return Err("reliability, durability, history or depth at the end of the name".to_owned()),
    };
    Ok(Some((topic.to_owned(), end, setting)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> ParameterValue {
        ParameterValue::String(value.to_owned())
    }

    fn overrides(name: &str, value: ParameterValue) -> Result<QosOverrides, Vec<ParameterProblem>> {
        QosOverrides::from_parameters([(&name.to_owned(), &value)].into_iter(), &["/top"], &["/out"])
    }

    #[test]
    fn a_topic_s_settings_are_read_as_ros_names_them() {
        for (policy, value, expected) in [
            ("reliability", text("reliable"), QosOverride::Reliable),
            ("reliability", text("best_effort"), QosOverride::BestEffort),
            ("durability", text("volatile"), QosOverride::Volatile),
            ("durability", text("transient_local"), QosOverride::TransientLocal),
            ("history", text("keep_last"), QosOverride::KeepLast),
            ("history", text("keep_all"), QosOverride::KeepAll),
            ("depth", ParameterValue::Integer(5), QosOverride::Depth(5)),
        ] {
            let read = overrides(&format!("qos_overrides./top.subscription.{policy}"), value).unwrap();
            assert_eq!(read.of("/top", QosEnd::Subscription), [expected]);
            assert_eq!(read.of("/top", QosEnd::Publisher), []);
        }
        let read = overrides("qos_overrides./out.publisher.reliability", text("best_effort")).unwrap();
        assert_eq!(read.of("/out", QosEnd::Publisher), [QosOverride::BestEffort]);
    }

    #[test]
    fn a_setting_that_could_not_take_effect_is_refused_with_what_is_expected() {
        for (name, value, expected) in [
            (
                "/tap.subscription.reliability",
                text("reliable"),
                "one of the topics /top",
            ),
            (
                "/top.publisher.reliability",
                text("reliable"),
                "one of the topics /out",
            ),
            (
                "/top.client.reliability",
                text("reliable"),
                "subscription or publisher",
            ),
            (
                "/top.subscription.reliability",
                text("sure"),
                "reliable or best_effort",
            ),
            (
                "/top.subscription.deadline",
                ParameterValue::Integer(5),
                "reliability, durability",
            ),
            ("/top.subscription.depth", ParameterValue::Integer(0), "1 to 1000"),
            ("reliability", text("reliable"), "a name like"),
        ] {
            let problems = overrides(&format!("qos_overrides.{name}"), value).unwrap_err();
            assert!(problems[0].expected.contains(expected), "{}", problems[0]);
        }
    }

    #[test]
    fn what_ros_sets_for_any_node_is_no_problem() {
        let read = overrides(
            "qos_overrides./clock.subscription.depth",
            ParameterValue::Integer(1),
        );
        assert_eq!(read, Ok(QosOverrides::default()));
    }
}
