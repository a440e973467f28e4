//! Tensors in safetensors files, mapped into memory.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use safetensors::{SafeTensorError, SafeTensors};
use serde::Deserialize;

use super::error::CheckpointError;
use super::mapped_file::MappedFile;
use crate::device::{Dtype, HostTensor};

/// Bytes of a safetensors file before its header: the header's length.
const HEADER_LENGTH_BYTES: usize = 8;

/// Tensors of one or several safetensors files, by their stored names.
#[derive(Default)]
pub(super) struct TensorFiles {
    files: Vec<MappedFile>,
    tensors: BTreeMap<String, StoredTensor>,
}

pub(super) struct StoredTensor {
    pub dtype: safetensors::Dtype,
    pub shape: Vec<usize>,
    file: usize,
    bytes: Range<usize>,
}

impl StoredTensor {
    /// Element type; `None` for one that weights cannot have.
    pub fn float_type(&self) -> Option<Dtype> {
        match self.dtype {
            safetensors::Dtype::F32 => Some(Dtype::F32),
            safetensors::Dtype::BF16 => Some(Dtype::Bf16),
            safetensors::Dtype::F16 => Some(Dtype::F16),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct ShardIndex {
    /// File of each tensor.
    weight_map: BTreeMap<String, String>,
}

impl TensorFiles {
    /// Maps the weights of a checkpoint: `model.safetensors`, or the shards that
    /// `model.safetensors.index.json` names.
    pub fn open_model(folder: &Path) -> Result<Self, CheckpointError> {
        let whole = folder.join("model.safetensors");
        let index = folder.join("model.safetensors.index.json");
        super::folder::refuse_broken_link(&whole)?;
        if whole.exists() {
            Self::open(&whole)
        } else if index.exists() {
            Self::open_shards(folder, &index)
        } else {
            Err(CheckpointError::File {
                path: folder.to_owned(),
                problem: "found neither model.safetensors nor model.safetensors.index.json".to_owned(),
            })
        }
    }

    /// Maps one file.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let mut files = Self::default();
        files.add(path)?;
        Ok(files)
    }

    fn open_shards(folder: &Path, index_path: &Path) -> Result<Self, CheckpointError> {
        let index: ShardIndex = super::json::read(index_path)?;
        let mut files = Self::default();
        let shards: BTreeSet<&String> = index.weight_map.values().collect();
        for &shard in &shards {
            let Some(path) = super::folder::named_file(folder, shard) else {
                return Err(CheckpointError::File {
                    path: folder.join(shard),
                    problem: format!("missing in this folder, but {} names it", index_path.display()),
                });
            };
            files.add(&path)?;
        }
        let missing: Vec<&str> = index
            .weight_map
            .keys()
            .filter(|name| !files.tensors.contains_key(*name))
            .map(String::as_str)
            .collect();
        if !missing.is_empty() {
            return Err(CheckpointError::File {
                path: index_path.to_owned(),
                problem: format!("names tensors that are in no shard: {}", missing.join(", ")),
            });
        }
        Ok(files)
    }

    fn add(&mut self, path: &Path) -> Result<(), CheckpointError> {
        let file_error = |problem| CheckpointError::File {
            path: path.to_owned(),
            problem,
        };
        let map = MappedFile::open(path)?;
        if map.is_empty() {
            return Err(file_error("the file is empty, expected safetensors".to_owned()));
        }
        let (header_bytes, metadata) =
            SafeTensors::read_metadata(&map).map_err(|error| file_error(describe(&error)))?;
        let data = HEADER_LENGTH_BYTES + header_bytes;
        for (name, info) in metadata.tensors() {
            let (begin, end) = info.data_offsets;
            let tensor = StoredTensor {
                dtype: info.dtype,
                shape: info.shape.clone(),
                file: self.files.len(),
                bytes: data + begin..data + end,
            };
            if self.tensors.insert(name.clone(), tensor).is_some() {
                return Err(file_error(format!("{name} is in another shard too")));
            }
        }
        self.files.push(map);
        Ok(())
    }

    /// Checks that all that was read until now was one version of the files.
    ///
    /// # Errors
    /// When one was written to since it was opened, or a part of it could not be read.
    pub fn expect_unchanged(&self) -> Result<(), CheckpointError> {
        self.files.iter().try_for_each(MappedFile::expect_unchanged)
    }

    /// Iterates over all tensors, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &StoredTensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Type and shape of a stored tensor.
    pub fn info(&self, name: &str) -> Option<&StoredTensor> {
        self.tensors.get(name)
    }

    /// Tensor of a stored name; `None` for a type that weights cannot have.
    pub fn get(&self, name: &str) -> Option<HostTensor<'_>> {
        let tensor = self.tensors.get(name)?;
        Some(HostTensor {
            dtype: tensor.float_type()?,
            shape: tensor.shape.clone(),
            bytes: Cow::Borrowed(&self.files[tensor.file][tensor.bytes.clone()]),
        })
    }
}

fn describe(error: &SafeTensorError) -> String {
    match error {
        SafeTensorError::MetadataIncompleteBuffer | SafeTensorError::InvalidHeaderLength => {
            "truncated: the file is shorter than its header says, or longer".to_owned()
        }
        SafeTensorError::HeaderTooSmall => "truncated: the file ends within its header".to_owned(),
        SafeTensorError::HeaderTooLarge
        | SafeTensorError::InvalidHeader(_)
        | SafeTensorError::InvalidHeaderStart
        | SafeTensorError::InvalidHeaderDeserialization(_) => {
            format!("not a safetensors file: {error}")
        }
        _ => format!("damaged: {error}"),
    }
}
