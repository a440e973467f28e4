//! The program's process, and the files that it reads and writes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use half::bf16;
use safetensors::{Dtype, SafeTensors};
use tempfile::TempDir;

/// What a run of the program printed.
pub struct Printed {
    pub succeeded: bool,
    pub output: String,
    pub error: String,
}

pub fn run(arguments: &[&str]) -> Printed {
    run_in(&[], arguments)
}

/// Runs the program with some variables of the environment.
pub fn run_in(variables: &[(&str, &str)], arguments: &[&str]) -> Printed {
    let run = Command::new(env!("CARGO_BIN_EXE_pi0_checkpoint"))
        .envs(variables.iter().copied())
        .args(arguments)
        .output()
        .unwrap();
    Printed {
        succeeded: run.status.success(),
        output: String::from_utf8(run.stdout).unwrap(),
        error: String::from_utf8(run.stderr).unwrap(),
    }
}

/// A folder for what the program writes.
pub struct Scratch(TempDir);

impl Scratch {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Names of all that is in the folder.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let copy = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &copy);
        } else {
            fs::copy(&path, &copy).unwrap();
        }
    }
}

/// Shape and values of each tensor of a safetensors file.
pub fn tensors(path: &Path) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let bytes = fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let values = |dtype, bytes: &[u8]| -> Vec<f32> {
        match dtype {
            Dtype::F32 => {
                let (values, _) = bytes.as_chunks::<4>();
                values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
            }
            Dtype::BF16 => {
                let (values, _) = bytes.as_chunks::<2>();
                values
                    .iter()
                    .map(|bytes| bf16::from_le_bytes(*bytes).to_f32())
                    .collect()
            }
            other => panic!("values of type {other:?}"),
        }
    };
    tensors
        .iter()
        .map(|(name, view)| {
            let values = values(view.dtype(), view.data());
            (name.to_owned(), (view.shape().to_vec(), values))
        })
        .collect()
}
