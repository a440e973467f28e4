//! LeRobot's processor pipelines: steps on the state before the model, and on actions after it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::config::camera_name;
use super::error::CheckpointError;
use super::json;
use super::statistics::{Mode, Normalisation, Statistics};
use super::tensor_files::TensorFiles;
use crate::model::ModelType;

/// Steps that do not change states and actions, or that the policy does itself for every checkpoint.
const KNOWN_STEPS: [&str; 4] = [RENAME, "to_batch_processor", TOKENIZER, "device_processor"];
/// Steps that make the text of a prompt: π0's and π0.5's.
const PROMPT_STEPS: [(ModelType, &str); 2] = [
    (ModelType::Pi0, "pi0_new_line_processor"),
    (ModelType::Pi05, "pi05_prepare_state_tokenizer_processor_step"),
];
const RENAME: &str = "rename_observations_processor";
const TOKENIZER: &str = "tokenizer_processor";
const NORMALISER: &str = "normalizer_processor";
const UNNORMALISER: &str = "unnormalizer_processor";
const RELATIVE: &str = "relative_actions_processor";
const ABSOLUTE: &str = "absolute_actions_processor";

/// Registry's name of each class that a step may be given by instead, and LeRobot 0.5.1's name of a step.
const ALIASES: [(&str, &str); 12] = [
    ("RenameObservationsProcessorStep", RENAME),
    ("AddBatchDimensionProcessorStep", "to_batch_processor"),
    ("Pi0NewLineProcessor", "pi0_new_line_processor"),
    (
        "Pi05PrepareStateTokenizerProcessorStep",
        "pi05_prepare_state_tokenizer_processor_step",
    ),
    ("TokenizerProcessorStep", TOKENIZER),
    ("DeviceProcessorStep", "device_processor"),
    ("NormalizerProcessorStep", NORMALISER),
    ("UnnormalizerProcessorStep", UNNORMALISER),
    ("RelativeActionsProcessorStep", RELATIVE),
    ("DeltaActionsProcessorStep", RELATIVE),
    ("AbsoluteActionsProcessorStep", ABSOLUTE),
    ("delta_actions_processor", RELATIVE),
];

