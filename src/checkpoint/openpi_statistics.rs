//! openpi's normalisation statistics: `assets/<asset>/norm_stats.json`.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::CheckpointError;
use super::json;
use super::statistics::{Normalisation, Statistics};

/// Epsilon of openpi's `Normalize` and `Unnormalize` (`transforms.py`).
const EPSILON: f32 = 1e-6;

#[derive(Deserialize)]
struct File {
    norm_stats: ByKey,
}

#[derive(Deserialize)]
struct ByKey {
    state: MeanStd,
    actions: MeanStd,
}

/// Statistics of one vector. π0 uses mean and standard deviation; the quantiles beside them are for π0-FAST
/// and π0.5.
#[derive(Deserialize)]
struct MeanStd {
    mean: Vec<f32>,
    std: Vec<f32>,
}

/// Reads the statistics of an openpi checkpoint.
///
/// # Errors
/// When there is no file of statistics, or more than one.
pub(super) fn read(folder: &Path) -> Result<Statistics, CheckpointError> {
    let assets = folder.join("assets");
    let mut found = Vec::new();
    find(&assets, &mut found)?;
    let [path] = &found[..] else {
        let names: Vec<String> = found.iter().map(|path| path.display().to_string()).collect();
        return Err(CheckpointError::File {
            path: assets,
            problem: format!(
                "expected one <asset>/norm_stats.json, the normalisation statistics of the robot, found {}: {}",
                names.len(),
                if names.is_empty() {
                    "none".to_owned()
                } else {
                    names.join(", ")
                }
            ),
        });
    };
    let File { norm_stats } = json::read(path)?;
    Ok(Statistics {
        state: norm_stats.state.normalisation(),
        action: norm_stats.actions.normalisation(),
        relative: Vec::new(),
    })
}

pub(super) fn find(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), CheckpointError> {
    if !folder.is_dir() {
        return Ok(());
    }
    let read_error = |source| CheckpointError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(read_error)? {
        entries.push(entry.map_err(read_error)?.path());
    }
    entries.sort();
    for path in entries {
        if path.is_dir() {
            find(&path, found)?;
        } else if path.file_name().is_some_and(|name| name == "norm_stats.json") {
            found.push(path);
        }
    }
    Ok(())
}

impl MeanStd {
    /// Statistics that were made of padded vectors end in values that never were anything but zero.
    fn normalisation(mut self) -> Normalisation {
        while self.mean.len() == self.std.len()
            && self.mean.last() == Some(&0.0)
            && self.std.last() == Some(&0.0)
        {
            self.mean.pop();
            self.std.pop();
        }
        Normalisation::MeanStd {
            mean: self.mean,
            std: self.std,
            epsilon: EPSILON,
            epsilon_back: EPSILON,
        }
    }
}
