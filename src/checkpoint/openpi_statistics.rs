//! openpi's normalisation statistics: `assets/<asset>/norm_stats.json`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::CheckpointError;
use super::json;
use super::options::{OpenpiNormalisation, OpenpiOptions};
use super::statistics::{Normalisation, Statistics};
use crate::model::ModelType;

/// Epsilon of openpi's `Normalize` and `Unnormalize` (`transforms.py`).
const EPSILON: f32 = 1e-6;
const FILE: &str = "norm_stats.json";

#[derive(Deserialize)]
struct File {
    norm_stats: ByKey,
}

#[derive(Deserialize)]
struct ByKey {
    state: OfVector,
    actions: OfVector,
}

/// Statistics of one vector. Old files have no quantiles.
#[derive(Deserialize)]
pub(super) struct OfVector {
    pub mean: Vec<f32>,
    pub std: Vec<f32>,
    pub q01: Option<Vec<f32>>,
    pub q99: Option<Vec<f32>>,
}

/// Reads the statistics of states and of actions as they are stored.
///
/// # Errors
/// When the file is damaged.
pub(super) fn read_file(path: &Path) -> Result<[OfVector; 2], CheckpointError> {
    let File { norm_stats } = json::read(path)?;
    Ok([norm_stats.state, norm_stats.actions])
}

/// Reads the statistics of an openpi checkpoint. Where `options` do not choose, those of π0.5 are quantiles, as in
/// openpi's `use_quantile_norm`.
///
/// # Errors
/// When there is no file of statistics, more than one and none is chosen, or the quantiles are missing.
pub(super) fn read(
    folder: &Path,
    options: &OpenpiOptions,
    model_type: ModelType,
) -> Result<Statistics, CheckpointError> {
    let path = choose(folder, options.asset.as_deref())?;
    let kind = options.normalisation.unwrap_or(match model_type {
        ModelType::Pi05 => OpenpiNormalisation::Quantiles,
        ModelType::Pi0 => OpenpiNormalisation::MeanStd,
    });
    tracing::info!(
        "{}: states and actions are scaled by {} ({})",
        path.display(),
        match kind {
            OpenpiNormalisation::Quantiles => "quantiles",
            OpenpiNormalisation::MeanStd => "mean and standard deviation",
        },
        match options.normalisation {
            Some(_) => "chosen",
            None =>
                "openpi's rule: quantiles for π0.5, else mean and standard deviation; normalisation sets it",
        }
    );
    let [state, actions] = read_file(&path)?;
    let mut problems = Vec::new();
    let mut normalisation = |name: &str, vector: OfVector| {
        vector.normalisation(kind).unwrap_or_else(|| {
            problems.push(format!(
                "{name} has no q01 and q99 in {}; set normalisation to mean_std if it was trained without",
                path.display()
            ));
            Normalisation::Identity
        })
    };
    let state = normalisation("state", state);
    let action = normalisation("actions", actions);
    if !problems.is_empty() {
        return Err(CheckpointError::Statistics {
            path: folder.to_owned(),
            problems,
        });
    }
    // openpi's mask may be shorter than an action, and longer than a state where it ends in absolute values.
    let mut relative = options.delta_actions.clone();
    while relative.last() == Some(&false) {
        relative.pop();
    }
    tracing::info!(
        "{}: {} of an action's values are relative to the state ({})",
        folder.display(),
        match relative.iter().filter(|relative| **relative).count() {
            0 => "none".to_owned(),
            count => count.to_string(),
        },
        match relative.is_empty() {
            true => "the folder does not tell, delta_actions sets it",
            false => "delta_actions",
        }
    );
    Ok(Statistics {
        state,
        action,
        relative,
    })
}

/// The file of the chosen asset, or the only one.
fn choose(folder: &Path, asset: Option<&str>) -> Result<PathBuf, CheckpointError> {
    let assets = folder.join("assets");
    let found = files(&assets)?;
    let names: Vec<String> = found.iter().map(|path| asset_name(&assets, path)).collect();
    let problem = match (asset, &found[..]) {
        (None, [path]) => return Ok(path.clone()),
        (_, []) => "found no <asset>/norm_stats.json, the normalisation statistics of the robot; openpi's conversion \
                    leaves them behind, so copy the assets folder of the checkpoint that was converted"
            .to_owned(),
        (None, _) => format!(
            "expected the statistics of one robot, found those of {}; set openpi_asset to one of: {}",
            names.len(),
            names.join(", ")
        ),
        (Some(asset), _) => match names.iter().position(|name| name == asset) {
            Some(index) => return Ok(found[index].clone()),
            None => format!("openpi_asset is {asset:?}, expected one of: {}", names.join(", ")),
        },
    };
    Err(CheckpointError::File {
        path: assets,
        problem,
    })
}

/// Name of the asset that a file of statistics in `assets` is of: the path of its folder.
pub(super) fn asset_name(assets: &Path, file: &Path) -> String {
    let folder = file.parent().and_then(|folder| folder.strip_prefix(assets).ok());
    folder.unwrap_or(file).display().to_string()
}

/// Finds every file of statistics in an `assets` folder, in the order of their names.
///
/// # Errors
/// When a folder in it cannot be read.
pub(super) fn files(assets: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let mut found = Vec::new();
    find(assets, &mut BTreeSet::new(), &mut found)?;
    Ok(found)
}

/// Finds every file of statistics in a folder and those in it. A folder to which a link leads back is read once.
fn find(
    folder: &Path,
    seen: &mut BTreeSet<PathBuf>,
    found: &mut Vec<PathBuf>,
) -> Result<(), CheckpointError> {
    if !folder.is_dir() {
        return Ok(());
    }
    let read_error = |source| CheckpointError::Read {
        path: folder.to_owned(),
        source,
    };
    if !seen.insert(folder.canonicalize().map_err(read_error)?) {
        return Ok(());
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(read_error)? {
        entries.push(entry.map_err(read_error)?.path());
    }
    entries.sort();
    for path in entries {
        if path.is_dir() {
            find(&path, seen, found)?;
        } else if path.file_name().is_some_and(|name| name == FILE) {
            found.push(path);
        }
    }
    Ok(())
}

impl OfVector {
    /// Number of values before padding: statistics that were made of padded vectors end in values that never were
    /// anything but zero. All of them where mean and standard deviation are not of one length.
    pub fn dim(&self) -> usize {
        if self.std.len() != self.mean.len() {
            return self.mean.len();
        }
        let is_used = |(mean, std): (&f32, &f32)| *mean != 0.0 || *std != 0.0;
        let last = self.mean.iter().zip(&self.std).rposition(is_used);
        last.map_or(0, |last| last + 1)
    }

    /// Normalisation of the kind, without padding; `None` without its statistics.
    fn normalisation(mut self, kind: OpenpiNormalisation) -> Option<Normalisation> {
        let dim = self.dim();
        if self.std.len() == self.mean.len() {
            self.std.truncate(dim);
        }
        self.mean.truncate(dim);
        match kind {
            OpenpiNormalisation::MeanStd => Some(Normalisation::MeanStd {
                mean: self.mean,
                std: self.std,
                epsilon: EPSILON,
                epsilon_back: EPSILON,
            }),
            OpenpiNormalisation::Quantiles => {
                let (mut low, mut high) = (self.q01?, self.q99?);
                low.truncate(dim);
                high.truncate(dim);
                Some(Normalisation::Range {
                    low,
                    high,
                    epsilon: EPSILON,
                })
            }
        }
    }
}
