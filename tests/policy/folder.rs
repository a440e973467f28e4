//! Checkpoint folders to break, and readers of the reference's files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pi0_node::device::HostTensor;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::Value;
use tempfile::TempDir;

pub fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/reference")
        .join(name)
}

/// A tensor of a safetensors file.
#[derive(Clone)]
pub struct Tensor {
    pub dtype: safetensors::Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Tensor {
    pub fn f32(values: &[f32], shape: &[usize]) -> Self {
        Self {
            dtype: safetensors::Dtype::F32,
            shape: shape.to_vec(),
            bytes: HostTensor::from_f32(values, shape).bytes.into_owned(),
        }
    }

    /// Values of an integer type of N bytes.
    pub fn integers<const N: usize, I: Into<i64>>(&self, convert: impl Fn([u8; N]) -> I) -> Vec<i64> {
        let (values, _) = self.bytes.as_chunks::<N>();
        values.iter().map(|bytes| convert(*bytes).into()).collect()
    }

    pub fn to_f32(&self) -> Vec<f32> {
        assert_eq!(self.dtype, safetensors::Dtype::F32);
        let (values, _) = self.bytes.as_chunks::<4>();
        values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }
}

pub type Tensors = BTreeMap<String, Tensor>;

pub fn read_tensors(path: &Path) -> Tensors {
    let bytes = fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let owned = |view: TensorView| Tensor {
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        bytes: view.data().to_vec(),
    };
    tensors
        .iter()
        .map(|(name, view)| (name.to_owned(), owned(view)))
        .collect()
}

pub fn write_tensors(path: &Path, tensors: &Tensors) {
    let views = tensors.iter().map(|(name, tensor)| {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).unwrap();
        (name, view)
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// A copy of the reference's small checkpoint that a test may change.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self::overlaid(&[])
    }

    /// The small checkpoint of π0.5.
    pub fn pi05() -> Self {
        Self::joined(&["pi05/checkpoint"])
    }

    /// The small checkpoint with the files of another folder over its own.
    pub fn overlaid(others: &[&str]) -> Self {
        Self::joined(&[&["checkpoint"], others].concat())
    }

    /// Files of all these folders, of those of one name the last.
    pub fn joined(folders: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for from in folders {
            for file in fs::read_dir(reference(from)).unwrap() {
                let file = file.unwrap();
                fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
            }
        }
        Self(folder)
    }

    /// A small checkpoint as if it had been trained to go on from so many clean actions.
    pub fn trained(folders: &[&str], rtc_training_max_delay: usize) -> Self {
        let folder = Self::joined(folders);
        folder.change_json("config.json", |config| {
            config["rtc_training_max_delay"] = rtc_training_max_delay.into();
        });
        folder
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.file(name)).unwrap();
    }

    pub fn weights(&self) -> Tensors {
        read_tensors(&self.file("model.safetensors"))
    }

    pub fn change_tensors(&self, file: &str, change: impl FnOnce(&mut Tensors)) {
        let mut tensors = read_tensors(&self.file(file));
        change(&mut tensors);
        write_tensors(&self.file(file), &tensors);
    }

    pub fn change_json(&self, file: &str, change: impl FnOnce(&mut Value)) {
        let mut value: Value = serde_json::from_str(&fs::read_to_string(self.file(file)).unwrap()).unwrap();
        change(&mut value);
        fs::write(self.file(file), value.to_string()).unwrap();
    }
}
