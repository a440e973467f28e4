//! Arrays of zarr version 2 in a database, read one slice of their first axis after the other.

use std::io::{self, Read};

use half::{bf16, f16};
use serde::Deserialize;

use super::ocdbt::Database;
use crate::device::Dtype;

/// Most values of an array. The largest of π0 has 1.2 · 10⁹.
const MOST_VALUES: usize = 1 << 32;
/// Most values of a slice. The largest of π0, both gates of a layer, has 6.7 · 10⁷.
const MOST_SLICE_VALUES: usize = 1 << 28;
/// Most chunks that a slice consists of.
const MOST_CHUNKS: usize = 1 << 16;

/// Array of a database, which has at least one axis.
#[derive(Debug)]
pub(super) struct Array {
    /// Key of the array, without what follows its slash.
    key: String,
    pub shape: Vec<usize>,
    chunks: Vec<usize>,
    dtype: Dtype,
    is_compressed: bool,
    /// Between the numbers of a chunk's key.
    separator: String,
    /// Whether chunks of nothing but zeros may be left out.
    may_omit_zeros: bool,
}

/// `.zarray`, as far as orbax uses it.
#[derive(Deserialize)]
struct Metadata {
    zarr_format: u32,
    shape: Vec<usize>,
    chunks: Vec<usize>,
    dtype: String,
    compressor: Option<Compressor>,
    order: String,
    filters: Option<serde_json::Value>,
    fill_value: Option<serde_json::Value>,
    dimension_separator: Option<String>,
}

#[derive(Deserialize)]
struct Compressor {
    id: String,
}

impl Array {
    /// Reads the description of the array `key` from its `.zarray`. `may_omit_zeros` tells whether chunks of nothing but zeros
    /// may be left out.
    ///
    /// # Errors
    /// When it is not one that orbax writes, or the array is larger than any of π0.
    pub fn read(key: &str, metadata: &[u8], may_omit_zeros: bool) -> Result<Self, String> {
        let metadata: Metadata =
            serde_json::from_slice(metadata).map_err(|error| format!(".zarray: {error}"))?;
        let dtype = match metadata.dtype.as_str() {
            "<f4" => Dtype::F32,
            "<f2" => Dtype::F16,
            "bfloat16" => Dtype::Bf16,
            other => {
                return Err(format!(
                    "values of type {other:?}, expected \"<f4\" or \"bfloat16\""
                ));
            }
        };
        let compressor = metadata.compressor.map(|compressor| compressor.id);
        if let Some(other) = compressor.as_deref().filter(|id| *id != "zstd") {
            return Err(format!("compressed with {other:?}, expected \"zstd\" or none"));
        }
        let fills_with_zero = match &metadata.fill_value {
            None => true,
            Some(value) => value.as_f64() == Some(0.0),
        };
        if metadata.zarr_format != 2
            || metadata.order != "C"
            || metadata.filters.is_some()
            || !fills_with_zero
        {
            return Err(
                ".zarray has a format, order, filters or fill value that orbax does not write".to_owned(),
            );
        }
        let Metadata { shape, chunks, .. } = metadata;
        let product = |sizes: &[usize]| {
            sizes
                .iter()
                .try_fold(1_usize, |product, size| product.checked_mul(*size))
        };
        let is_sound = !shape.is_empty()
            && shape.len() == chunks.len()
            && product(&shape).is_some_and(|values| (1..=MOST_VALUES).contains(&values))
            && product(&chunks).is_some_and(|values| (1..=MOST_VALUES).contains(&values))
            && product(&shape[1..]).is_some_and(|values| values <= MOST_SLICE_VALUES)
            && product(&chunks[1..]).is_some_and(|values| values <= MOST_SLICE_VALUES);
        let array = Self {
            key: key.to_owned(),
            shape,
            chunks,
            dtype,
            is_compressed: compressor.is_some(),
            separator: metadata.dimension_separator.unwrap_or_else(|| ".".to_owned()),
            may_omit_zeros,
        };
        if !is_sound || array.chunks_of_slice() > MOST_CHUNKS {
            return Err(format!(
                "shape {:?} in chunks of {:?}, which is no array of π0",
                array.shape, array.chunks
            ));
        }
        Ok(array)
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Number of values of a slice of the first axis.
    pub fn slice_len(&self) -> usize {
        self.shape[1..].iter().product()
    }

    /// Type of the stored values.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Begins to read the slices of the first axis in their order.
    pub fn slices<'a>(&'a self, database: &'a Database) -> Slices<'a> {
        Slices {
            array: self,
            database,
            chunks: Vec::new(),
            next: 0,
            bytes: Vec::new(),
        }
    }

    /// Reads all values.
    ///
    /// # Errors
    /// When there are too many, or a chunk is truncated or damaged.
    pub fn values(&self, database: &Database) -> Result<Vec<f32>, String> {
        if self.len() > MOST_SLICE_VALUES {
            return Err(format!(
                "{}: shape {:?}, which is no array of π0",
                self.key, self.shape
            ));
        }
        let mut slices = self.slices(database);
        let mut values = Vec::new();
        for _ in 0..self.shape[0] {
            values.extend_from_slice(&slices.read()?);
        }
        Ok(values)
    }

    fn chunks_of_slice(&self) -> usize {
        let counts = self.shape.iter().zip(&self.chunks).skip(1);
        counts.map(|(size, chunk)| size.div_ceil(*chunk)).product()
    }
}

/// Reader of an array's slices of its first axis.
pub(super) struct Slices<'a> {
    array: &'a Array,
    database: &'a Database,
    /// The chunks that the next slice consists of.
    chunks: Vec<Chunk<'a>>,
    next: usize,
    bytes: Vec<u8>,
}

