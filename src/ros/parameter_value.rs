//! Values of parameters as r2r has them.

use crate::parameters::ParameterValue;

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
