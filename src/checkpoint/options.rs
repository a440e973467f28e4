//! Choices of a user about what a checkpoint's folder does not tell.

use std::path::PathBuf;

use super::image_fit::{ImageBars, Resize};
use super::prompt_form::StateInPrompt;

/// Choices of a user about what a checkpoint's folder does not tell. By default what its writer's version did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckpointOptions {
    /// Folder of the checkpoint that an adapter changes; `None` for the one that the adapter names.
    pub base: Option<PathBuf>,
    /// File of the tokenizer, or a folder with it; `None` to look for it.
    pub tokenizer: Option<PathBuf>,
    /// Filter that changes an image's size.
    pub resize: Option<Resize>,
    /// Value of the bars beside an image that is no square.
    pub image_bars: Option<ImageBars>,
    /// Use of the state in π0.5's prompt.
    pub state_in_prompt: Option<StateInPrompt>,
    /// Choices about a folder of openpi.
    pub openpi: OpenpiOptions,
    /// Joints of the state and of the actions.
    pub joints: JointLabels,
}

/// Choices about a folder of openpi, whose training configuration is not in it. LeRobot's folders have all of these
/// themselves, and refuse them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenpiOptions {
    /// Folder in `assets` whose statistics count (`asset_id`); `None` for the only one.
    pub asset: Option<String>,
    /// Actions in a chunk, where there is no `config.json`; `None` for 50.
    pub action_horizon: Option<usize>,
    /// Tokens that a prompt may have (`max_token_len`); `None` for the published number.
    pub max_prompt_tokens: Option<usize>,
    /// Statistics that scale states and actions (`use_quantile_norm`); `None` for quantiles with π0.5, and mean and
    /// standard deviation with π0.
    pub normalisation: Option<OpenpiNormalisation>,
    /// Whether an action is relative to the state (`DeltaActions`), for each value of it; absolute behind the last.
    pub delta_actions: Vec<bool>,
}

/// Statistics that openpi scales states and actions with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenpiNormalisation {
    /// The 1st and 99th percentile become −1 and 1.
    Quantiles,
    /// Mean and standard deviation become 0 and 1.
    MeanStd,
}

/// The robot's joints by the values of states and actions, for messages and constants. Lists may be shorter than
/// what they label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JointLabels {
    /// Joint of each value of the state.
    pub state: Vec<String>,
    /// Joint of each value of an action; `None` for a value that no joint gets.
    pub actions: Vec<Option<String>>,
    /// Joints whose values are constant: they become 0 in the model's units, and their mean in the robot's.
    pub constant: Vec<String>,
}

impl OpenpiOptions {
    /// Names of the parameters that are not at their default.
    pub(super) fn given(&self) -> Vec<&'static str> {
        [
            (self.asset.is_some(), "openpi_asset"),
            (self.action_horizon.is_some(), "openpi_action_horizon"),
            (self.max_prompt_tokens.is_some(), "openpi_max_prompt_tokens"),
            (self.normalisation.is_some(), "normalisation"),
            (!self.delta_actions.is_empty(), "delta_actions"),
        ]
        .into_iter()
        .filter_map(|(is_given, name)| is_given.then_some(name))
        .collect()
    }
}
