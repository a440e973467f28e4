//! Values of parameters as ROS 2 holds them, and the Rust types that they are read into.

use std::fmt;

/// A value as `rcl_interfaces/ParameterValue` has it, without the need of a ROS 2 installation.
#[derive(Clone, Debug, PartialEq)]
pub enum ParameterValue {
    /// Also an empty list in a parameter file, which has no type.
    NotSet,
    /// Boolean.
    Bool(bool),
    /// Integer.
    Integer(i64),
    /// Floating-point number.
    Double(f64),
    /// Text.
    String(String),
    /// Bytes.
    ByteArray(Vec<u8>),
    /// Booleans.
    BoolArray(Vec<bool>),
    /// Integers.
    IntegerArray(Vec<i64>),
    /// Floating-point numbers.
    DoubleArray(Vec<f64>),
    /// Texts.
    StringArray(Vec<String>),
}

impl ParameterValue {
    /// Whether it is an empty array of any type, or of none.
    pub fn is_empty_array(&self) -> bool {
        match self {
            Self::NotSet => true,
            Self::ByteArray(values) => values.is_empty(),
            Self::BoolArray(values) => values.is_empty(),
            Self::IntegerArray(values) => values.is_empty(),
            Self::DoubleArray(values) => values.is_empty(),
            Self::StringArray(values) => values.is_empty(),
            Self::Bool(_) | Self::Integer(_) | Self::Double(_) | Self::String(_) => false,
        }
    }

    /// The type by the name that `ros2 param` has for it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::NotSet => "not set",
            Self::Bool(_) => "boolean",
            Self::Integer(_) => "integer",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::ByteArray(_) => "byte array",
            Self::BoolArray(_) => "boolean array",
            Self::IntegerArray(_) => "integer array",
            Self::DoubleArray(_) => "double array",
            Self::StringArray(_) => "string array",
        }
    }
}

/// Writes the value as YAML.
impl fmt::Display for ParameterValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list<T>(values: &[T], text: impl Fn(&T) -> String) -> String {
            format!("[{}]", values.iter().map(text).collect::<Vec<_>>().join(", "))
        }
        let text = match self {
            Self::NotSet => "nothing".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Double(value) => double(value),
            Self::String(value) => format!("{value:?}"),
            Self::BoolArray(values) => list(values, bool::to_string),
            Self::ByteArray(values) => list(values, u8::to_string),
            Self::IntegerArray(values) => list(values, i64::to_string),
            Self::DoubleArray(values) => list(values, double),
            Self::StringArray(values) => list(values, |value| match value.is_empty() {
                true => "\"\"".to_owned(),
                false => value.clone(),
            }),
        };
        formatter.write_str(&text)
    }
}

fn double(value: &f64) -> String {
    match *value {
        f64::INFINITY => ".inf".to_owned(),
        f64::NEG_INFINITY => "-.inf".to_owned(),
        value if value.is_nan() => ".nan".to_owned(),
        value => format!("{value:?}"),
    }
}
