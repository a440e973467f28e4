//! A node's parameters, as a test gives them.

use r2r::{Context, Node, Parameter, ParameterValue};

/// The node that is to be started, with its parameters; of two of one name the later counts.
pub fn node_with(parameters: impl IntoIterator<Item = (&'static str, ParameterValue)>) -> Node {
    let node = Node::create(Context::create().unwrap(), "pi0_node", "").unwrap();
    for (name, value) in parameters {
        let mut set = node.params.lock().unwrap();
        set.insert(name.to_owned(), Parameter::new(value));
    }
    node
}

pub fn text(value: &str) -> ParameterValue {
    ParameterValue::String(value.to_owned())
}

pub fn texts(values: &[&str]) -> ParameterValue {
    ParameterValue::StringArray(values.iter().map(|&value| value.to_owned()).collect())
}