/// What the pipelines before and after the model define.
pub(super) struct Processors {
    pub statistics: Statistics,
    /// Tokens that a prompt may have.
    pub max_prompt_tokens: Option<usize>,
    /// Names of cameras in the data, by their names in the policy, where the two differ.
    pub recorded_cameras: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Pipeline {
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    registry_name: Option<String>,
    /// Path of the step's class in Python, where it is in no registry.
    class: Option<String>,
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

#[derive(Deserialize)]
struct TokenizerConfig {
    max_length: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RenameConfig {
    /// Name of a feature in the policy, by its name in the data.
    rename_map: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
struct RelativeActionsConfig {
    enabled: bool,
    #[serde(default)]
    exclude_joints: Vec<String>,
    action_names: Option<Vec<String>>,
}

/// Reads the pipelines before and after the model of a LeRobot checkpoint; `action_dim` are the values of an
/// action that has no statistics.
///
/// # Errors
/// When a pipeline or its statistics are missing, a step of it is not one of this network's, or the steps
/// contradict each other.
pub(super) fn read(
    folder: &Path,
    model_type: ModelType,
    action_dim: usize,
) -> Result<Processors, CheckpointError> {
    let mut problems = Vec::new();
    let prompt_steps = PROMPT_STEPS.iter().filter(|(of, _)| *of == model_type);
    let mut used_steps = vec![NORMALISER, RELATIVE];
    used_steps.extend(prompt_steps.map(|(_, step)| step));
    let before = Pipeline::read(folder, "policy_preprocessor.json", &used_steps, &mut problems)?;
    if model_type == ModelType::Pi05 {
        before.expect_state_in_prompt(&mut problems);
    }
    let after = Pipeline::read(
        folder,
        "policy_postprocessor.json",
        &[UNNORMALISER, ABSOLUTE],
        &mut problems,
    )?;
    let scaling = before.normaliser(folder, NORMALISER, "observation.state", &mut problems)?;
    let unscaling = after.normaliser(folder, UNNORMALISER, "action", &mut problems)?;
    if let (Some((scaling, scaled)), Some((unscaling, unscaled))) = (&scaling, &unscaling)
        && scaling.lacks_statistics(scaled, "STATE")
        && unscaling.lacks_statistics(unscaled, "ACTION")
    {
        return Err(CheckpointError::NoStatistics {
            path: folder.to_owned(),
        });
    }
    let mut state = Normalisation::Identity;
    if let Some((step, config)) = scaling {
        refuse_scaled_images(&config, &mut problems);
        state = normalisation(folder, step, &config, "observation.state", "STATE", &mut problems)?;
    }
    let mut action = Normalisation::Identity;
    if let Some((step, config)) = unscaling {
        action = normalisation(folder, step, &config, "action", "ACTION", &mut problems)?;
    }
    let relative: RelativeActionsConfig = before.config(folder, RELATIVE)?.unwrap_or_default();
    let absolute: RelativeActionsConfig = after.config(folder, ABSOLUTE)?.unwrap_or_default();
    if relative.enabled != absolute.enabled {
        let state = |config: &RelativeActionsConfig| if config.enabled { "on" } else { "off or missing" };
        problems.push(format!(
            "{RELATIVE} is {} and {ABSOLUTE} is {}, expected both or neither: the second undoes the first",
            state(&relative),
            state(&absolute)
        ));
    }
    let max_prompt_tokens = before
        .config::<TokenizerConfig>(folder, TOKENIZER)?
        .and_then(|config| config.max_length);
    if max_prompt_tokens == Some(0) {
        problems.push(format!("{TOKENIZER} has the max_length 0, expected at least 1"));
    }
    let rename: Option<RenameConfig> = before.config(folder, RENAME)?.flatten();
    if !problems.is_empty() {
        return Err(CheckpointError::Statistics {
            path: folder.to_owned(),
            problems,
        });
    }
    let action_dim = action.dim().unwrap_or(action_dim);
    Ok(Processors {
        statistics: Statistics {
            state,
            action,
            relative: match absolute.enabled {
                true => relative.mask(action_dim),
                false => Vec::new(),
            },
        },
        max_prompt_tokens,
        recorded_cameras: rename.unwrap_or_default().recorded_cameras(),
    })
}

impl RenameConfig {
    fn recorded_cameras(&self) -> BTreeMap<String, String> {
        self.rename_map
            .iter()
            .filter(|(_, policy)| policy.starts_with("observation.images."))
            .map(|(data, policy)| (camera_name(policy), camera_name(data)))
            .collect()
    }
}

impl Pipeline {
    fn read(
        folder: &Path,
        file: &str,
        used_steps: &[&str],
        problems: &mut Vec<String>,
    ) -> Result<Self, CheckpointError> {
        let path = folder.join(file);
        if !path.exists() {
            return Err(CheckpointError::File {
                path,
                problem:
                    "missing; LeRobot saves it with every policy, and it names the normalisation statistics"
                        .to_owned(),
            });
        }
        let pipeline: Self = json::read(&path)?;
        for step in &pipeline.steps {
            let name = step.name();
            if !KNOWN_STEPS.contains(&name) && !used_steps.contains(&name) {
                problems.push(format!(
                    "{file} has the step {name:?}, which this policy does not have"
                ));
            }
        }
        Ok(pipeline)
    }

    /// Notes a pipeline of π0.5 that puts no normalised state into the prompt.
    fn expect_state_in_prompt(&self, problems: &mut Vec<String>) {
        let place = |name: &str| self.steps.iter().position(|step| step.name() == name);
        let [(_, _), (_, prepare)] = PROMPT_STEPS;
        match (place(NORMALISER), place(prepare)) {
            (_, None) => problems.push(format!("no step {prepare}, so the prompt has no state")),
            (Some(scaled), Some(prepared)) if prepared < scaled => problems.push(format!(
                "{prepare} comes before {NORMALISER}, so the prompt's state is not normalised"
            )),
            _ => {}
        }
    }

    fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name() == name)
    }

    fn normaliser(
        &self,
        folder: &Path,
        name: &str,
        feature: &str,
        problems: &mut Vec<String>,
    ) -> Result<Option<(&Step, NormaliserConfig)>, CheckpointError> {
        let Some(step) = self.step(name) else {
            problems.push(format!("no step {name}, so {feature} cannot be scaled"));
            return Ok(None);
        };
        Ok(Some((step, step.config(folder)?)))
    }

    fn config<T: for<'a> Deserialize<'a>>(
        &self,
        folder: &Path,
        name: &str,
    ) -> Result<Option<T>, CheckpointError> {
        self.step(name).map(|step| step.config(folder)).transpose()
    }
}

impl Step {
    /// Name of the step in LeRobot's registry, today's where it has had others; else the path of its class.
    fn name(&self) -> &str {
        let stored = self.registry_name.as_deref().filter(|name| !name.is_empty());
        let class = self.class.as_deref().unwrap_or_default();
        let name = stored.unwrap_or_else(|| class.rsplit('.').next().unwrap_or_default());
        match ALIASES.iter().find(|(alias, _)| *alias == name) {
            Some((_, today)) => today,
            None => stored.unwrap_or(class),
        }
    }

    fn config<T: for<'a> Deserialize<'a>>(&self, folder: &Path) -> Result<T, CheckpointError> {
        T::deserialize(&self.config).map_err(|error| CheckpointError::File {
            path: folder.to_owned(),
            problem: format!("configuration of the step {}: {error}", self.name()),
        })
    }

    /// Whether the step scales features of this kind and was saved without statistics, as in a base model.
    fn lacks_statistics(&self, config: &NormaliserConfig, kind: &str) -> bool {
        self.state_file.is_none() && config.mode(kind) != "IDENTITY"
    }
}

impl NormaliserConfig {
    fn mode(&self, kind: &str) -> &str {
        self.norm_map
            .get(kind)
            .and_then(Value::as_str)
            .unwrap_or("IDENTITY")
    }
}

/// Notes a scaling of the images, which π0 knows as [−1, 1] alone.
fn refuse_scaled_images(config: &NormaliserConfig, problems: &mut Vec<String>) {
    let mode = config.mode("VISUAL");
    if mode != "IDENTITY" {
        problems.push(format!(
            "{NORMALISER} scales VISUAL by {mode:?}, expected \"IDENTITY\""
        ));
    }
}

/// Reads the normalisation of one feature from its step (LeRobot `normalize_processor.py`).
fn normalisation(
    folder: &Path,
    step: &Step,
    config: &NormaliserConfig,
    feature: &str,
    kind: &str,
    problems: &mut Vec<String>,
) -> Result<Normalisation, CheckpointError> {
    let step_name = step.name();
    if let Some(keys) = &config.normalize_observation_keys
        && kind == "STATE"
        && !keys.iter().any(|key| key == feature)
    {
        return Ok(Normalisation::Identity);
    }
    let name = config.mode(kind);
    let Some(mode) = Mode::parse(name) else {
        problems.push(format!("{step_name} scales {kind} by {name:?}, which is unknown"));
        return Ok(Normalisation::Identity);
    };
    let Some((first, second)) = mode.statistics() else {
        return Ok(Normalisation::Identity);
    };
    let Some(file) = &step.state_file else {
        problems.push(format!(
            "{step_name} has no statistics, expected {feature}.{first} and {feature}.{second}"
        ));
        return Ok(Normalisation::Identity);
    };
    let Some(path) = super::folder::named_file(folder, file) else {
        problems.push(format!(
            "{file} is missing in this folder, expected {feature}.{first} and {feature}.{second} in it"
        ));
        return Ok(Normalisation::Identity);
    };
    let tensors = TensorFiles::open(&path)?;
    let normalisation = mode.normalisation(config.eps, |statistic| {
        let stored = format!("{feature}.{statistic}");
        match tensors.get(&stored) {
            Some(tensor) => Some(tensor.to_f32()),
            None => {
                problems.push(format!("{stored} is missing in {file}, expected for {name}"));
                None
            }
        }
    });
    tensors.expect_unchanged()?;
    Ok(normalisation)
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
