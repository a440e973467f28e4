//! JSON files of a checkpoint.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::CheckpointError;

/// Reads a JSON file as a value of `T`.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, CheckpointError> {
    super::folder::refuse_broken_link(path)?;
    let text = fs::read_to_string(path).map_err(|source| CheckpointError::Read {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_str(&text).map_err(|error| CheckpointError::File {
        path: path.to_owned(),
        problem: error.to_string(),
    })
}

/// Whether a key of an object is `true`.
pub(super) fn is_set(object: &Value, key: &str) -> bool {
    object.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// Converts JSON that was read from `path` to a value of `T`.
pub(super) fn parse<T: DeserializeOwned>(path: &Path, value: Value) -> Result<T, CheckpointError> {
    serde_json::from_value(value).map_err(|error| CheckpointError::File {
        path: path.to_owned(),
        problem: error.to_string(),
    })
}

/// Writes JSON, indented.
#[cfg(feature = "cli")]
pub(super) fn write(path: &Path, value: &Value) -> Result<(), CheckpointError> {
    let text = serde_json::to_string_pretty(value).expect("a value is JSON");
    fs::write(path, format!("{text}\n")).map_err(|source| CheckpointError::Write {
        path: path.to_owned(),
        source,
    })
}
