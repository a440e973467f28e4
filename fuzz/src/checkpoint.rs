//! A small checkpoint, one file of which is the input.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A folder with files of a checkpoint of the tests, one of which gets the content of one input after the other.
pub struct CheckpointFolder {
    folder: TempDir,
    input: PathBuf,
}

impl CheckpointFolder {
    /// The files of `checkpoint`, a folder of the checkout, without those that `is_left_out` names. `input`: path of the
    /// input in it, which may be one of the files.
    pub fn new(checkpoint: &str, input: &str, is_left_out: fn(&str) -> bool) -> Self {
        let folder = crate::folder();
        let files = fs::read_dir(crate::in_checkout(checkpoint)).expect("a checkpoint of the tests");
        for file in files {
            let file = file.expect("a file of the checkpoint");
            let name = file.file_name().into_string().expect("a name in UTF-8");
            if file.path().is_file() && name != input && !is_left_out(&name) {
                fs::copy(file.path(), folder.path().join(&name)).expect("a file can be copied");
            }
        }
        let input = folder.path().join(input);
        fs::create_dir_all(input.parent().expect("a folder around it")).expect("a folder can be made");
        Self { folder, input }
    }

    /// Writes an input and returns the checkpoint's folder.
    pub fn write(&self, input: &[u8]) -> &Path {
        fs::write(&self.input, input).expect("an input can be written");
        self.folder.path()
    }
}
