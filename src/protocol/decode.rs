//! msgpack to values, within limits: nothing is allocated that the message does not hold.

use std::borrow::Cow;

use rmp::Marker;

use super::array::{Array, ArrayError, Dtype};
use super::value::Value;

/// Limits of a message beyond its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Most maps and lists within each other.
    pub depth: usize,
    /// Most values in all maps and lists together.
    pub values: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            depth: 16,
            values: 1 << 16,
        }
    }
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A message that ends within a value.
    #[error("the message ends at byte {at}, within a value")]
    Truncated {
        /// Length of the message.
        at: usize,
    },
    /// A message that goes on after its value.
    #[error("the message has {0} bytes after its end")]
    Trailing(usize),
    /// Maps and lists too deep within each other.
    #[error("the message has more than {0} maps and lists within each other")]
    Depth(usize),
    /// Too many values.
    #[error("the message has more than {0} values; send numbers as arrays")]
    Values(usize),
    /// A value that is no part of the protocol, such as an extension type.
    #[error("byte {at} of the message begins a value of type {marker}, which openpi's messages do not have")]
    Type {
        /// Place of the value.
        at: usize,
        /// msgpack's name of the type.
        marker: String,
    },
    /// A text that is not UTF-8.
    #[error("the text at byte {at} of the message is not UTF-8")]
    Text {
        /// Place of the text.
        at: usize,
    },
    /// A map with names that are no texts.
    #[error("byte {at} of the message is {found} as a name in a map, expected a text")]
    Name {
        /// Place of the name.
        at: usize,
        /// What is there, in words.
        found: String,
    },
    /// An array without one of its parts, or one of them of another type.
    #[error("an array of the message has {found} as {part}, expected {expected}")]
    ArrayPart {
        /// Name of the part.
        part: &'static str,
        /// What there is, in words.
        found: String,
        /// What is expected, in words.
        expected: &'static str,
    },
    /// An array that is none.
    #[error(transparent)]
    Array(#[from] ArrayError),
}

/// The value of a message. Texts, bytes and arrays are borrowed from it; what else is allocated is limited.
///
/// # Errors
/// When the message is no msgpack, has types that openpi's messages do not have, exceeds a limit, or has an array that
/// does not fit its bytes or is of Python objects.
pub fn decode(message: &[u8], limits: DecodeLimits) -> Result<Value<'_>, DecodeError> {
    let mut decoder = Decoder {
        message,
        at: 0,
        values_left: limits.values,
        limits,
    };
    let value = decoder.value(limits.depth)?;
    match message.len() - decoder.at {
        0 => Ok(value),
        left => Err(DecodeError::Trailing(left)),
    }
}

struct Decoder<'a> {
    message: &'a [u8],
    at: usize,
    values_left: usize,
    limits: DecodeLimits,
}

