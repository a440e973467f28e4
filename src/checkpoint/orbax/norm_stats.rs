//! Statistics of openpi, `assets/<asset>/norm_stats.json`, in LeRobot's terms.

use std::path::Path;

use serde::Deserialize;

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::export::FeatureStatistics;
use crate::checkpoint::{json, openpi_statistics};

#[derive(Deserialize)]
struct File {
    norm_stats: ByKey,
}

#[derive(Deserialize)]
struct ByKey {
    state: NormStats,
    actions: NormStats,
}

#[derive(Deserialize)]
struct NormStats {
    mean: Vec<f32>,
    std: Vec<f32>,
    q01: Option<Vec<f32>>,
    q99: Option<Vec<f32>>,
}

/// Statistics of states and actions.
pub(super) struct AssetStatistics {
    /// Name of the asset that they are of.
    pub asset: String,
    pub state: FeatureStatistics,
    pub action: FeatureStatistics,
}

/// Reads the statistics of an asset, or of the only one.
///
/// # Errors
/// When there is none of this name, or a choice and no name, or its statistics are not of one length or lack the
/// quantiles that are needed.
pub(super) fn read(
    step: &Path,
    asset: Option<&str>,
    needs_quantiles: bool,
) -> Result<AssetStatistics, CheckpointError> {
    let assets = step.join("assets");
    let error = |problem: String| CheckpointError::File {
        path: assets.clone(),
        problem,
    };
    let found = openpi_statistics::files(&assets)?;
    let name = |path: &Path| {
        let folder = path.parent().and_then(|folder| folder.strip_prefix(&assets).ok());
        folder
            .map(|folder| folder.display().to_string())
            .unwrap_or_default()
    };
    let named: Vec<_> = found.iter().map(|path| (name(path), path)).collect();
    let names = || {
        named
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    if named.is_empty() {
        return Err(error(
            "no <asset>/norm_stats.json in it, the normalisation statistics of the robot; copy the assets folder of the \
             training beside params"
                .to_owned(),
        ));
    }
    let chosen = match asset {
        Some(asset) => named
            .iter()
            .find(|(name, _)| name == asset)
            .ok_or_else(|| error(format!("no asset {asset}, found {}", names())))?,
        None if named.len() == 1 => &named[0],
        None => {
            return Err(error(format!(
                "statistics of {} robots, choose one with --asset: {}",
                named.len(),
                names()
            )));
        }
    };
    let (asset, path) = chosen;
    let (state, action) = read_file(path, needs_quantiles)?;
    Ok(AssetStatistics {
        asset: asset.clone(),
        state,
        action,
    })
}

/// Reads the statistics of states and actions, without the padding at their end.
///
/// # Errors
/// When the file is damaged, or its statistics are not of one length or lack the quantiles that are needed.
pub(in crate::checkpoint) fn read_file(
    path: &Path,
    needs_quantiles: bool,
) -> Result<(FeatureStatistics, FeatureStatistics), CheckpointError> {
    let File { norm_stats } = json::read(path)?;
    let of = |key: &str, statistics: NormStats| {
        statistics
            .trimmed(key, needs_quantiles)
            .map_err(|problem| CheckpointError::File {
                path: path.to_owned(),
                problem,
            })
    };
    Ok((of("state", norm_stats.state)?, of("actions", norm_stats.actions)?))
}

impl NormStats {
    /// The statistics without the padding at their end, which never was anything but zero.
    fn trimmed(self, key: &str, needs_quantiles: bool) -> Result<FeatureStatistics, String> {
        let length = self.mean.len();
        let quantiles = [("q01", self.q01), ("q99", self.q99)];
        if needs_quantiles && let Some((name, _)) = quantiles.iter().find(|(_, values)| values.is_none()) {
            return Err(format!(
                "{key} has no {name}; a policy that was trained with mean and standard deviation is converted with \
                 --normalisation mean-std"
            ));
        }
        let stored = [("mean", Some(self.mean)), ("std", Some(self.std))];
        let mut statistics: FeatureStatistics = Vec::new();
        for (name, values) in stored.into_iter().chain(quantiles) {
            let Some(values) = values else { continue };
            if values.len() != length {
                return Err(format!(
                    "{key}.{name} has {} values, {key}.mean has {length}",
                    values.len()
                ));
            }
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return Err(format!(
                    "{key}.{name} has the value {value}, expected finite numbers"
                ));
            }
            statistics.push((name, values));
        }
        let (means, deviations) = (&statistics[0].1, &statistics[1].1);
        let is_used = |(mean, std): (&f32, &f32)| *mean != 0.0 || *std != 0.0;
        let Some(last) = means.iter().zip(deviations).rposition(is_used) else {
            return Err(format!("{key} has no value that was ever anything but 0"));
        };
        for (_, values) in &mut statistics {
            values.truncate(last + 1);
        }
        Ok(statistics)
    }
}
