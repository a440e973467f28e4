//! Folders of openpi's own PyTorch training, which have weights and statistics and no configuration.

use std::path::Path;

use serde_json::{Value, json};

use super::error::CheckpointError;
use super::tensor_files::TensorFiles;

/// The layer that has as many inputs as an action has values, by openpi's name. LeRobot's begins with `model.`.
const ACTION_LAYER: &str = "action_in_proj.weight";

/// What openpi's conversion would write as `config.json` for the folder's weights; `None` where there is a
/// `config.json`, or the weights are not openpi's. The sizes are the published ones, which the tensors must have,
/// and the horizon is not stored at all.
///
/// # Errors
/// When the weights cannot be read.
pub(super) fn config(folder: &Path) -> Result<Option<Value>, CheckpointError> {
    let weights = folder.join("model.safetensors");
    if folder.join("config.json").exists() || !weights.exists() {
        return Ok(None);
    }
    let files = TensorFiles::open(&weights)?;
    let Some(&[_, action_dim]) = files.info(ACTION_LAYER).map(|tensor| &tensor.shape[..]) else {
        return Ok(None);
    };
    tracing::info!(
        "{}: without config.json, as openpi's own training saves it; sizes are those of the tensors and of π0 as \
         published, the horizon is openpi_action_horizon or else the published one",
        folder.display()
    );
    Ok(Some(json!({
        "action_dim": action_dim,
        "action_horizon": null,
        "paligemma_variant": "gemma_2b",
        "action_expert_variant": "gemma_300m",
    })))
}
