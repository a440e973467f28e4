//! Report as a JSON file.

use std::fs;
use std::path::Path;

use super::file::write_whole;
use super::{FORMAT, FileError, Report};

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// When the file cannot be read, or is no report of this version.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        #[derive(serde::Deserialize)]
        struct Version {
            format: u32,
        }
        let text = fs::read(path).map_err(|error| FileError::Read(path.to_owned(), error))?;
        let json = |error| FileError::Json(path.to_owned(), error);
        // A report of another format has other keys.
        let Version { format } = serde_json::from_slice(&text).map_err(json)?;
        if format != FORMAT {
            return Err(FileError::Format(path.to_owned(), format));
        }
        serde_json::from_slice(&text).map_err(json)
    }

    /// Writes the report, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        let text = serde_json::to_vec_pretty(self);
        let mut text = text.map_err(|error| FileError::Json(path.to_owned(), error))?;
        text.push(b'\n');
        write_whole(path, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_as_it_was_written_and_one_of_another_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results/report.json");
        let report = Report::new(Vec::new());
        report.write(&path).unwrap();
        assert_eq!(Report::read(&path).unwrap(), report);
        fs::write(&path, r#"{"format": 1, "bags": []}"#).unwrap();
        let refused = Report::read(&path).unwrap_err().to_string();
        assert!(refused.contains("has the format 1, expected 2"), "{refused}");
    }
}
