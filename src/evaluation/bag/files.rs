//! The files of a bag: which they are, and what they are written in.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::metadata::Metadata;
use super::{BagError, Contents, mcap_file, sqlite_file};

const SQLITE_MAGIC: &[u8] = b"SQLite format 3\0";
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const ROS1_MAGIC: &[u8] = b"#ROSBAG";
const SUFFIXES: [&str; 4] = [".mcap", ".db3", ".mcap.zstd", ".db3.zstd"];

/// What a file is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Storage {
    Mcap,
    Sqlite,
}

/// A file of a bag, compressed as a whole or not.
#[derive(Clone, Debug)]
pub(super) struct BagFile {
    path: PathBuf,
}

/// A file to read from: the bag's own, or what was unpacked of it.
#[derive(Debug)]
pub(super) struct OpenFile {
    /// The bag's own file, for messages.
    pub named: PathBuf,
    pub readable: PathBuf,
    pub storage: Storage,
    /// Says how far a damaged file could be unpacked.
    pub unpacking: Option<String>,
    /// Removed from the disk when the reading is over.
    _unpacked: Option<NamedTempFile>,
}

/// The files of a bag in the order in which they were recorded, and a warning for each that is missing.
pub(super) fn find(
    path: &Path,
    metadata: Option<&Metadata>,
) -> Result<(Vec<BagFile>, Vec<String>), BagError> {
    let not_a_bag = |problem: String| BagError::NotABag {
        path: path.to_owned(),
        problem,
    };
    if path.is_file() {
        return Ok((vec![BagFile::new(path.to_owned())], Vec::new()));
    }
    if !path.is_dir() {
        return Err(not_a_bag(
            "no such file or folder, expected a rosbag2's folder, .mcap or .db3 file".to_owned(),
        ));
    }
    let listed = metadata
        .map(|metadata| &metadata.relative_file_paths[..])
        .unwrap_or(&[]);
    let (present, missing): (Vec<PathBuf>, Vec<PathBuf>) = listed
        .iter()
        .map(|file| path.join(file))
        .partition(|file| file.is_file());
    let missing = missing
        .iter()
        .map(|file| format!("{} is named in metadata.yaml and is missing", file.display()));
    let missing: Vec<String> = missing.collect();
    if !present.is_empty() {
        return Ok((present.into_iter().map(BagFile::new).collect(), missing));
    }
    let mut files = files_in(path)?;
    if files.is_empty() {
        return Err(not_a_bag(
            "there is no .mcap or .db3 file, expected a rosbag2's folder".to_owned(),
        ));
    }
    files.sort_by_key(|file| natural_order(file));
    Ok((files.into_iter().map(BagFile::new).collect(), missing))
}

/// Whether this is a bag's folder, or a file of a bag.
pub fn is_bag(path: &Path) -> bool {
    if path.is_dir() {
        path.join("metadata.yaml").is_file() || files_in(path).is_ok_and(|files| !files.is_empty())
    } else {
        path.is_file() && has_suffix(path)
    }
}

/// Every bag in a folder and in the folders below it, in the order of their names.
///
/// # Errors
/// When a folder cannot be read.
pub fn bags_below(folder: &Path) -> Result<Vec<PathBuf>, BagError> {
    if is_bag(folder) {
        return Ok(vec![folder.to_owned()]);
    }
    let mut bags = Vec::new();
    for path in entries(folder)? {
        if path.is_dir() {
            bags.extend(bags_below(&path)?);
        }
    }
    bags.sort_by_key(|bag| natural_order(bag));
    Ok(bags)
}

impl BagFile {
    fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// What the file itself tells of its topics.
    pub fn contents(&self) -> Result<Contents, BagError> {
        let opened = self.open()?;
        match opened.storage {
            Storage::Mcap => mcap_file::contents(&opened),
            Storage::Sqlite => sqlite_file::contents(&opened),
        }
    }

