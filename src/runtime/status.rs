//! The status of a part of the node, as `diagnostic_msgs/DiagnosticStatus` has it.

/// The levels of `diagnostic_msgs/DiagnosticStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything is as it should be.
    Ok,
    /// The robot does not move, or not as asked.
    Warn,
    /// A fault that needs somebody.
    Error,
}

/// The status of one part of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Name of the part, with that of the package.
    pub name: String,
    /// Level of the status.
    pub level: Level,
    /// Summary in words.
    pub message: String,
    /// Keys and values.
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

    #[cfg(test)]
    pub(super) fn value(&self, key: &str) -> &str {
        &self.values.iter().find(|(name, _)| name == key).unwrap().1
    }
}

/// The value with three decimals; empty without one.
pub(super) fn decimal(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{value:.3}"))
}
