//! The folder of a step of openpi's training, and the arrays in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::mapping::model_type;
use super::ocdbt::Database;
use super::zarr::Array;
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::json;
use crate::device::Dtype;
use crate::model::ModelType;

/// File by which a database of parameters is known.
const MANIFEST: &str = "manifest.ocdbt";

/// Parameters of a step of openpi's training.
pub(super) struct Params {
    /// Folder of the database.
    pub folder: PathBuf,
    pub database: Database,
    /// By openpi's names, whose parts are separated by dots.
    pub arrays: BTreeMap<String, Array>,
}

impl Params {
    /// Opens the parameters of a step, or the folder `params` in it.
    ///
    /// # Errors
    /// When there are none, or they are damaged.
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        let folder = params_folder(folder)?;
        let database = Database::open(&folder)?;
        let arrays = arrays(&database, may_omit_zeros(&folder)).map_err(|problem| CheckpointError::File {
            path: folder.clone(),
            problem,
        })?;
        Ok(Self {
            folder,
            database,
            arrays,
        })
    }

    /// Folder of the step, which has the assets.
    pub fn step(&self) -> &Path {
        self.folder.parent().unwrap_or(&self.folder)
    }
}

/// Arrays of a step of openpi's training.
pub(in crate::checkpoint) struct StoredArrays {
    pub model_type: ModelType,
    /// Number of values of each array, and their type.
    pub values: Vec<(Dtype, usize)>,
    /// Whether a LoRA training wrote them.
    pub has_adapters: bool,
}

/// Describes the arrays of a step, or of the folder `params` in it.
///
/// # Errors
/// When there are none, or they are damaged.
pub(in crate::checkpoint) fn stored_arrays(folder: &Path) -> Result<StoredArrays, CheckpointError> {
    let Params { arrays, .. } = Params::open(folder)?;
    Ok(StoredArrays {
        model_type: model_type(arrays.keys().map(String::as_str)),
        values: arrays
            .values()
            .map(|array| (array.dtype(), array.len()))
            .collect(),
        has_adapters: arrays.keys().any(|name| name.ends_with("lora_a")),
    })
}

fn params_folder(folder: &Path) -> Result<PathBuf, CheckpointError> {
    let params = folder.join("params");
    if params.join(MANIFEST).is_file() {
        return Ok(params);
    }
    if folder.join(MANIFEST).is_file() {
        // The step is its parent, also where the folder is given as ".".
        return fs::canonicalize(folder).map_err(|source| CheckpointError::Read {
            path: folder.to_owned(),
            source,
        });
    }
    let steps: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|step| step.join("params").join(MANIFEST).is_file())
        .filter_map(|step| Some(step.file_name()?.to_str()?.to_owned()))
        .collect();
    let problem = if !steps.is_empty() {
        format!(
            "a training with the steps {}, give the folder of one",
            steps.join(", ")
        )
    } else if params.is_dir() {
        format!(
            "no {MANIFEST} in params, so the checkpoint was not finished, or orbax wrote it without OCDBT"
        )
    } else {
        format!("no params/{MANIFEST} in it, expected the folder of a step of openpi's JAX training")
    };
    Err(CheckpointError::File {
        path: folder.to_owned(),
        problem,
    })
}

/// Whether orbax left out the chunks of nothing but zeros, as it did before it noted in `_METADATA` that it does not.
fn may_omit_zeros(params: &Path) -> bool {
    let metadata: Option<Value> = json::read(&params.join("_METADATA")).ok();
    metadata.is_none_or(|metadata| metadata["store_array_data_equal_to_fill_value"] != true)
}

/// Describes every array of the database. In openpi's trainings every name ends in `value`, in published bases none.
fn arrays(database: &Database, may_omit_zeros: bool) -> Result<BTreeMap<String, Array>, String> {
    let mut arrays = BTreeMap::new();
    for key in database.keys() {
        if key.ends_with("/zarr.json") {
            return Err(format!(
                "{key}: an array of zarr 3, expected zarr 2, as openpi writes"
            ));
        }
        let Some(array_key) = key.strip_suffix("/.zarray") else {
            continue;
        };
        let metadata = database.get(key).unwrap_or_default();
        let array = Array::read(array_key, metadata, may_omit_zeros)
            .map_err(|problem| format!("{array_key}: {problem}"))?;
        let name = array_key.strip_prefix("params.").unwrap_or(array_key);
        let name = name.strip_suffix(".value").unwrap_or(name);
        if arrays.insert(name.to_owned(), array).is_some() {
            return Err(format!("{name} is stored with and without .value"));
        }
    }
    if arrays.is_empty() {
        return Err("no array in the database".to_owned());
    }
    Ok(arrays)
}