    /// Unpacks the file where it is compressed.
    pub fn open(&self) -> Result<OpenFile, BagError> {
        let mut opened = OpenFile {
            named: self.path.clone(),
            readable: self.path.clone(),
            storage: Storage::Mcap,
            unpacking: None,
            _unpacked: None,
        };
        let mut magic = self.magic(&opened.readable)?;
        if magic.starts_with(ZSTD_MAGIC) {
            let (unpacked, damage) = self.unpack()?;
            opened.readable = unpacked.path().to_owned();
            opened._unpacked = Some(unpacked);
            opened.unpacking = damage;
            magic = self.magic(&opened.readable)?;
        }
        let problem = if magic.is_empty()
            && let Some(damage) = &opened.unpacking
        {
            damage
        } else if magic.starts_with(mcap::MAGIC) {
            return Ok(opened);
        } else if magic.starts_with(SQLITE_MAGIC) {
            opened.storage = Storage::Sqlite;
            return Ok(opened);
        } else if magic.starts_with(ROS1_MAGIC) {
            "it is a bag of ROS 1, expected one of ROS 2; rosbags-convert (PyPI: rosbags) makes one of it"
        } else if magic.is_empty() {
            "the file is empty, expected MCAP or SQLite3"
        } else {
            "it is neither MCAP nor SQLite3, compressed by zstd or not"
        };
        Err(BagError::NotABag {
            path: self.path.clone(),
            problem: problem.to_owned(),
        })
    }

    fn magic(&self, readable: &Path) -> Result<Vec<u8>, BagError> {
        let mut magic = Vec::new();
        File::open(readable)
            .and_then(|file| file.take(16).read_to_end(&mut magic))
            .map_err(|source| self.io(source))?;
        Ok(magic)
    }

    /// The unpacked file, and what stopped the unpacking before its end.
    fn unpack(&self) -> Result<(NamedTempFile, Option<String>), BagError> {
        let mut unpacked = NamedTempFile::new().map_err(|source| self.io(source))?;
        let packed = File::open(&self.path).map_err(|source| self.io(source))?;
        let mut decoder = zstd::Decoder::new(packed).map_err(|source| self.io(source))?;
        let damage = std::io::copy(&mut decoder, unpacked.as_file_mut())
            .err()
            .map(|error| {
                format!(
                    "{}: the compression ends early ({error}); what comes after is not read",
                    self.path.display()
                )
            });
        Ok((unpacked, damage))
    }

    fn io(&self, source: std::io::Error) -> BagError {
        BagError::Io {
            path: self.path.clone(),
            source,
        }
    }
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, BagError> {
    let is_file = |path: &PathBuf| path.is_file() && has_suffix(path);
    Ok(entries(folder)?.into_iter().filter(is_file).collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, BagError> {
    let io = |source| BagError::Io {
        path: folder.to_owned(),
        source,
    };
    std::fs::read_dir(folder)
        .map_err(io)?
        .map(|entry| Ok(entry.map_err(io)?.path()))
        .collect()
}

fn has_suffix(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

/// A key that puts `bag_10` after `bag_9`.
fn natural_order(path: &Path) -> Vec<(String, u64)> {
    let text = path.to_string_lossy();
    let mut key = vec![(String::new(), 0_u64)];
    let mut in_number = false;
    for character in text.chars() {
        match character.to_digit(10) {
            Some(digit) => {
                in_number = true;
                if let Some((_, number)) = key.last_mut() {
                    *number = number.saturating_mul(10).saturating_add(u64::from(digit));
                }
            }
            None => {
                if in_number {
                    key.push((String::new(), 0));
                    in_number = false;
                }
                if let Some((letters, _)) = key.last_mut() {
                    letters.push(character);
                }
            }
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_file_names_are_ordered_as_numbers() {
        let mut files = ["bag_10.mcap", "bag_9.mcap", "bag_0.mcap"].map(PathBuf::from);
        files.sort_by_key(|file| natural_order(file));
        assert_eq!(
            files,
            ["bag_0.mcap", "bag_9.mcap", "bag_10.mcap"].map(PathBuf::from)
        );
    }

    #[test]
    fn what_is_no_bag_is_refused_with_what_was_expected() {
        let folder = tempfile::tempdir().unwrap();
        let empty = find(folder.path(), None).unwrap_err().to_string();
        assert!(empty.contains("no .mcap or .db3"), "{empty}");
        for (content, expected) in [
            (&b"#ROSBAG V2.0\n"[..], "ROS 1"),
            (b"", "empty"),
            (b"PK\x03\x04 something else", "neither MCAP nor SQLite3"),
        ] {
            let path = folder.path().join("file.mcap");
            std::fs::write(&path, content).unwrap();
            let problem = BagFile::new(path).open().unwrap_err().to_string();
            assert!(problem.contains(expected), "{problem}");
        }
        let nowhere = find(&folder.path().join("nowhere"), None)
            .unwrap_err()
            .to_string();
        assert!(nowhere.contains("no such file or folder"), "{nowhere}");
    }
}
