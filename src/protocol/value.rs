//! The values of a message.

use std::borrow::Cow;

use super::array::Array;

/// A value of a message. Large parts are borrowed from the message that they were decoded from.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Nothing.
    Nil,
    /// A truth value.
    Bool(bool),
    /// A whole number, from the lowest of 64 bits with a sign to the highest without.
    Integer(i128),
    /// A number with a fraction.
    Float(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
    /// Values in order.
    List(Vec<Value<'a>>),
    /// Values by name, in the order of the message.
    Map(Vec<(Cow<'a, str>, Value<'a>)>),
    /// An array of numbers, as NumPy has them.
    Array(Array<'a>),
}

impl<'a> Value<'a> {
    /// A map of these values.
    pub fn map(entries: impl IntoIterator<Item = (&'static str, Value<'a>)>) -> Self {
        let entries = entries.into_iter();
        Self::Map(entries.map(|(name, value)| (name.into(), value)).collect())
    }

    /// The value of this name in a map; none where there is none, and for anything but a map.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries
                .iter()
                .find_map(|(key, value)| (key == name).then_some(value)),
            _ => None,
        }
    }

    /// The text, where it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, where it is one, or an array of one number.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            Self::Array(array) => match array.to_f64()[..] {
                [number] => Some(number),
                _ => None,
            },
            _ => None,
        }
    }

    /// Number of things, where it is one.
    pub fn count(&self) -> Option<usize> {
        match self {
            Self::Integer(number) => usize::try_from(*number).ok(),
            _ => None,
        }
    }

    /// What it is, in words.
    pub fn kind(&self) -> String {
        match self {
            Self::Nil => "nothing".to_owned(),
            Self::Bool(_) => "a truth value".to_owned(),
            Self::Integer(_) | Self::Float(_) => "a number".to_owned(),
            Self::Text(_) => "a text".to_owned(),
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Self::List(values) => format!("a list of {} values", values.len()),
            Self::Map(entries) => format!("a map of {} values", entries.len()),
            Self::Array(array) => format!("an array of {} {:?}", array.dtype(), array.shape()),
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<f64> for Value<'_> {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<usize> for Value<'_> {
    fn from(count: usize) -> Self {
        Self::Integer(count as i128)
    }
}

impl<'a> From<Array<'a>> for Value<'a> {
    fn from(array: Array<'a>) -> Self {
        Self::Array(array)
    }
}
