//! Statistics of openpi, `assets/<asset>/norm_stats.json`, in LeRobot's terms.

use std::path::Path;

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::export::FeatureStatistics;
use crate::checkpoint::openpi_statistics::{self, OfVector};

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
    let named: Vec<_> = found
        .iter()
        .map(|path| (openpi_statistics::asset_name(&assets, path), path))
        .collect();
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
    let [state, actions] = openpi_statistics::read_file(path)?;
    let of = |key: &str, statistics: OfVector| {
        trimmed(statistics, key, needs_quantiles).map_err(|problem| CheckpointError::File {
            path: path.to_owned(),
            problem,
        })
    };
    Ok((of("state", state)?, of("actions", actions)?))
}

/// The statistics without the padding at their end.
fn trimmed(vector: OfVector, key: &str, needs_quantiles: bool) -> Result<FeatureStatistics, String> {
    let (length, dim) = (vector.mean.len(), vector.dim());
    let quantiles = [("q01", vector.q01), ("q99", vector.q99)];
    if needs_quantiles && let Some((name, _)) = quantiles.iter().find(|(_, values)| values.is_none()) {
        return Err(format!(
            "{key} has no {name}; a policy that was trained with mean and standard deviation is converted with \
             --normalisation mean-std"
        ));
    }
    let stored = [("mean", Some(vector.mean)), ("std", Some(vector.std))];
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
    if dim == 0 {
        return Err(format!("{key} has no value that was ever anything but 0"));
    }
    for (_, values) in &mut statistics {
        values.truncate(dim);
    }
    Ok(statistics)
}