impl<'a> Decoder<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let left = &self.message[self.at..];
        let (taken, _) = left.split_at_checked(count).ok_or(DecodeError::Truncated {
            at: self.message.len(),
        })?;
        self.at += count;
        Ok(taken)
    }

    /// A number of as many bytes, the highest first.
    fn unsigned(&mut self, bytes: usize) -> Result<u64, DecodeError> {
        let digits = self.take(bytes)?.iter();
        Ok(digits.fold(0, |number, &byte| (number << 8) | u64::from(byte)))
    }

    fn signed(&mut self, bytes: usize) -> Result<Value<'a>, DecodeError> {
        let unused = 64 - 8 * bytes;
        let number = (self.unsigned(bytes)? << unused) as i64 >> unused;
        Ok(Value::Integer(number.into()))
    }

    fn length(&mut self, bytes: usize) -> Result<usize, DecodeError> {
        Ok(self.unsigned(bytes)? as usize)
    }

    fn value(&mut self, depth_left: usize) -> Result<Value<'a>, DecodeError> {
        let at = self.at;
        let marker = Marker::from_u8(self.take(1)?[0]);
        Ok(match marker {
            Marker::Null => Value::Nil,
            Marker::False => Value::Bool(false),
            Marker::True => Value::Bool(true),
            Marker::FixPos(number) => Value::Integer(number.into()),
            Marker::FixNeg(number) => Value::Integer(number.into()),
            Marker::U8 => Value::Integer(self.unsigned(1)?.into()),
            Marker::U16 => Value::Integer(self.unsigned(2)?.into()),
            Marker::U32 => Value::Integer(self.unsigned(4)?.into()),
            Marker::U64 => Value::Integer(self.unsigned(8)?.into()),
            Marker::I8 => self.signed(1)?,
            Marker::I16 => self.signed(2)?,
            Marker::I32 => self.signed(4)?,
            Marker::I64 => self.signed(8)?,
            Marker::F32 => Value::Float(f32::from_bits(self.unsigned(4)? as u32).into()),
            Marker::F64 => Value::Float(f64::from_bits(self.unsigned(8)?)),
            Marker::FixStr(length) => self.text(length.into())?,
            Marker::Str8 => self.text_of_length(1)?,
            Marker::Str16 => self.text_of_length(2)?,
            Marker::Str32 => self.text_of_length(4)?,
            Marker::Bin8 => self.bytes_of_length(1)?,
            Marker::Bin16 => self.bytes_of_length(2)?,
            Marker::Bin32 => self.bytes_of_length(4)?,
            Marker::FixArray(length) => self.list(length.into(), depth_left)?,
            Marker::Array16 => self.list_of_length(2, depth_left)?,
            Marker::Array32 => self.list_of_length(4, depth_left)?,
            Marker::FixMap(length) => self.map(length.into(), depth_left)?,
            Marker::Map16 => self.map_of_length(2, depth_left)?,
            Marker::Map32 => self.map_of_length(4, depth_left)?,
            _ => {
                return Err(DecodeError::Type {
                    at,
                    marker: format!("{marker:?}"),
                });
            }
        })
    }

    fn text(&mut self, length: usize) -> Result<Value<'a>, DecodeError> {
        let at = self.at;
        let text = str::from_utf8(self.take(length)?).map_err(|_| DecodeError::Text { at })?;
        Ok(Value::Text(text.into()))
    }

    fn text_of_length(&mut self, bytes: usize) -> Result<Value<'a>, DecodeError> {
        let length = self.length(bytes)?;
        self.text(length)
    }

    fn bytes_of_length(&mut self, bytes: usize) -> Result<Value<'a>, DecodeError> {
        let length = self.length(bytes)?;
        Ok(Value::Bytes(self.take(length)?.into()))
    }

    /// Checks that there may be `count` values more, one level deeper; none may be longer than the message.
    fn enter(&mut self, count: usize, depth_left: usize) -> Result<usize, DecodeError> {
        let deeper = depth_left.checked_sub(1);
        let deeper = deeper.ok_or(DecodeError::Depth(self.limits.depth))?;
        let left = self.values_left.checked_sub(count);
        self.values_left = left.ok_or(DecodeError::Values(self.limits.values))?;
        if count > self.message.len() - self.at {
            return Err(DecodeError::Truncated {
                at: self.message.len(),
            });
        }
        Ok(deeper)
    }

    fn list(&mut self, length: usize, depth_left: usize) -> Result<Value<'a>, DecodeError> {
        let deeper = self.enter(length, depth_left)?;
        let values = (0..length).map(|_| self.value(deeper));
        Ok(Value::List(values.collect::<Result<_, _>>()?))
    }

    fn list_of_length(&mut self, bytes: usize, depth_left: usize) -> Result<Value<'a>, DecodeError> {
        let length = self.length(bytes)?;
        self.list(length, depth_left)
    }

    fn map(&mut self, length: usize, depth_left: usize) -> Result<Value<'a>, DecodeError> {
        let deeper = self.enter(length, depth_left)?;
        let mut entries = Vec::with_capacity(length);
        for _ in 0..length {
            let name = self.name()?;
            entries.push((Cow::Borrowed(name), self.value(deeper)?));
        }
        let has = |name: &str| entries.iter().any(|(key, _)| key == name);
        match (has("__ndarray__"), has("__npgeneric__")) {
            (true, _) => Ok(Value::Array(numpy_array(&entries)?)),
            (_, true) => numpy_scalar(entries),
            _ => Ok(Value::Map(entries)),
        }
    }

    fn map_of_length(&mut self, bytes: usize, depth_left: usize) -> Result<Value<'a>, DecodeError> {
        let length = self.length(bytes)?;
        self.map(length, depth_left)
    }

    /// A text or the bytes of one: openpi's clients name the parts of an array in bytes.
    fn name(&mut self) -> Result<&'a str, DecodeError> {
        let at = self.at;
        match self.value(0)? {
            Value::Text(Cow::Borrowed(text)) => Ok(text),
            Value::Bytes(Cow::Borrowed(bytes)) => str::from_utf8(bytes).map_err(|_| DecodeError::Text { at }),
            other => Err(DecodeError::Name {
                at,
                found: other.kind(),
            }),
        }
    }
}

type Entries<'a> = Vec<(Cow<'a, str>, Value<'a>)>;

fn part<'v, 'a>(
    entries: &'v Entries<'a>,
    part: &'static str,
    expected: &'static str,
) -> (Option<&'v Value<'a>>, impl Fn(Option<&Value<'_>>) -> DecodeError) {
    let value = entries
        .iter()
        .find_map(|(name, value)| (name == part).then_some(value));
    let refused = move |value: Option<&Value<'_>>| DecodeError::ArrayPart {
        part,
        found: value.map_or_else(|| "nothing".to_owned(), Value::kind),
        expected,
    };
    (value, refused)
}

fn dtype_name<'v>(entries: &'v Entries<'_>) -> Result<&'v str, DecodeError> {
    let (value, refused) = part(entries, "dtype", "NumPy's name of a type");
    value.and_then(Value::text).ok_or_else(|| refused(value))
}

fn numpy_array<'a>(entries: &Entries<'a>) -> Result<Array<'a>, DecodeError> {
    let dtype = Dtype::from_numpy(dtype_name(entries)?)?;
    let (value, refused) = part(entries, "shape", "a list of lengths");
    let Some(Value::List(lengths)) = value else {
        return Err(refused(value));
    };
    let shape = lengths
        .iter()
        .map(|length| length.count().ok_or_else(|| refused(Some(length))));
    let shape = shape.collect::<Result<Vec<_>, _>>()?;
    match part(entries, "data", "bytes") {
        (Some(Value::Bytes(Cow::Borrowed(bytes))), _) => Ok(Array::new(dtype, shape, *bytes)?),
        (value, refused) => Err(refused(value)),
    }
}

/// A scalar of NumPy is the number or text that it has.
fn numpy_scalar<'a>(entries: Entries<'a>) -> Result<Value<'a>, DecodeError> {
    let name = dtype_name(&entries)?;
    // Texts have their length in their type.
    let is_text = name.trim_start_matches(['<', '>', '|']).starts_with(['U', 'S']);
    if !is_text {
        Dtype::from_numpy(name)?;
    }
    let (value, refused) = part(&entries, "data", "a number or a text");
    match value {
        Some(Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Text(_) | Value::Bytes(_)) => {
            Ok(value.cloned().expect("there is one"))
        }
        _ => Err(refused(value)),
    }
}

#[cfg(test)]
mod tests;
