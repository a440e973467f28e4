//! Fingerprint of an evaluation's inputs, by which a finished result is recognised.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use std::{fs, io};

use serde::Serialize;
use serde_json::{Value, json};
use twox_hash::XxHash64;

use super::evaluate::EvaluationOptions;
use crate::parameters::ParameterValue;

/// Parameters that change no result.
const WITHOUT_EFFECT: [&str; 1] = ["threads"];

/// Everything that a result depends on. It is hashed as JSON, so it stays the same whatever compiler made the program.
#[derive(Serialize)]
struct Inputs<'a> {
    version: &'a str,
    parameters: BTreeMap<&'a str, Value>,
    options: &'a EvaluationOptions,
    files: Vec<FileState>,
}

#[derive(Serialize)]
struct FileState {
    path: PathBuf,
    bytes: u64,
    modified_ns: u128,
}

/// Hashes the inputs of an evaluation: the program's version, the parameters that were set, the options, and name, size and
/// time of every file of the bag, of the checkpoint and of the base of an adapter.
///
/// # Errors
/// When the state of a file cannot be read.
pub fn fingerprint(
    bag: &Path,
    checkpoint: &Path,
    parameters: &BTreeMap<String, ParameterValue>,
    options: &EvaluationOptions,
) -> io::Result<String> {
    let effective = parameters
        .iter()
        .filter(|(name, _)| !WITHOUT_EFFECT.contains(&name.as_str()));
    let mut files = file_states(bag)?;
    files.extend(file_states(checkpoint)?);
    if let Some(ParameterValue::String(base)) = parameters.get("checkpoint_base")
        && !base.is_empty()
    {
        files.extend(file_states(Path::new(base))?);
    }
    let inputs = Inputs {
        version: env!("CARGO_PKG_VERSION"),
        parameters: effective
            .map(|(name, value)| (name.as_str(), to_json(value)))
            .collect(),
        options,
        files,
    };
    hash(&inputs)
}

/// Type and value of a parameter. Numbers with a fraction are their bits, for JSON has no infinity.
fn to_json(value: &ParameterValue) -> Value {
    let type_name = value.type_name();
    match value {
        ParameterValue::NotSet => json!([type_name]),
        ParameterValue::Bool(value) => json!([type_name, value]),
        ParameterValue::Integer(value) => json!([type_name, value]),
        ParameterValue::Double(value) => json!([type_name, value.to_bits()]),
        ParameterValue::String(value) => json!([type_name, value]),
        ParameterValue::ByteArray(values) => json!([type_name, values]),
        ParameterValue::BoolArray(values) => json!([type_name, values]),
        ParameterValue::IntegerArray(values) => json!([type_name, values]),
        ParameterValue::DoubleArray(values) => {
            json!([
                type_name,
                values.iter().map(|value| value.to_bits()).collect::<Vec<_>>()
            ])
        }
        ParameterValue::StringArray(values) => json!([type_name, values]),
    }
}

fn hash(inputs: &Inputs) -> io::Result<String> {
    let json = serde_json::to_vec(inputs)?;
    Ok(format!("{:016x}", XxHash64::oneshot(0, &json)))
}

/// State of a file, or of every file that lies in a folder.
fn file_states(path: &Path) -> io::Result<Vec<FileState>> {
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        let entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path()));
        files = entries.collect::<io::Result<_>>()?;
        files.retain(|file| file.is_file());
        files.sort();
    }
    let state = |path: PathBuf| {
        let metadata = fs::metadata(&path)?;
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH);
        Ok(FileState {
            path,
            bytes: metadata.len(),
            modified_ns: modified.unwrap_or_default().as_nanos(),
        })
    };
    files.into_iter().map(state).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn options() -> EvaluationOptions {
        EvaluationOptions {
            actions_topic: Some("/commands".to_owned()),
            execution_horizon: Some(25),
            longest_gap: Duration::from_millis(500),
            still: 0.01,
            flow_matching_loss: true,
        }
    }

    #[test]
    fn a_fingerprint_is_the_same_for_every_compiler_and_machine() {
        let values = [
            ("checkpoint", ParameterValue::String("/checkpoint".to_owned())),
            ("control_rate_hz", ParameterValue::Double(50.0)),
            ("seed", ParameterValue::Integer(-7)),
            ("use_sim_time", ParameterValue::Bool(true)),
            ("joint_scales", ParameterValue::DoubleArray(vec![1.0, 0.1])),
        ];
        let options = options();
        let inputs = Inputs {
            version: "1.2.3",
            parameters: values
                .iter()
                .map(|(name, value)| (*name, to_json(value)))
                .collect(),
            options: &options,
            files: vec![FileState {
                path: PathBuf::from("/bags/one.mcap"),
                bytes: 1234,
                modified_ns: 1_700_000_000_123_456_789,
            }],
        };
        assert_eq!(hash(&inputs).unwrap(), "a5c24c9500bb95af");
    }

    #[test]
    fn only_what_changes_a_result_changes_its_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        let bag = folder.path().join("bag.mcap");
        fs::write(&bag, "messages").unwrap();
        let checkpoint = tempfile::tempdir().unwrap();
        let of = |seed, threads, options: &EvaluationOptions| {
            let parameters = [("seed", seed), ("threads", threads)]
                .map(|(name, value)| (name.to_owned(), ParameterValue::Integer(value)));
            fingerprint(&bag, checkpoint.path(), &parameters.into(), options).unwrap()
        };
        let first = of(1, 1, &options());
        assert_eq!(of(1, 4, &options()), first);
        assert_ne!(of(2, 1, &options()), first);
        let other = EvaluationOptions {
            still: 0.02,
            ..options()
        };
        assert_ne!(of(1, 1, &other), first);
        fs::write(&bag, "more messages").unwrap();
        assert_ne!(of(1, 1, &options()), first);
    }
}
