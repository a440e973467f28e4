//! Normalisation statistics of a folder, whether or not they can be used.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::checkpoint::folder::named_file;
use crate::checkpoint::statistics::Mode;
use crate::checkpoint::tensor_files::TensorFiles;
use crate::checkpoint::{json, openpi_statistics, orbax};

/// Statistics of states or actions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InspectedStatistics {
    /// Robot whose statistics they are, in a folder of openpi.
    pub asset: Option<String>,
    /// "state" or "action".
    pub of: &'static str,
    /// Scaling, as LeRobot names it; `None` where the folder does not tell.
    pub mode: Option<String>,
    /// Values that there are statistics of; `None` without statistics.
    pub length: Option<usize>,
    /// Values that were always the same in training, which the scaling would divide by zero.
    pub without_extent: Vec<usize>,
}

/// Pipeline and kind of feature of states and actions.
const SCALED: [(&str, &str, &str, &str); 2] = [
    ("state", "policy_preprocessor.json", "STATE", "observation.state"),
    ("action", "policy_postprocessor.json", "ACTION", "action"),
];

/// Reads what LeRobot's processors or openpi's assets have. What cannot be read is left out.
pub(super) fn read(folder: &Path) -> Vec<InspectedStatistics> {
    let of_processors = SCALED
        .iter()
        .filter_map(|(of, file, kind, feature)| of_processor(folder, of, file, kind, feature));
    of_processors.chain(of_assets(&folder.join("assets"))).collect()
}

fn of_processor(
    folder: &Path,
    of: &'static str,
    file: &str,
    kind: &str,
    feature: &str,
) -> Option<InspectedStatistics> {
    let pipeline: Value = json::read(&folder.join(file)).ok()?;
    let steps = pipeline.get("steps")?.as_array()?;
    let step = steps.iter().find(|step| step["config"]["norm_map"].is_object())?;
    let mode = step["config"]["norm_map"][kind].as_str().unwrap_or("IDENTITY");
    let file = step["state_file"].as_str();
    let file = file.and_then(|file| named_file(folder, file));
    let tensors = file.and_then(|file| TensorFiles::open(&file).ok());
    let values = |statistic: &str| {
        let tensor = tensors.as_ref()?.get(&format!("{feature}.{statistic}"))?;
        Some(tensor.to_f32())
    };
    let (mut length, mut without_extent) = (None, Vec::new());
    if let Some((first, second)) = Mode::parse(mode).and_then(Mode::statistics)
        && let (Some(first), Some(second)) = (values(first), values(second))
    {
        length = Some(first.len());
        without_extent = match mode {
            "MEAN_STD" => indices(second.iter().map(|std| *std == 0.0)),
            _ => indices(first.iter().zip(&second).map(|(low, high)| low == high)),
        };
    }
    Some(InspectedStatistics {
        asset: None,
        of,
        mode: Some(mode.to_owned()),
        length,
        without_extent,
    })
}

fn of_assets(assets: &Path) -> Vec<InspectedStatistics> {
    let Ok(found) = openpi_statistics::files(assets) else {
        return Vec::new();
    };
    let mut inspected = Vec::new();
    for path in found {
        let asset = openpi_statistics::asset_name(assets, &path);
        let Ok((state, action)) = orbax::read_norm_stats(&path, false) else {
            continue;
        };
        for (of, statistics) in [("state", state), ("action", action)] {
            let std = statistics.iter().find(|(name, _)| *name == "std");
            let std = std.map(|(_, values)| values.as_slice()).unwrap_or_default();
            inspected.push(InspectedStatistics {
                asset: Some(asset.clone()),
                of,
                mode: None,
                length: Some(std.len()),
                without_extent: indices(std.iter().map(|std| *std == 0.0)),
            });
        }
    }
    inspected
}

fn indices(holds: impl Iterator<Item = bool>) -> Vec<usize> {
    holds
        .enumerate()
        .filter_map(|(index, holds)| holds.then_some(index))
        .collect()
}
