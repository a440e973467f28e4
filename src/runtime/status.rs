//! The status of a part of the node, as `diagnostic_msgs/DiagnosticStatus` has it.

/// The levels of `diagnostic_msgs/DiagnosticStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Ok,
    Warn,
    Error,
}

/// The status of one part of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub name: String,
    pub level: Level,
    pub message: String,
    pub values: Vec<(String, String)>,
}

impl Status {
    pub(super) fn new(
        part: &str,
        (level, message): (Level, impl Into<String>),
        values: Vec<(&str, String)>,
    ) -> Self {
        let owned = |(key, value): (&str, String)| (key.to_owned(), value);
        Self {
            name: format!("pi0_node: {part}"),
            level,
            message: message.into(),
            values: values.into_iter().map(owned).collect(),
        }
    }
}

/// The value with three decimals; empty without one.
pub(super) fn decimal(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{value:.3}"))
}