struct Chunk<'a> {
    key: String,
    /// Index of the chunk's first value on each axis but the first.
    origin: Vec<usize>,
    values: Box<dyn Read + 'a>,
}

impl Slices<'_> {
    /// Reads the next slice, row-major.
    ///
    /// # Errors
    /// When a chunk is truncated or damaged.
    ///
    /// # Panics
    /// When there is none.
    pub fn read(&mut self) -> Result<Vec<f32>, String> {
        let array = self.array;
        assert!(self.next < array.shape[0], "{} has no more slices", array.key);
        if self.next.is_multiple_of(array.chunks[0]) {
            self.open_chunks()?;
        }
        let shape = &array.shape[1..];
        let chunk_shape = &array.chunks[1..];
        let mut slice = vec![0.0; array.slice_len()];
        let size = array.dtype.size();
        self.bytes.resize(chunk_shape.iter().product::<usize>() * size, 0);
        for chunk in &mut self.chunks {
            chunk
                .values
                .read_exact(&mut self.bytes)
                .map_err(|error| format!("{}: {}", chunk.key, describe(&error)))?;
            copy_chunk(
                array.dtype,
                &self.bytes,
                chunk_shape,
                &chunk.origin,
                &mut slice,
                shape,
            );
        }
        self.next += 1;
        let is_last_of_chunk = self.next.is_multiple_of(array.chunks[0]);
        if is_last_of_chunk {
            self.check_ends()?;
        }
        Ok(slice)
    }

    fn open_chunks(&mut self) -> Result<(), String> {
        let array = self.array;
        let row = self.next / array.chunks[0];
        let counts: Vec<usize> = array
            .shape
            .iter()
            .zip(&array.chunks)
            .skip(1)
            .map(|(size, chunk)| size.div_ceil(*chunk))
            .collect();
        self.chunks.clear();
        for index in 0..array.chunks_of_slice() {
            let position = unravel(index, &counts);
            let numbers: Vec<String> = std::iter::once(row)
                .chain(position.iter().copied())
                .map(|number| number.to_string())
                .collect();
            let key = format!("{}/{}", array.key, numbers.join(&array.separator));
            let values: Box<dyn Read> = match self.database.get(&key) {
                None if array.may_omit_zeros => Box::new(io::repeat(0)),
                None => return Err(format!("{key}: missing, a part of an array")),
                Some(bytes) if array.is_compressed => {
                    Box::new(zstd::Decoder::with_buffer(bytes).map_err(|error| format!("{key}: {error}"))?)
                }
                Some(bytes) => Box::new(bytes),
            };
            self.chunks.push(Chunk {
                key,
                origin: position
                    .iter()
                    .zip(&array.chunks[1..])
                    .map(|(position, chunk)| position * chunk)
                    .collect(),
                values,
            });
        }
        Ok(())
    }

    /// Checks that stored chunks end with their last slice.
    fn check_ends(&mut self) -> Result<(), String> {
        for chunk in &mut self.chunks {
            let is_stored = self.database.get(&chunk.key).is_some();
            let more = chunk.values.read(&mut [0]).map_err(|error| error.to_string())?;
            if is_stored && more > 0 {
                return Err(format!("{}: has more values than a chunk", chunk.key));
            }
        }
        Ok(())
    }
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "truncated: has fewer values than a chunk".to_owned(),
        _ => format!("damaged: {error}"),
    }
}

/// Position on each axis of the `index`-th element of a row-major grid.
fn unravel(mut index: usize, counts: &[usize]) -> Vec<usize> {
    let mut position = vec![0; counts.len()];
    for (position, count) in position.iter_mut().zip(counts).rev() {
        *position = index % count;
        index /= count;
    }
    position
}

