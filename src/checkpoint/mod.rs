//! Checkpoints of LeRobot and openpi: weights, configuration, normalisation statistics, tokenizer.

mod before_0_4;
mod config;
mod error;
mod folder;
pub mod hub;
mod json;
mod named;
mod names;
mod openpi_statistics;
mod options;
mod other_policy;
mod processors;
mod sentencepiece;
mod statistics;
mod tensor_files;
mod text_tokenizer;
mod tokenizer;
mod tokenizer_search;
mod weights;

pub use config::{ImagePosition, PolicyConfig};
pub(crate) use error::list;
pub use error::{CheckpointError, TensorProblem};
pub use named::folder_of;
pub use options::CheckpointOptions;
pub use statistics::{Normalisation, Statistics};
pub use tokenizer::{PromptError, PromptTokenizer};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::device::HostTensor;
use crate::model::{Pi0Config, Weights};
use config::{Dims, Writer};
use processors::Processors;
use tensor_files::TensorFiles;

/// A checkpoint of π0, all parts of which fit each other.
pub struct Checkpoint {
    folder: PathBuf,
    config: PolicyConfig,
    state_dim: usize,
    action_dim: usize,
    statistics: Statistics,
    tokenizer: PromptTokenizer,
    files: TensorFiles,
    /// Stored name of each of the model's parameters.
    stored_names: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Opens a checkpoint with nothing chosen that its folder does not tell.
    ///
    /// # Errors
    /// As [`open_with`](Self::open_with).
    pub fn open(checkpoint: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        Self::open_with(checkpoint, &CheckpointOptions::default())
    }

    /// Opens a checkpoint's folder as LeRobot or openpi's PyTorch conversion wrote it, the newest policy of a
    /// training run of LeRobot, or a model of the Hugging Face Hub ([`folder_of`]). Weights are mapped, not
    /// read.
    ///
    /// # Errors
    /// All problems of the checkpoint, at once: files that are missing or damaged, impossible values of the
    /// configuration, tensors that do not fit it, statistics that cannot be used.
    pub fn open_with(
        checkpoint: impl AsRef<Path>,
        options: &CheckpointOptions,
    ) -> Result<Self, CheckpointError> {
        let folder = &folder::of_policy(&folder_of(checkpoint)?);
        other_policy::refuse_orbax(folder)?;
        other_policy::refuse_adapter(folder)?;
        let mut config = PolicyConfig::read(folder)?;
        let padded = Dims {
            state: config.model.max_state_dim,
            action: config.model.max_action_dim,
        };
        let weights = open_weights(folder, &config.model);
        let processors = read_processors(folder, &config, &weights).and_then(|read| {
            let dims = read.statistics.dims(config.dims, padded);
            let statistics = read.statistics.check(folder, dims, padded)?;
            if dims != config.dims {
                tracing::info!(
                    "{}: the robot has {} values of a state and {} of an action, as many as their statistics; config.json \
                     has the padded lengths",
                    folder.display(),
                    dims.state,
                    dims.action
                );
            }
            Ok((statistics, dims, read.max_prompt_tokens))
        });
        if let Ok((_, _, Some(limit))) = processors {
            config.model.max_prompt_tokens = limit;
        }
        let tokenizer = PromptTokenizer::read(
            folder,
            options.tokenizer.as_deref(),
            config.model.max_prompt_tokens,
            config.model.vocab_size,
        );

        let mut errors = Vec::new();
        let mut note = |error| errors.push(error);
        let weights = weights.and_then(|weights| weights.stored_names.map(|names| (weights.files, names)));
        let weights = weights.map_err(&mut note).ok();
        let processors = processors.map_err(&mut note).ok();
        let tokenizer = tokenizer.map_err(&mut note).ok();
        match (weights, processors, tokenizer) {
            (Some((files, stored_names)), Some((statistics, dims, _)), Some(tokenizer)) => Ok(Self {
                folder: folder.to_owned(),
                config,
                state_dim: dims.state,
                action_dim: dims.action,
                statistics,
                tokenizer,
                files,
                stored_names,
            }),
            _ if errors.len() == 1 => Err(errors.remove(0)),
            _ => Err(CheckpointError::Several(errors)),
        }
    }

    /// Folder that was opened.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Configuration of the policy.
    pub fn config(&self) -> &PolicyConfig {
        &self.config
    }

    /// Values of a state before padding.
    pub fn state_dim(&self) -> usize {
        self.state_dim
    }

    /// Values of an action before padding.
    pub fn action_dim(&self) -> usize {
        self.action_dim
    }

    /// Normalisation of states and actions.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Tokenizer of prompts.
    pub fn tokenizer(&self) -> &PromptTokenizer {
        &self.tokenizer
    }
}

impl Weights for Checkpoint {
    /// # Panics
    /// When the name is none of [`parameters`](crate::model::parameters::parameters) of this configuration.
    fn tensor(&self, name: &str) -> HostTensor<'_> {
        self.stored_names
            .get(name)
            .and_then(|stored| self.files.get(stored))
            .unwrap_or_else(|| panic!("{name} is no parameter of this checkpoint's model"))
    }
}

/// Mapped weights, and the names of the model's parameters among them where they fit the configuration.
struct OpenedWeights {
    files: TensorFiles,
    stored_names: Result<BTreeMap<String, String>, CheckpointError>,
}

fn open_weights(folder: &Path, config: &Pi0Config) -> Result<OpenedWeights, CheckpointError> {
    let files = TensorFiles::open_model(folder)?;
    if files.iter().any(|(name, _)| names::is_pi05(name)) {
        return Err(CheckpointError::OtherPolicy {
            path: folder.to_owned(),
            found: "pi05 (π0.5: its expert's norms are conditioned on time)".to_owned(),
            advice: other_policy::PI05_ADVICE.to_owned(),
        });
    }
    let stored_names = weights::stored_names(&files, config).map_err(|problems| CheckpointError::Tensors {
        path: folder.to_owned(),
        problems,
    });
    Ok(OpenedWeights { files, stored_names })
}

/// Reads what happens before and after the model from the files of the checkpoint's writer.
fn read_processors(
    folder: &Path,
    config: &PolicyConfig,
    weights: &Result<OpenedWeights, CheckpointError>,
) -> Result<Processors, CheckpointError> {
    let without_limit = |statistics| Processors {
        statistics,
        max_prompt_tokens: None,
    };
    let Writer::LeRobot { normalisation } = &config.writer else {
        return openpi_statistics::read(folder).map(without_limit);
    };
    let has_processors = folder.join("policy_preprocessor.json").exists();
    match weights {
        Ok(OpenedWeights { files, .. })
            if !has_processors && files.iter().any(|(name, _)| names::is_old_statistic(name)) =>
        {
            before_0_4::statistics(folder, files, normalisation).map(without_limit)
        }
        _ => processors::read(folder, config.dims.action),
    }
}
