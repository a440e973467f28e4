//! A folder of a checkpoint, one file of which is the input.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A folder with a file that gets the content of one input after the other.
pub struct CheckpointFolder {
    folder: TempDir,
    input: PathBuf,
}

impl CheckpointFolder {
    /// A folder for a file of this path.
    pub fn of(input: &str) -> Self {
        let folder = crate::folder();
        let input = folder.path().join(input);
        fs::create_dir_all(input.parent().expect("a folder around it")).expect("a folder can be made");
        Self { folder, input }
    }

    /// The folder with these files of the reference's small checkpoint too. They are few, for each is read for every input.
    pub fn with(self, others: &[&str]) -> Self {
        let checkpoint = crate::in_checkout("tests/fixtures/reference/checkpoint");
        for name in others {
            fs::copy(checkpoint.join(name), self.folder.path().join(name)).expect("a file can be copied");
        }
        self
    }

    /// The folder with a file of this text too.
    pub fn with_text(self, name: &str, text: &str) -> Self {
        fs::write(self.folder.path().join(name), text).expect("a file can be written");
        self
    }

    /// Writes an input and returns the checkpoint's folder.
    pub fn write(&self, input: &[u8]) -> &Path {
        fs::write(&self.input, input).expect("an input can be written");
        self.folder.path()
    }
}
