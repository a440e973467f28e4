//! One folder with all that a robot needs of a checkpoint.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::export::{NewTensor, TensorFile, write_new_folder};
use super::names::is_old_statistic;
use super::{Checkpoint, CheckpointError, CheckpointOptions, json};
use crate::device::{Dtype, HostTensor};
use crate::model::Weights;
use crate::model::parameters::{EMBED_TOKENS, parameters};

/// PaliGemma's output layer, under which LeRobot stores the token embedding: the two are tied.
const LANGUAGE_HEAD: &str = "paligemma_with_expert.paligemma.lm_head.weight";
/// JSON files that describe weights which are not in the new folder.
const OF_OTHER_WEIGHTS: [&str; 2] = ["model.safetensors.index.json", "adapter_config.json"];

/// What a prepared folder has.
#[derive(Clone, Debug)]
pub struct Preparation {
    /// Folder of the policy that was read.
    pub source: PathBuf,
    /// Parameters of the model.
    pub parameters: usize,
    /// Bytes of the file of weights.
    pub bytes: u64,
}

/// Writes one self-contained folder: weights in one file, all in `dtype` or in the types in which they are stored, with
/// configuration, processors, statistics and tokenizer.
///
/// # Errors
/// When the checkpoint cannot be opened, or `new_folder` exists or cannot be written. Nothing is left of it then.
pub fn prepare(
    folder: &Path,
    options: &CheckpointOptions,
    new_folder: &Path,
    dtype: Option<Dtype>,
) -> Result<Preparation, CheckpointError> {
    let checkpoint = Checkpoint::open_with(folder, options)?;
    write_new_folder(new_folder, |temporary| {
        copy_description(checkpoint.folder(), temporary, dtype)?;
        copy_tokenizer(&checkpoint, temporary)?;
        let weights = temporary.join("model.safetensors");
        let parameters = write_weights(&checkpoint, &weights, dtype)?;
        let bytes = fs::metadata(&weights)
            .map_err(|source| CheckpointError::Read {
                path: weights,
                source,
            })?
            .len();
        // What the node would refuse is not handed out.
        Checkpoint::open(temporary)?;
        Ok(Preparation {
            source: checkpoint.folder().to_owned(),
            parameters,
            bytes,
        })
    })
}

/// Writes the model's parameters, and statistics that are stored among them.
fn write_weights(
    checkpoint: &Checkpoint,
    path: &Path,
    dtype: Option<Dtype>,
) -> Result<usize, CheckpointError> {
    let parameters = parameters(&checkpoint.config().model);
    let stored_name = |name: &str| match name {
        EMBED_TOKENS => format!("model.{LANGUAGE_HEAD}"),
        _ => format!("model.{name}"),
    };
    let statistics: Vec<(&str, HostTensor)> = checkpoint
        .files
        .iter()
        .filter(|(name, _)| is_old_statistic(name))
        .filter_map(|(name, _)| Some((name, checkpoint.files.get(name)?)))
        .collect();
    let mut tensors = Vec::new();
    for parameter in &parameters {
        let tensor = checkpoint.tensor(&parameter.name);
        tensors.push(NewTensor {
            name: stored_name(&parameter.name),
            dtype: dtype.unwrap_or(tensor.dtype),
            shape: parameter.shape.clone(),
        });
    }
    tensors.extend(statistics.iter().map(|(name, tensor)| NewTensor {
        name: (*name).to_owned(),
        dtype: tensor.dtype,
        shape: tensor.shape.clone(),
    }));
    let mut file = TensorFile::create(path, tensors)?;
    let mut count = 0;
    for parameter in &parameters {
        let tensor = checkpoint.tensor(&parameter.name);
        let name = stored_name(&parameter.name);
        count += tensor.len();
        match dtype {
            Some(dtype) if dtype != tensor.dtype => file.append(&name, &tensor.to_f32())?,
            _ => file.append_bytes(&name, &tensor.bytes)?,
        }
    }
    for (name, tensor) in statistics {
        file.append_bytes(name, &tensor.bytes)?;
    }
    file.finish()?;
    checkpoint.expect_unchanged()?;
    Ok(count)
}

/// Copies all but the weights: JSON files, the processors' statistics, and openpi's assets.
fn copy_description(from: &Path, to: &Path, dtype: Option<Dtype>) -> Result<(), CheckpointError> {
    for path in entries(from)? {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        if path.is_dir() {
            if name == "assets" {
                copy_assets(&path, &to.join(name))?;
            }
            continue;
        }
        let is_json = name.ends_with(".json") && !OF_OTHER_WEIGHTS.contains(&name);
        let is_statistics = name.starts_with("policy_") && name.ends_with(".safetensors");
        if name == "config.json" {
            write_config(&path, &to.join(name), dtype)?;
        } else if is_json || is_statistics {
            copy(&path, &to.join(name))?;
        }
    }
    Ok(())
}

/// Copies the tokenizer that was found, wherever it is, so that it is in the new folder.
fn copy_tokenizer(checkpoint: &Checkpoint, to: &Path) -> Result<(), CheckpointError> {
    let file = checkpoint.tokenizer().file();
    let name = match file.extension() == Some(OsStr::new("model")) {
        true => "tokenizer.model",
        false => "tokenizer.json",
    };
    copy(file, &to.join(name))
}

/// Writes the configuration of weights that are whole and of this type.
fn write_config(from: &Path, to: &Path, dtype: Option<Dtype>) -> Result<(), CheckpointError> {
    let mut config: Value = json::read(from)?;
    if config.get("use_peft").is_some() {
        config["use_peft"] = Value::Bool(false);
    }
    if let Some(dtype) = dtype
        && config.get("type").is_some()
    {
        config["dtype"] = Value::String(dtype.name().to_owned());
    }
    json::write(to, &config)
}

fn copy_assets(from: &Path, to: &Path) -> Result<(), CheckpointError> {
    fs::create_dir_all(to).map_err(|source| CheckpointError::Write {
        path: to.to_owned(),
        source,
    })?;
    for path in entries(from)? {
        let copied = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_assets(&path, &copied)?;
        } else if path.extension() == Some(OsStr::new("json")) {
            copy(&path, &copied)?;
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let read =
        || -> io::Result<Vec<PathBuf>> { fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect() };
    read().map_err(|source| CheckpointError::Read {
        path: folder.to_owned(),
        source,
    })
}

fn copy(from: &Path, to: &Path) -> Result<(), CheckpointError> {
    fs::copy(from, to)
        .map(drop)
        .map_err(|source| CheckpointError::Write {
            path: to.to_owned(),
            source,
        })
}
