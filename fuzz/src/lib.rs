//! What the fuzz targets share: the bound of their memory, a folder for inputs that are files, and
//! the reading of a bag.

mod bag;
mod checkpoint;
mod memory;

pub use bag::read_bag;
pub use checkpoint::CheckpointFolder;
pub use memory::{bounded, bounded_above};

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Lets a reader catch the panics of a library that it uses. One that nobody catches still ends the program.
pub fn let_panics_be_caught() {
    std::panic::set_hook(Box::new(|_| {}));
}

/// A file that gets the content of one input after the other, in a folder of its own.
pub struct InputFile {
    _folder: TempDir,
    path: PathBuf,
}

impl InputFile {
    /// A file of this name.
    pub fn new(name: &str) -> Self {
        let folder = folder();
        Self {
            path: folder.path().join(name),
            _folder: folder,
        }
    }

    /// Writes an input and returns the file's path.
    pub fn write(&self, input: &[u8]) -> &Path {
        fs::write(&self.path, input).expect("an input can be written");
        &self.path
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for inputs")
}

/// A file or folder of the checkout.
fn in_checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
