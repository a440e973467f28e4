//! Files of a bag: finding, unpacking, and the format of their content.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::error::BagError;
use super::metadata::Metadata;

const SQLITE_MAGIC: &[u8] = b"SQLite format 3\0";
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const ROS1_MAGIC: &[u8] = b"#ROSBAG";
const SUFFIXES: [&str; 4] = [".mcap", ".db3", ".mcap.zstd", ".db3.zstd"];

/// Format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Storage {
    Mcap,
    Sqlite,
}

/// File to read from: the bag's own, or an unpacked copy.
#[derive(Debug)]
pub(super) struct OpenFile {
    /// The bag's own file, for error messages.
    pub named: PathBuf,
    pub readable: PathBuf,
    pub storage: Storage,
    /// Warning about a damaged file that could be unpacked in part.
    pub unpacking: Option<String>,
    /// Removes the unpacked copy when it is dropped.
    _unpacked: Option<NamedTempFile>,
}

/// Finds the files of a bag in the order in which they were recorded, with a warning for each missing one.
pub(super) fn find(
    path: &Path,
    metadata: Option<&Metadata>,
) -> Result<(Vec<PathBuf>, Vec<String>), BagError> {
    let not_a_bag = |problem: &str| BagError::NotABag(path.to_owned(), problem.to_owned());
    if path.is_file() {
        return Ok((vec![path.to_owned()], Vec::new()));
    }
    if !path.is_dir() {
        let problem = "no such file or folder, expected a rosbag2's folder, .mcap or .db3 file";
        return Err(not_a_bag(problem));
    }
    let listed = metadata.map_or(&[][..], |metadata| &metadata.relative_file_paths);
    let listed = listed.iter().map(|file| path.join(file));
    let (mut files, missing): (Vec<_>, Vec<_>) = listed.partition(|file| file.is_file());
    if files.is_empty() {
        files = files_in(path)?;
        alphanumeric_sort::sort_path_slice(&mut files);
    }
    if files.is_empty() {
        let problem = "there is no .mcap or .db3 file, expected a rosbag2's folder";
        return Err(not_a_bag(problem));
    }
    let warning = |file: PathBuf| format!("{} is named in metadata.yaml and is missing", file.display());
    Ok((files, missing.into_iter().map(warning).collect()))
}

/// Returns whether a path is a bag's folder, or a file of a bag.
pub fn is_bag(path: &Path) -> bool {
    if path.is_dir() {
        path.join("metadata.yaml").is_file() || files_in(path).is_ok_and(|files| !files.is_empty())
    } else {
        path.is_file() && has_suffix(path)
    }
}

/// Finds every bag in a folder and in the folders below it, in the order of their names.
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
    alphanumeric_sort::sort_path_slice(&mut bags);
    Ok(bags)
}

impl OpenFile {
    /// Opens the file, and unpacks it if it is compressed.
    pub fn open(path: &Path) -> Result<Self, BagError> {
        let mut opened = Self {
            named: path.to_owned(),
            readable: path.to_owned(),
            storage: Storage::Mcap,
            unpacking: None,
            _unpacked: None,
        };
        let mut magic = opened.magic()?;
        if magic.starts_with(ZSTD_MAGIC) {
            opened.unpack()?;
            magic = opened.magic()?;
        }
        let problem = if magic.is_empty()
            && let Some(damage) = opened.unpacking
        {
            damage
        } else if magic.starts_with(mcap::MAGIC) {
            return Ok(opened);
        } else if magic.starts_with(SQLITE_MAGIC) {
            opened.storage = Storage::Sqlite;
            return Ok(opened);
        } else if magic.starts_with(ROS1_MAGIC) {
            "it is a bag of ROS 1, expected one of ROS 2; rosbags-convert (PyPI: rosbags) makes one of it"
                .to_owned()
        } else if magic.is_empty() {
            "the file is empty, expected MCAP or SQLite3".to_owned()
        } else {
            "it is neither MCAP nor SQLite3, compressed by zstd or not".to_owned()
        };
        Err(BagError::NotABag(path.to_owned(), problem))
    }

    fn magic(&self) -> Result<Vec<u8>, BagError> {
        let mut magic = Vec::new();
        File::open(&self.readable)
            .and_then(|file| file.take(16).read_to_end(&mut magic))
            .map_err(BagError::io(&self.named))?;
        Ok(magic)
    }

    /// Unpacks the file into a temporary one. If the compression ends early, the rest is missing.
    fn unpack(&mut self) -> Result<(), BagError> {
        let io = BagError::io(&self.named);
        let mut unpacked = NamedTempFile::new().map_err(&io)?;
        let mut decoder = File::open(&self.named)
            .and_then(zstd::Decoder::new)
            .map_err(&io)?;
        if let Err(error) = std::io::copy(&mut decoder, unpacked.as_file_mut()) {
            let file = self.named.display();
            let warning =
                format!("{file}: the compression ends early ({error}); what comes after is not read");
            self.unpacking = Some(warning);
        }
        self.readable = unpacked.path().to_owned();
        self._unpacked = Some(unpacked);
        Ok(())
    }
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, BagError> {
    let is_file = |path: &PathBuf| path.is_file() && has_suffix(path);
    Ok(entries(folder)?.into_iter().filter(is_file).collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, BagError> {
    let entries = std::fs::read_dir(folder).and_then(|entries| {
        let paths = entries.map(|entry| Ok(entry?.path()));
        paths.collect()
    });
    entries.map_err(BagError::io(folder))
}

fn has_suffix(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_no_bag_is_refused_with_what_was_expected() {
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
            let problem = OpenFile::open(&path).unwrap_err().to_string();
            assert!(problem.contains(expected), "{problem}");
        }
        let nowhere = find(&folder.path().join("nowhere"), None)
            .unwrap_err()
            .to_string();
        assert!(nowhere.contains("no such file or folder"), "{nowhere}");
    }
}