/// Copies the part of a chunk that is within the slice: chunks at an edge are stored whole.
fn copy_chunk(
    dtype: Dtype,
    bytes: &[u8],
    chunk_shape: &[usize],
    origin: &[usize],
    slice: &mut [f32],
    shape: &[usize],
) {
    let Some((&row_length, outer)) = shape.split_last() else {
        convert(dtype, bytes, slice);
        return;
    };
    let chunk_row = chunk_shape[outer.len()];
    let start = origin[outer.len()];
    let count = chunk_row.min(row_length - start);
    let size = dtype.size();
    for (row, bytes) in bytes.chunks_exact(chunk_row * size).enumerate() {
        let within = unravel(row, &chunk_shape[..outer.len()]);
        let position = within.iter().zip(origin).map(|(within, origin)| within + origin);
        if position
            .clone()
            .zip(outer)
            .any(|(position, size)| position >= *size)
        {
            continue;
        }
        let row = position
            .zip(outer)
            .fold(0, |row, (position, size)| row * size + position);
        let values = &mut slice[row * row_length + start..][..count];
        convert(dtype, &bytes[..count * size], values);
    }
}

fn convert(dtype: Dtype, bytes: &[u8], values: &mut [f32]) {
    let pairs = || values_of::<2>(bytes);
    match dtype {
        Dtype::F32 => fill(
            values,
            values_of::<4>(bytes).map(|bytes| f32::from_le_bytes(*bytes)),
        ),
        Dtype::Bf16 => fill(values, pairs().map(|bytes| bf16::from_le_bytes(*bytes).to_f32())),
        Dtype::F16 => fill(values, pairs().map(|bytes| f16::from_le_bytes(*bytes).to_f32())),
    }
}

fn values_of<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = &[u8; N]> {
    bytes.as_chunks::<N>().0.iter()
}

fn fill(values: &mut [f32], from: impl Iterator<Item = f32>) {
    for (value, from) in values.iter_mut().zip(from) {
        *value = from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#"{"zarr_format": 2, "shape": [3, 3], "chunks": [2, 2], "dtype": "<f4",
        "compressor": null, "order": "C", "filters": null, "fill_value": null}"#;

    fn chunk(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn database(chunks: &[(&str, Vec<u8>)]) -> Database {
        Database::of_values(
            chunks
                .iter()
                .map(|(key, bytes)| (format!("a/{key}"), bytes.clone())),
        )
    }

    #[test]
    fn chunks_at_the_edges_are_cut() {
        let database = database(&[
            ("0.0", chunk(&[1.0, 2.0, 4.0, 5.0])),
            ("0.1", chunk(&[3.0, -1.0, 6.0, -1.0])),
            ("1.0", chunk(&[7.0, 8.0, -1.0, -1.0])),
            ("1.1", chunk(&[9.0, -1.0, -1.0, -1.0])),
        ]);
        let array = Array::read("a", METADATA.as_bytes(), false).unwrap();
        assert_eq!(
            array.values(&database).unwrap(),
            [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
        );
    }

    #[test]
    fn a_missing_chunk_is_zero_only_where_zeros_may_be_left_out() {
        let database = database(&[
            ("0.0", chunk(&[1.0; 4])),
            ("1.0", chunk(&[1.0; 4])),
            ("1.1", chunk(&[1.0; 4])),
        ]);
        let array = |may_omit_zeros| Array::read("a", METADATA.as_bytes(), may_omit_zeros).unwrap();
        let values = array(true).values(&database).unwrap();
        assert_eq!(values, [1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0]);
        assert_eq!(
            array(false).values(&database).unwrap_err(),
            "a/0.1: missing, a part of an array"
        );
    }

    #[test]
    fn chunks_of_another_length_are_refused() {
        for (values, message) in [(3, "fewer"), (5, "more")] {
            let database = database(&[("0.0", chunk(&vec![1.0; values]))]);
            let array = Array::read("a", METADATA.as_bytes(), true).unwrap();
            let error = array.values(&database).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn other_types_compressors_and_absurd_shapes_are_refused() {
        for (from, to, message) in [
            ("<f4", ">f4", "values of type"),
            (
                "null, \"order\"",
                "{\"id\": \"blosc\"}, \"order\"",
                "compressed with \"blosc\"",
            ),
            ("\"C\"", "\"F\"", "order"),
            ("[3, 3]", "[4000000000000, 3]", "no array of π0"),
            ("[3, 3]", "[18446744073709551615, 2]", "no array of π0"),
            ("[2, 2]", "[0, 2]", "no array of π0"),
            ("[2, 2]", "[2]", "no array of π0"),
        ] {
            let changed = METADATA.replace(from, to);
            assert_ne!(changed, METADATA);
            let error = Array::read("a", changed.as_bytes(), false).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
}
