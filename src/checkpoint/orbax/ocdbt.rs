//! Databases of TensorStore's OCDBT, read at their newest version.
//!
//! The format is the public one of TensorStore ("OCDBT key-value store driver, storage format"): a manifest names the
//! root of a B+ tree, whose leaves hold small values and refer to large ones in data files.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::cursor::Cursor;
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::folder::named_file;
use crate::checkpoint::mapped_file::MappedFile;

const MANIFEST: &str = "manifest.ocdbt";
const MANIFEST_MAGIC: u32 = 0x0cdb_3a2a;
const NODE_MAGIC: u32 = 0x0cdb_20de;
/// Digits of the name of a numbered manifest, `manifest.0000000000000001`.
const NUMBER_DIGITS: usize = 16;
/// Bytes of the magic number and the length, at the beginning of a manifest or node.
const HEADER_BYTES: usize = 12;
/// Bytes of the checksum at the end of a manifest or node.
const CHECKSUM_BYTES: usize = 4;
/// Most bytes of a decoded manifest or node and of its keys. TensorStore writes nodes of up to 8 MiB.
const LARGEST_NODE_BYTES: usize = 64 << 20;

/// Values of a database by their keys, mapped into memory.
pub(super) struct Database {
    files: BTreeMap<String, MappedFile>,
    values: BTreeMap<String, Value>,
}

enum Value {
    /// Stored in the leaf.
    Inline(Vec<u8>),
    InFile {
        file: String,
        bytes: Range<usize>,
    },
}

/// Part of a data file that holds a node.
struct Reference {
    file: DataFile,
    offset: u64,
    length: u64,
}

/// Root of a tree, and its height.
type Root = (Reference, u8);

/// Path of a data file within the database's folder.
#[derive(Clone)]
struct DataFile {
    path: String,
    /// Leading bytes of `path` that also lead the paths which a node in this file refers to.
    base_length: usize,
}

impl Database {
    /// Opens the database in `folder`.
    ///
    /// # Errors
    /// When a file is missing, truncated or damaged, or the tree refers to itself.
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        let (manifest, root) = newest_root(folder)?;
        let mut database = Self {
            files: BTreeMap::new(),
            values: BTreeMap::new(),
        };
        let Some((reference, height)) = root else {
            return Err(CheckpointError::File {
                path: manifest,
                problem: "the database is empty".to_owned(),
            });
        };
        let mut visited = BTreeSet::new();
        let mut nodes = vec![(reference, height, Vec::new())];
        while let Some((reference, height, prefix)) = nodes.pop() {
            let Reference { file, offset, length } = reference;
            let node_error = |problem: String| CheckpointError::File {
                path: folder.join(&file.path),
                problem: format!("tree node at byte {offset}: {problem}"),
            };
            let bytes = database.bytes(folder, &file.path, offset, length)?;
            if !visited.insert((file.path.clone(), offset)) {
                return Err(node_error(
                    "the tree reaches it twice, so it has a cycle".to_owned(),
                ));
            }
            let read = {
                let node = decode(&database.files[&file.path][bytes], NODE_MAGIC).map_err(node_error)?;
                Node::read(&node, height, &prefix, &file.path[..file.base_length]).map_err(node_error)?
            };
            match read {
                Node::Interior(children) => nodes.extend(
                    children
                        .into_iter()
                        .map(|(child, prefix)| (child, height - 1, prefix)),
                ),
                Node::Leaf(entries) => {
                    for (key, value) in entries {
                        let value = match value {
                            LeafValue::Inline(bytes) => Value::Inline(bytes),
                            LeafValue::Indirect(Reference { file, offset, length }) => Value::InFile {
                                bytes: database.bytes(folder, &file.path, offset, length)?,
                                file: file.path,
                            },
                        };
                        database.values.insert(key, value);
                    }
                }
            }
        }
        Ok(database)
    }

    /// A database of these values, without a folder.
    #[cfg(test)]
    pub fn of_values(values: impl Iterator<Item = (String, Vec<u8>)>) -> Self {
        Self {
            files: BTreeMap::new(),
            values: values.map(|(key, bytes)| (key, Value::Inline(bytes))).collect(),
        }
    }

    /// Checks that all that was read until now was one version of the data files.
    ///
    /// # Errors
    /// When one was written to since it was opened, or a part of it could not be read.
    pub fn expect_unchanged(&self) -> Result<(), CheckpointError> {
        self.files.values().try_for_each(MappedFile::expect_unchanged)
    }

    /// Iterates over all keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Value of a key.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        Some(match self.values.get(key)? {
            Value::Inline(bytes) => bytes,
            Value::InFile { file, bytes } => &self.files[file][bytes.clone()],
        })
    }

    /// Maps a data file and checks that it has these bytes.
    fn bytes(
        &mut self,
        folder: &Path,
        file: &str,
        offset: u64,
        length: u64,
    ) -> Result<Range<usize>, CheckpointError> {
        let path = folder.join(file);
        if !self.files.contains_key(file) {
            if named_file(folder, file).is_none() {
                return Err(CheckpointError::File {
                    path,
                    problem: "missing, but the database refers to it".to_owned(),
                });
            }
            self.files.insert(file.to_owned(), MappedFile::open(&path)?);
        }
        let available = self.files[file].len();
        let end = offset
            .checked_add(length)
            .and_then(|end| usize::try_from(end).ok())
            .filter(|end| *end <= available);
        let Some(end) = end else {
            return Err(CheckpointError::File {
                path,
                problem: format!(
                    "truncated: {length} bytes are expected at byte {offset}, the file has {available}"
                ),
            });
        };
        Ok(offset as usize..end)
    }
}

