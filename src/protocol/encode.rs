//! Values to msgpack, as openpi's `msgpack_numpy` packs them.

use rmp::encode::{
    write_array_len, write_bin, write_bool, write_f64, write_map_len, write_nil, write_sint, write_str,
    write_uint,
};

use super::array::Array;
use super::value::Value;

/// The message of a value.
///
/// # Panics
/// When a text, list, map or array has 2³² elements or bytes, or an integer more than 64 bits.
pub fn encode(value: &Value<'_>) -> Vec<u8> {
    // Frames are large, and a message that grows is copied.
    let mut message = Vec::with_capacity(most_bytes(value));
    write(&mut message, value);
    message
}

/// Bytes of the longest type and length that msgpack puts before a value.
const HEAD: usize = 9;

/// Upper bound of the bytes of a value's message.
fn most_bytes(value: &Value<'_>) -> usize {
    HEAD + match value {
        Value::Nil | Value::Bool(_) | Value::Integer(_) | Value::Float(_) => 0,
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(values) => values.iter().map(most_bytes).sum(),
        Value::Map(entries) => {
            let entries = entries.iter();
            entries
                .map(|(name, value)| HEAD + name.len() + most_bytes(value))
                .sum()
        }
        // Four names, the type's name, and the shape beside the elements.
        Value::Array(array) => array.bytes().len() + 64 + HEAD * array.shape().len(),
    }
}

const IN_MEMORY: &str = "writing to memory does not fail";

fn length(count: usize) -> u32 {
    u32::try_from(count).expect("fewer than 2³² elements")
}

fn write(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Nil => write_nil(out).expect(IN_MEMORY),
        Value::Bool(value) => write_bool(out, *value).expect(IN_MEMORY),
        Value::Integer(number) => {
            match u64::try_from(*number) {
                Ok(number) => write_uint(out, number),
                Err(_) => write_sint(out, i64::try_from(*number).expect("64 bits")),
            }
            .expect(IN_MEMORY);
        }
        Value::Float(number) => write_f64(out, *number).expect(IN_MEMORY),
        Value::Text(text) => write_str(out, text).expect(IN_MEMORY),
        Value::Bytes(bytes) => write_bytes(out, bytes),
        Value::List(values) => {
            write_array_len(out, length(values.len())).expect(IN_MEMORY);
            for value in values {
                write(out, value);
            }
        }
        Value::Map(entries) => {
            write_map_len(out, length(entries.len())).expect(IN_MEMORY);
            for (name, value) in entries {
                write_str(out, name).expect(IN_MEMORY);
                write(out, value);
            }
        }
        Value::Array(array) => write_array(out, array),
    }
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    length(bytes.len());
    write_bin(out, bytes).expect(IN_MEMORY);
}

/// A map whose names are bytes, which no map of an observation has.
fn write_array(out: &mut Vec<u8>, array: &Array<'_>) {
    write_map_len(out, 4).expect(IN_MEMORY);
    write_bytes(out, b"__ndarray__");
    write_bool(out, true).expect(IN_MEMORY);
    write_bytes(out, b"data");
    write_bytes(out, array.bytes());
    write_bytes(out, b"dtype");
    write_str(out, &array.dtype().to_string()).expect(IN_MEMORY);
    write_bytes(out, b"shape");
    write_array_len(out, length(array.shape().len())).expect(IN_MEMORY);
    for &dimension in array.shape() {
        write_uint(out, dimension as u64).expect(IN_MEMORY);
    }
}
