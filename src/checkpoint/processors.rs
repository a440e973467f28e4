//! LeRobot's processor pipelines: steps on the state before the model, and on actions after it.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::CheckpointError;
use super::json;
use super::statistics::{Normalisation, Statistics};
use super::tensor_files::TensorFiles;

/// Steps that do not change states and actions, or that the policy does itself for every checkpoint.
const KNOWN_STEPS: [&str; 5] = [
    "rename_observations_processor",
    "to_batch_processor",
    "pi0_new_line_processor",
    "tokenizer_processor",
    "device_processor",
];

#[derive(Deserialize)]
struct Pipeline {
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    #[serde(default)]
    registry_name: String,
    #[serde(default)]
    config: Value,
    /// File of the step's tensors, beside the pipeline's.
    state_file: Option<String>,
}

#[derive(Deserialize)]
struct NormaliserConfig {
    eps: f32,
    norm_map: Map<String, Value>,
    normalize_observation_keys: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
struct RelativeActionsConfig {
    enabled: bool,
    #[serde(default)]
    exclude_joints: Vec<String>,
    action_names: Option<Vec<String>>,
}

/// Reads the statistics of a LeRobot checkpoint from the pipelines before and after the model.
///
/// # Errors
/// When a pipeline or its statistics are missing, or a step of it is not one of π0's.
pub(super) fn read(folder: &Path, action_dim: usize) -> Result<Statistics, CheckpointError> {
    let mut problems = Vec::new();
    let before = pipeline(
        folder,
        "policy_preprocessor.json",
        &["normalizer_processor", "relative_actions_processor"],
        &mut problems,
    )?;
    let after = pipeline(
        folder,
        "policy_postprocessor.json",
        &["unnormalizer_processor", "absolute_actions_processor"],
        &mut problems,
    )?;
    let state = normalisation(
        folder,
        &before,
        "normalizer_processor",
        "observation.state",
        "STATE",
        &mut problems,
    )?;
    let action = normalisation(
        folder,
        &after,
        "unnormalizer_processor",
        "action",
        "ACTION",
        &mut problems,
    )?;
    let absolute: RelativeActionsConfig =
        config(folder, after.step("absolute_actions_processor"))?.unwrap_or_default();
    let relative: RelativeActionsConfig =
        config(folder, before.step("relative_actions_processor"))?.unwrap_or_default();
    if !problems.is_empty() {
        return Err(CheckpointError::Statistics {
            path: folder.to_owned(),
            problems,
        });
    }
    Ok(Statistics {
        state,
        action,
        relative: match absolute.enabled {
            true => relative.mask(action_dim),
            false => Vec::new(),
        },
    })
}

fn pipeline(
    folder: &Path,
    file: &str,
    used_steps: &[&str],
    problems: &mut Vec<String>,
) -> Result<Pipeline, CheckpointError> {
    let path = folder.join(file);
    if !path.exists() {
        return Err(CheckpointError::File {
            path,
            problem: "missing; LeRobot saves it with every policy, and it names the normalisation statistics"
                .to_owned(),
        });
    }
    let pipeline: Pipeline = json::read(&path)?;
    for Step { registry_name, .. } in &pipeline.steps {
        let name = registry_name.as_str();
        if !KNOWN_STEPS.contains(&name) && !used_steps.contains(&name) {
            problems.push(format!("{file} has the step {name:?}, which is none of π0's"));
        }
    }
    Ok(pipeline)
}

impl Pipeline {
    fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.registry_name == name)
    }
}

fn config<T: for<'a> Deserialize<'a>>(
    folder: &Path,
    step: Option<&Step>,
) -> Result<Option<T>, CheckpointError> {
    step.map(|step| {
        T::deserialize(&step.config).map_err(|error| CheckpointError::File {
            path: folder.to_owned(),
            problem: format!("configuration of the step {}: {error}", step.registry_name),
        })
    })
    .transpose()
}