/// Finds the root of the newest version and its height, and the manifest that names it; no root where the database
/// has no key.
fn newest_root(folder: &Path) -> Result<(PathBuf, Option<Root>), CheckpointError> {
    let path = folder.join(MANIFEST);
    match read_manifest(&path)? {
        Manifest::Versions(root) => Ok((path, root)),
        Manifest::Numbered => {
            let path = newest_numbered(folder)?;
            match read_manifest(&path)? {
                Manifest::Versions(root) => Ok((path, root)),
                Manifest::Numbered => Err(CheckpointError::File {
                    path,
                    problem: "refers to another manifest, expected versions".to_owned(),
                }),
            }
        }
    }
}

fn newest_numbered(folder: &Path) -> Result<PathBuf, CheckpointError> {
    let read_error = |source| CheckpointError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut newest: Option<(u64, OsString)> = None;
    for entry in fs::read_dir(folder).map_err(read_error)? {
        let name = entry.map_err(read_error)?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("manifest."));
        let number = number.filter(|digits| digits.len() == NUMBER_DIGITS);
        if let Some(number) = number.and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
            newest = newest.max(Some((number, name)));
        }
    }
    match newest {
        Some((_, name)) => Ok(folder.join(name)),
        None => Err(CheckpointError::File {
            path: folder.join(MANIFEST),
            problem: "refers to numbered manifests, but there is none".to_owned(),
        }),
    }
}

enum Manifest {
    /// Root of the newest version.
    Versions(Option<Root>),
    /// The versions are in numbered manifests.
    Numbered,
}

fn read_manifest(path: &Path) -> Result<Manifest, CheckpointError> {
    let bytes = fs::read(path).map_err(|source| CheckpointError::Read {
        path: path.to_owned(),
        source,
    })?;
    let error = |problem| CheckpointError::File {
        path: path.to_owned(),
        problem,
    };
    let body = decode(&bytes, MANIFEST_MAGIC).map_err(error)?;
    Manifest::read(&body).map_err(error)
}

impl Manifest {
    fn read(body: &[u8]) -> Result<Self, String> {
        let mut cursor = Cursor::new(body);
        cursor.take(16)?; // uuid
        let kind = cursor.varint()?;
        cursor.varints(2)?; // most bytes of a value in a leaf, and of a node
        cursor.u8()?; // arity of the version tree
        match cursor.varint()? {
            0 => {}
            1 => {
                cursor.take(4)?; // level of zstd
            }
            method => return Err(unknown_compression(method)),
        }
        match kind {
            0 => {}
            1 => return Ok(Self::Numbered),
            _ => return Err(format!("unknown kind of manifest {kind}, expected 0 or 1")),
        }
        let files = read_files(&mut cursor, "")?;
        let versions = cursor.count()?;
        cursor.varints(versions)?; // generations
        let heights = cursor.take(versions)?;
        let roots = References::read(&mut cursor, versions)?;
        let keys = cursor.varints(versions)?;
        let Some(newest) = versions.checked_sub(1) else {
            return Err("has no version".to_owned());
        };
        if keys[newest] == 0 {
            return Ok(Self::Versions(None));
        }
        Ok(Self::Versions(Some((
            roots.get(newest, &files)?,
            heights[newest],
        ))))
    }
}

