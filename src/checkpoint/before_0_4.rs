//! Checkpoints of LeRobot 0.3, in today's terms: keys of the configuration, and the statistics that are
//! among the weights.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::error::CheckpointError;
use super::statistics::{Mode, Normalisation, Statistics};
use super::tensor_files::TensorFiles;

const STEPS: &str = "num_steps";
const IMAGE_SIZE: &str = "resize_imgs_with_padding";
/// Epsilon of LeRobot 0.3's `Normalize`.
const EPSILON: f32 = 1e-8;

/// Renames the keys of LeRobot 0.3 to today's and returns whether there were any. Keys that change the
/// actions and have no counterpart become problems.
pub(super) fn rename_keys(config: &mut Map<String, Value>, problems: &mut Vec<String>) -> bool {
    let transforms = [
        ("adapt_to_pi_aloha", "robot_preset to aloha_before_2025_07"),
        (
            "use_delta_joint_actions_aloha",
            "action_mode of the arms' joints to relative",
        ),
    ];
    let is_old = [STEPS, IMAGE_SIZE]
        .iter()
        .chain(transforms.iter().map(|(key, _)| key))
        .any(|key| config.contains_key(*key));
    for (key, parameter) in transforms {
        if config.get(key).and_then(Value::as_bool) == Some(true) {
            problems.push(format!(
                "{key} is true, expected false: LeRobot 0.3 converted the joints of ALOHA within the policy; set it to \
                 false here, and the node's {parameter}, which does the same"
            ));
        }
    }
    if let Some(steps) = config.remove(STEPS) {
        let today = config.entry("num_inference_steps").or_insert(steps.clone());
        if *today != steps {
            problems.push(format!(
                "{STEPS} is {steps} and num_inference_steps {today}, expected one of them or the same"
            ));
        }
    }
    if let Some(size) = config.remove(IMAGE_SIZE) {
        match size.as_array().map(Vec::as_slice) {
            Some([width, height]) => {
                config.insert("image_resolution".to_owned(), json!([height, width]));
            }
            _ => problems.push(format!(
                "{IMAGE_SIZE} is {size}, expected width and height, as [224, 224]: the vision tower takes images of \
                 one size"
            )),
        }
    }
    is_old
}

/// Reads the statistics among the weights; `modes` is the configuration's `normalization_mapping`.
///
/// # Errors
/// When a statistic is missing, or none was ever set.
pub(super) fn statistics(
    folder: &Path,
    files: &TensorFiles,
    modes: &Map<String, Value>,
) -> Result<Statistics, CheckpointError> {
    let path = folder.to_owned();
    let mut problems = Vec::new();
    let mut is_set = false;
    let mut normalisation = |kind: &str, buffer: &str| {
        let name = modes.get(kind).and_then(Value::as_str).unwrap_or("MEAN_STD");
        let Some(mode) = Mode::parse(name) else {
            problems.push(format!(
                "normalization_mapping scales {kind} by {name:?}, which is unknown"
            ));
            return Normalisation::Identity;
        };
        mode.normalisation(EPSILON, |statistic| {
            let name = format!("{buffer}.{statistic}");
            let Some(tensor) = files.get(&name).or_else(|| files.get(&format!("model.{name}"))) else {
                problems.push(format!(
                    "{name} is missing among the weights, LeRobot 0.3 saves it there"
                ));
                return None;
            };
            let values = tensor.to_f32();
            // LeRobot 0.3 fills the statistics of a policy that was never trained on a robot with infinity.
            is_set |= values.iter().any(|value| !value.is_infinite());
            Some(values)
        })
    };
    let state = normalisation("STATE", "normalize_inputs.buffer_observation_state");
    let action = normalisation("ACTION", "unnormalize_outputs.buffer_action");
    if !problems.is_empty() {
        return Err(CheckpointError::Statistics { path, problems });
    }
    if !is_set {
        return Err(CheckpointError::NoStatistics { path });
    }
    Ok(Statistics {
        state,
        action,
        relative: Vec::new(),
    })
}
