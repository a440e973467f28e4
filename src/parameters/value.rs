//! The value of a parameter, without the need of a ROS 2 installation.

/// What ROS can hold in a parameter: `rcl_interfaces/ParameterValue`.
#[derive(Clone, Debug, PartialEq)]
pub enum ParameterValue {
    /// Also what an empty list in a parameter file is: it tells no type.
    NotSet,
    Bool(bool),
    Integer(i64),
    Double(f64),
    String(String),
    ByteArray(Vec<u8>),
    BoolArray(Vec<bool>),
    IntegerArray(Vec<i64>),
    DoubleArray(Vec<f64>),
    StringArray(Vec<String>),
}

impl ParameterValue {
    /// As `ros2 param` names the type.
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

#[cfg(feature = "ros")]
impl From<r2r::ParameterValue> for ParameterValue {
    fn from(value: r2r::ParameterValue) -> Self {
        match value {
            r2r::ParameterValue::NotSet => Self::NotSet,
            r2r::ParameterValue::Bool(value) => Self::Bool(value),
            r2r::ParameterValue::Integer(value) => Self::Integer(value),
            r2r::ParameterValue::Double(value) => Self::Double(value),
            r2r::ParameterValue::String(value) => Self::String(value),
            r2r::ParameterValue::ByteArray(values) => Self::ByteArray(values),
            r2r::ParameterValue::BoolArray(values) => Self::BoolArray(values),
            r2r::ParameterValue::IntegerArray(values) => Self::IntegerArray(values),
            r2r::ParameterValue::DoubleArray(values) => Self::DoubleArray(values),
            r2r::ParameterValue::StringArray(values) => Self::StringArray(values),
        }
    }
}
