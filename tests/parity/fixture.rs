//! Tensors that the reference computed.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use safetensors::{Dtype, SafeTensors};

/// One safetensors file.
pub struct Fixture {
    name: String,
    bytes: Vec<u8>,
}

/// A fixture's name in words.
pub fn name(path: &Path) -> Result<String> {
    let stem = path
        .file_stem()
        .with_context(|| format!("{} is no file", path.display()))?;
    Ok(stem.to_string_lossy().replace('_', " "))
}

impl Fixture {
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self {
            name: name(path)?,
            bytes: fs::read(path).with_context(|| format!("could not read {}", path.display()))?,
        })
    }

    /// The file's name in words.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn f32(&self, name: &str) -> Result<Vec<f32>> {
        self.elements(name, Dtype::F32, f32::from_le_bytes)
    }

    pub fn i64(&self, name: &str) -> Result<Vec<i64>> {
        self.elements(name, Dtype::I64, i64::from_le_bytes)
    }

    pub fn tokens(&self, name: &str) -> Result<Vec<u32>> {
        self.i64(name)?
            .into_iter()
            .map(|token| u32::try_from(token).with_context(|| format!("{name}: token {token}")))
            .collect()
    }

    pub fn mask(&self, name: &str) -> Result<Vec<bool>> {
        self.elements(name, Dtype::U8, |[byte]: [u8; 1]| byte != 0)
    }

    pub fn shape(&self, name: &str) -> Result<Vec<usize>> {
        Ok(self.file()?.tensor(name)?.shape().to_vec())
    }

    pub fn has(&self, name: &str) -> Result<bool> {
        Ok(self.file()?.names().contains(&name))
    }

    fn elements<T, const N: usize>(
        &self,
        name: &str,
        dtype: Dtype,
        convert: fn([u8; N]) -> T,
    ) -> Result<Vec<T>> {
        let file = self.file()?;
        let tensor = file
            .tensor(name)
            .with_context(|| format!("{}: {name}", self.name))?;
        if tensor.dtype() != dtype {
            bail!(
                "{}: {name} is {:?}, expected {dtype:?}",
                self.name,
                tensor.dtype()
            );
        }
        Ok(tensor
            .data()
            .as_chunks::<N>()
            .0
            .iter()
            .map(|&bytes| convert(bytes))
            .collect())
    }

    fn file(&self) -> Result<SafeTensors<'_>> {
        SafeTensors::deserialize(&self.bytes).with_context(|| self.name.clone())
    }
}