enum Node {
    /// Children, and the beginning of all of their keys.
    Interior(Vec<(Reference, Vec<u8>)>),
    Leaf(Vec<(String, LeafValue)>),
}

enum LeafValue {
    Inline(Vec<u8>),
    Indirect(Reference),
}

impl Node {
    /// Reads a node of this height, whose keys begin with `prefix` and whose files with `transitive`.
    fn read(body: &[u8], height: u8, prefix: &[u8], transitive: &str) -> Result<Self, String> {
        let mut cursor = Cursor::new(body);
        let found = cursor.u8()?;
        if found != height {
            return Err(format!("height {found}, expected {height}"));
        }
        let files = read_files(&mut cursor, transitive)?;
        let entries = cursor.count()?;
        let prefix_lengths = cursor.varints(entries.saturating_sub(1))?;
        let suffix_lengths = cursor.varints(entries)?;
        if height == 0 {
            let keys = read_strings(&mut cursor, &prefix_lengths, &suffix_lengths)?;
            return Ok(Self::Leaf(read_leaf(&mut cursor, keys, prefix, &files)?));
        }
        let common_lengths = cursor.varints(entries)?;
        let keys = read_strings(&mut cursor, &prefix_lengths, &suffix_lengths)?;
        let references = References::read(&mut cursor, entries)?;
        let child =
            |(index, (key, common)): (usize, (Vec<u8>, u64))| -> Result<(Reference, Vec<u8>), String> {
                let common = usize::try_from(common).ok().and_then(|common| key.get(..common));
                let common = common.ok_or("the keys of a child have more in common than there is")?;
                Ok((references.get(index, &files)?, [prefix, common].concat()))
            };
        let children: Result<Vec<_>, String> = keys
            .into_iter()
            .zip(common_lengths)
            .enumerate()
            .map(child)
            .collect();
        Ok(Self::Interior(children?))
    }
}

fn read_leaf(
    cursor: &mut Cursor,
    keys: Vec<Vec<u8>>,
    prefix: &[u8],
    files: &[DataFile],
) -> Result<Vec<(String, LeafValue)>, String> {
    let lengths = cursor.varints(keys.len())?;
    let kinds = cursor.varints(keys.len())?;
    if let Some(kind) = kinds.iter().find(|kind| **kind > 1) {
        return Err(format!("unknown kind of value {kind}, expected 0 or 1"));
    }
    let indirect = kinds.iter().filter(|kind| **kind == 1).count();
    let file_ids = cursor.varints(indirect)?;
    let offsets = cursor.varints(indirect)?;
    let mut references = file_ids.into_iter().zip(offsets);
    let mut entries = Vec::with_capacity(keys.len());
    for ((key, length), kind) in keys.into_iter().zip(lengths).zip(kinds) {
        let key = String::from_utf8([prefix, &key].concat()).map_err(|_| "a key is no text".to_owned())?;
        let reference = if kind == 1 { references.next() } else { None };
        let value = match reference {
            Some((file, offset)) => LeafValue::Indirect(Reference {
                file: file_of(file, files)?,
                offset,
                length,
            }),
            None => {
                let length = usize::try_from(length).map_err(|_| format!("a value of {length} bytes"))?;
                LeafValue::Inline(cursor.take(length)?.to_vec())
            }
        };
        entries.push((key, value));
    }
    Ok(entries)
}

/// Columns of references to nodes.
struct References {
    files: Vec<u64>,
    offsets: Vec<u64>,
    lengths: Vec<u64>,
}

impl References {
    fn read(cursor: &mut Cursor, count: usize) -> Result<Self, String> {
        Ok(Self {
            files: cursor.varints(count)?,
            offsets: cursor.varints(count)?,
            lengths: cursor.varints(count)?,
        })
    }

    fn get(&self, index: usize, files: &[DataFile]) -> Result<Reference, String> {
        Ok(Reference {
            file: file_of(self.files[index], files)?,
            offset: self.offsets[index],
            length: self.lengths[index],
        })
    }
}

