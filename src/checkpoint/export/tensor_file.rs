//! A safetensors file whose tensors are written in any order and piece by piece.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::tensor::{Metadata, TensorInfo};

use crate::checkpoint::error::CheckpointError;
use crate::device::Dtype;

/// Bytes of the header's length, at the beginning of the file, and the multiple of which the header is.
const ALIGNMENT: usize = 8;

/// Name, type and shape of a tensor to be written.
pub(in crate::checkpoint) struct NewTensor {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
}

/// File of tensors, which each have their place from the beginning.
pub(in crate::checkpoint) struct TensorFile {
    path: PathBuf,
    file: File,
    tensors: BTreeMap<String, Place>,
}

struct Place {
    dtype: Dtype,
    /// Where the next values go, and where the tensor ends, from the beginning of the file.
    next: u64,
    end: u64,
}

impl TensorFile {
    /// Creates the file with the header of these tensors.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(path: &Path, tensors: Vec<NewTensor>) -> Result<Self, CheckpointError> {
        let mut places = BTreeMap::new();
        let mut infos = Vec::new();
        let mut end = 0;
        for NewTensor { name, dtype, shape } in tensors {
            let start = end;
            end += shape.iter().product::<usize>() * dtype.size();
            infos.push((
                name.clone(),
                TensorInfo {
                    dtype: match dtype {
                        Dtype::F32 => safetensors::Dtype::F32,
                        Dtype::Bf16 => safetensors::Dtype::BF16,
                        Dtype::F16 => safetensors::Dtype::F16,
                    },
                    shape,
                    data_offsets: (start, end),
                },
            ));
            places.insert(name, (dtype, start, end));
        }
        // LeRobot's loader (transformers) takes no file without this.
        let format = [("format".to_owned(), "pt".to_owned())];
        let metadata = Metadata::new(Some(format.into()), infos).expect("tensors follow each other");
        let mut header = serde_json::to_vec(&metadata).expect("names and shapes are JSON");
        header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
        let begin = (ALIGNMENT + header.len()) as u64;
        let place = |(name, (dtype, start, end)): (String, (Dtype, usize, usize))| {
            let place = Place {
                dtype,
                next: begin + start as u64,
                end: begin + end as u64,
            };
            (name, place)
        };
        let create = || -> io::Result<File> {
            let file = File::create_new(path)?;
            file.write_all_at(&(header.len() as u64).to_le_bytes(), 0)?;
            file.write_all_at(&header, ALIGNMENT as u64)?;
            file.set_len(begin + end as u64)?;
            Ok(file)
        };
        Ok(Self {
            path: path.to_owned(),
            file: create().map_err(|source| write_error(path, source))?,
            tensors: places.into_iter().map(place).collect(),
        })
    }

    /// Writes the next values of a tensor, rounded to its type.
    ///
    /// # Errors
    /// When the file cannot be written.
    ///
    /// # Panics
    /// When there is no such tensor, or it has fewer values.
    pub fn append(&mut self, name: &str, values: &[f32]) -> Result<(), CheckpointError> {
        let bytes: Vec<u8> = match self.tensors[name].dtype {
            Dtype::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Dtype::Bf16 => values
                .iter()
                .flat_map(|value| bf16::from_f32(*value).to_le_bytes())
                .collect(),
            Dtype::F16 => values
                .iter()
                .flat_map(|value| f16::from_f32(*value).to_le_bytes())
                .collect(),
        };
        self.append_bytes(name, &bytes)
    }

    /// Writes the next values of a tensor, which have its type.
    ///
    /// # Errors
    /// When the file cannot be written.
    ///
    /// # Panics
    /// When there is no such tensor, or it has fewer values.
    pub fn append_bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), CheckpointError> {
        let place = self.tensors.get_mut(name).expect("a tensor of the header");
        let end = place.next + bytes.len() as u64;
        assert!(end <= place.end, "more values of {name} than it has");
        self.file
            .write_all_at(bytes, place.next)
            .map_err(|source| write_error(&self.path, source))?;
        place.next = end;
        Ok(())
    }

    /// Ends the file, and waits until it is on the disk.
    ///
    /// # Errors
    /// When the file cannot be written.
    ///
    /// # Panics
    /// When a tensor lacks values.
    pub fn finish(self) -> Result<(), CheckpointError> {
        for (name, place) in &self.tensors {
            assert_eq!(place.next, place.end, "{name} lacks values");
        }
        self.file
            .sync_all()
            .map_err(|source| write_error(&self.path, source))
    }
}

fn write_error(path: &Path, source: io::Error) -> CheckpointError {
    CheckpointError::Write {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::SafeTensors;

    #[test]
    fn tensors_written_in_pieces_and_any_order_are_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tensors.safetensors");
        let new = |name: &str, dtype, shape: &[usize]| NewTensor {
            name: name.to_owned(),
            dtype,
            shape: shape.to_vec(),
        };
        let tensors = vec![new("a", Dtype::F32, &[2, 2]), new("b", Dtype::Bf16, &[3])];
        let mut file = TensorFile::create(&path, tensors).unwrap();
        file.append("a", &[1.0, 2.0]).unwrap();
        file.append("b", &[-1.0, 0.5, 1.0 + 1.0 / 512.0]).unwrap();
        file.append("a", &[3.0, 4.0]).unwrap();
        file.finish().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let a: Vec<u8> = [1.0_f32, 2.0, 3.0, 4.0]
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        assert_eq!(tensors.tensor("a").unwrap().data(), a);
        assert_eq!(tensors.tensor("a").unwrap().shape(), [2, 2]);
        let b: Vec<u8> = [-1.0, 0.5, 1.0]
            .iter()
            .flat_map(|value| bf16::from_f32(*value).to_le_bytes())
            .collect();
        assert_eq!(tensors.tensor("b").unwrap().data(), b);
    }
}