/// Reads the normalisation of one feature from its step (LeRobot `normalize_processor.py`).
fn normalisation(
    folder: &Path,
    pipeline: &Pipeline,
    step_name: &str,
    feature: &str,
    kind: &str,
    problems: &mut Vec<String>,
) -> Result<Normalisation, CheckpointError> {
    let step = pipeline.step(step_name);
    let Some((step, config)) = step.zip(config::<NormaliserConfig>(folder, step)?) else {
        problems.push(format!("no step {step_name}, so {feature} cannot be scaled"));
        return Ok(Normalisation::Identity);
    };
    if let Some(keys) = &config.normalize_observation_keys
        && kind == "STATE"
        && !keys.iter().any(|key| key == feature)
    {
        return Ok(Normalisation::Identity);
    }
    let mode = config
        .norm_map
        .get(kind)
        .and_then(Value::as_str)
        .unwrap_or("IDENTITY");
    let (first, second) = match mode {
        "IDENTITY" => return Ok(Normalisation::Identity),
        "MEAN_STD" => ("mean", "std"),
        "MIN_MAX" => ("min", "max"),
        "QUANTILES" => ("q01", "q99"),
        "QUANTILE10" => ("q10", "q90"),
        _ => {
            problems.push(format!("{step_name} scales {kind} by {mode:?}, which is unknown"));
            return Ok(Normalisation::Identity);
        }
    };
    let Some(file) = &step.state_file else {
        problems.push(format!(
            "{step_name} has no statistics, expected {feature}.{first} and {feature}.{second}"
        ));
        return Ok(Normalisation::Identity);
    };
    let path = folder.join(file);
    if !path.exists() {
        problems.push(format!(
            "{file} is missing, expected {feature}.{first} and {feature}.{second} in it"
        ));
        return Ok(Normalisation::Identity);
    }
    let tensors = TensorFiles::open(&path)?;
    let mut values = |statistic: &str| {
        let name = format!("{feature}.{statistic}");
        match tensors.get(&name) {
            Some(tensor) => Some(tensor.to_f32()),
            None => {
                problems.push(format!("{name} is missing in {file}, expected for {mode}"));
                None
            }
        }
    };
    let (Some(first), Some(second)) = (values(first), values(second)) else {
        return Ok(Normalisation::Identity);
    };
    Ok(match mode {
        "MEAN_STD" => Normalisation::MeanStd {
            mean: first,
            std: second,
            epsilon: config.eps,
            epsilon_back: 0.0,
        },
        _ => Normalisation::Range {
            low: first,
            high: second,
        },
    })
}

impl RelativeActionsConfig {
    /// Marks the relative values of an action: all but those whose name contains an excluded one, in any case
    /// (LeRobot `RelativeActionsProcessorStep._build_mask`).
    fn mask(&self, action_dim: usize) -> Vec<bool> {
        let names = self.action_names.as_deref().unwrap_or_default();
        let excluded: Vec<String> = self
            .exclude_joints
            .iter()
            .filter(|name| !name.is_empty())
            .map(|name| name.to_lowercase())
            .collect();
        (0..action_dim)
            .map(|index| {
                let name = names.get(index).map(|name| name.to_lowercase());
                !name.is_some_and(|name| excluded.iter().any(|excluded| name.contains(excluded)))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(exclude: &[&str], names: Option<&[&str]>) -> Vec<bool> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        RelativeActionsConfig {
            enabled: true,
            exclude_joints: owned(exclude),
            action_names: names.map(owned),
        }
        .mask(3)
    }

    #[test]
    fn joints_that_contain_an_excluded_name_stay_absolute() {
        assert_eq!(
            mask(&["Gripper"], Some(&["waist", "left_gripper.pos", "elbow"])),
            [true, false, true]
        );
    }

    #[test]
    fn unnamed_and_unexcluded_joints_are_relative() {
        assert_eq!(mask(&["gripper"], None), [true; 3]);
        assert_eq!(mask(&[""], Some(&["a", "b", "c"])), [true; 3]);
        assert_eq!(mask(&["gripper"], Some(&["gripper"])), [false, true, true]);
    }
}