fn file_of(id: u64, files: &[DataFile]) -> Result<DataFile, String> {
    let file = usize::try_from(id).ok().and_then(|id| files.get(id));
    file.cloned()
        .ok_or_else(|| format!("refers to file {id} of {}", files.len()))
}

/// Reads a table of data files, whose paths begin with `transitive`.
fn read_files(cursor: &mut Cursor, transitive: &str) -> Result<Vec<DataFile>, String> {
    let count = cursor.count()?;
    let prefix_lengths = cursor.varints(count.saturating_sub(1))?;
    let suffix_lengths = cursor.varints(count)?;
    let base_lengths = cursor.varints(count)?;
    let paths = read_strings(cursor, &prefix_lengths, &suffix_lengths)?;
    let file = |(path, base_length): (Vec<u8>, u64)| -> Result<DataFile, String> {
        let path = String::from_utf8(path).map_err(|_| "a path is no text")?;
        let base_length = usize::try_from(base_length)
            .ok()
            .filter(|length| path.is_char_boundary(*length))
            .ok_or("a base path is longer than its path")?;
        Ok(DataFile {
            base_length: transitive.len() + base_length,
            path: format!("{transitive}{path}"),
        })
    };
    paths.into_iter().zip(base_lengths).map(file).collect()
}

/// Reads strings that are each stored without what they have in common with the one before.
fn read_strings(
    cursor: &mut Cursor,
    prefix_lengths: &[u64],
    suffix_lengths: &[u64],
) -> Result<Vec<Vec<u8>>, String> {
    let mut strings: Vec<Vec<u8>> = Vec::with_capacity(suffix_lengths.len());
    let mut total = 0;
    for (index, suffix) in suffix_lengths.iter().enumerate() {
        let suffix = usize::try_from(*suffix).map_err(|_| format!("a key of {suffix} bytes"))?;
        let suffix = cursor.take(suffix)?;
        let prefix = match index.checked_sub(1) {
            None => &[][..],
            Some(previous) => {
                let length = usize::try_from(prefix_lengths[previous]).ok();
                length
                    .and_then(|length| strings[previous].get(..length))
                    .ok_or("a key has more in common with the one before than there is")?
            }
        };
        let string = [prefix, suffix].concat();
        total += string.len();
        if total > LARGEST_NODE_BYTES {
            return Err(format!("the keys have more than {LARGEST_NODE_BYTES} bytes"));
        }
        strings.push(string);
    }
    Ok(strings)
}

/// Takes the frame off a manifest or node: its magic number, length, checksum and compression.
fn decode(bytes: &[u8], magic: u32) -> Result<Cow<'_, [u8]>, String> {
    let mut cursor = Cursor::new(bytes);
    let found = cursor.u32_be()?;
    if found != magic {
        return Err(format!(
            "begins with {found:08x}, expected {magic:08x} of an OCDBT database"
        ));
    }
    let length = cursor.u64_le()?;
    if length != bytes.len() as u64 {
        return Err(format!("truncated: {} of {length} bytes", bytes.len()));
    }
    let Some((content, checksum)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
        return Err("truncated".to_owned());
    };
    if crc32c::crc32c(content) != u32::from_le_bytes(*checksum) {
        return Err("damaged: the checksum does not fit".to_owned());
    }
    let mut cursor = Cursor::new(content);
    cursor.take(HEADER_BYTES)?;
    let version = cursor.varint()?;
    if version != 0 {
        return Err(format!("version {version} of the format, expected 0"));
    }
    match cursor.varint()? {
        0 => Ok(Cow::Borrowed(cursor.rest())),
        1 => decompress(cursor.rest()).map(Cow::Owned),
        method => Err(unknown_compression(method)),
    }
}

fn decompress(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut decoded = Vec::new();
    zstd::Decoder::with_buffer(bytes)
        .and_then(|decoder| {
            decoder
                .take(LARGEST_NODE_BYTES as u64 + 1)
                .read_to_end(&mut decoded)
        })
        .map_err(|error| format!("damaged: {error}"))?;
    if decoded.len() > LARGEST_NODE_BYTES {
        return Err(format!("has more than {LARGEST_NODE_BYTES} bytes"));
    }
    Ok(decoded)
}

fn unknown_compression(method: u64) -> String {
    format!("unknown compression {method}, expected 0 (none) or 1 (zstd)")
}
