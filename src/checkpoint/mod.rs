//! Checkpoints of LeRobot and openpi: weights, configuration, normalisation statistics, tokenizer.

mod adapter;
mod adapter_weights;
mod before_0_4;
mod config;
mod dataset_info;
mod error;
#[cfg(feature = "cli")]
mod export;
mod folder;
pub mod hub;
mod image_fit;
#[cfg(feature = "cli")]
mod inspection;
mod json;
mod mapped_file;
mod named;
mod names;
mod openpi_statistics;
mod openpi_training;
mod options;
#[cfg(feature = "cli")]
pub mod orbax;
mod other_policy;
#[cfg(feature = "cli")]
mod preparation;
mod processors;
mod prompt_form;
mod sentencepiece;
mod statistics;
mod tensor_files;
mod text_tokenizer;
mod tokenizer;
mod tokenizer_search;
mod weights;

pub use config::PolicyConfig;
pub use dataset_info::{DatasetInfo, RecordedCrop, RecordedImage};
pub(crate) use error::list;
pub use error::{CheckpointError, TensorProblem};
pub use image_fit::{ImageBars, ImageFit, ImagePosition, Resize};
#[cfg(feature = "cli")]
pub use inspection::{InspectedStatistics, Inspection, inspect};
pub use named::folder_of;
pub use options::{CheckpointOptions, JointLabels, OpenpiNormalisation, OpenpiOptions};
#[cfg(feature = "cli")]
pub use preparation::{Preparation, prepare};
pub use prompt_form::{PromptForm, StateInPrompt};
pub use statistics::{Normalisation, Statistics};
pub use tokenizer::{PromptError, PromptTokenizer};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::device::HostTensor;
use crate::model::Weights;
use adapter::Adapter;
use adapter_weights::AdapterWeights;
use config::{Dims, Writer};
use processors::Processors;
use tensor_files::TensorFiles;

/// A checkpoint of π0 or π0.5, all parts of which fit each other.
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
    adapter: Option<AdapterWeights>,
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
    /// read. An adapter is merged with its base.
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
        let adapter = Adapter::find(folder)?;
        let base = match &adapter {
            Some(adapter) => Some(adapter.base_folder(options.base.as_deref())?),
            None => None,
        };
        let mut config = PolicyConfig::read(folder, options)?;
        let padded = Dims {
            state: config.model.max_state_dim,
            action: config.model.max_action_dim,
        };
        let weights = open_weights(base.as_deref().unwrap_or(folder), &mut config);
        let processors = read_processors(folder, options, &config, &weights).and_then(|read| {
            let dims = read.statistics.dims(config.dims, padded);
            let statistics = read.statistics.check(folder, dims, padded, &options.joints)?;
            if dims != config.dims {
                tracing::info!(
                    "{}: the robot has {} values of a state and {} of an action, as many as their statistics; config.json \
                     has the padded lengths",
                    folder.display(),
                    dims.state,
                    dims.action
                );
            }
            Ok((statistics, dims, read.max_prompt_tokens, read.recorded_cameras))
        });
        let processors = processors.map(|(statistics, dims, limit, recorded_cameras)| {
            config.model.max_prompt_tokens = limit.unwrap_or(config.model.max_prompt_tokens);
            config.recorded_cameras = recorded_cameras;
            (statistics, dims)
        });
        // LeRobot saves no tokenizer, so that of an adapter's base is where people put it.
        let tokenizer_folder = match &base {
            Some(base) if !folder.join("tokenizer.json").exists() => base,
            _ => folder,
        };
        let tokenizer = PromptTokenizer::read(
            tokenizer_folder,
            options.tokenizer.as_deref(),
            config.model.max_prompt_tokens,
            config.model.vocab_size,
        );

        let mut errors = Vec::new();
        let mut note = |error| errors.push(error);
        let weights = weights.and_then(|weights| {
            let (files, names) = (weights.files, weights.stored_names?);
            let adapter = match (&adapter, &base) {
                (Some(adapter), Some(base)) => Some(merge(adapter, base, &files, &names)?),
                _ => None,
            };
            Ok((files, names, adapter))
        });
        let weights = weights.map_err(&mut note).ok();
        let processors = processors.map_err(&mut note).ok();
        let tokenizer = tokenizer.map_err(&mut note).ok();
        match (weights, processors, tokenizer) {
            (Some((files, stored_names, adapter)), Some((statistics, dims)), Some(tokenizer)) => Ok(Self {
                folder: folder.to_owned(),
                config,
                state_dim: dims.state,
                action_dim: dims.action,
                statistics,
                tokenizer,
                files,
                stored_names,
                adapter,
            }),
            _ if errors.len() == 1 => Err(errors.remove(0)),
            _ => Err(CheckpointError::Several(errors)),
        }
    }

    /// Checks that all weights that were read until now were one version of the files, once they are on a device or in other
    /// files. What was read of a file that changed meanwhile is no policy that anybody trained.
    ///
    /// # Errors
    /// When a file was written to or truncated since it was opened, or a part of it could not be read.
    pub fn expect_unchanged(&self) -> Result<(), CheckpointError> {
        self.files.expect_unchanged()?;
        match &self.adapter {
            Some(adapter) => adapter.expect_unchanged(),
            None => Ok(()),
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
        let stored = self
            .stored_names
            .get(name)
            .and_then(|stored| self.files.get(stored))
            .unwrap_or_else(|| panic!("{name} is no parameter of this checkpoint's model"));
        match &self.adapter {
            Some(adapter) => adapter.merged(name, stored),
            None => stored,
        }
    }
}

/// Opens an adapter's weights upon those of its base.
fn merge(
    adapter: &Adapter,
    base: &Path,
    files: &TensorFiles,
    stored_names: &BTreeMap<String, String>,
) -> Result<AdapterWeights, CheckpointError> {
    let weights = AdapterWeights::open(adapter, files, stored_names)?;
    tracing::info!(
        "{}: an adapter of {} parameters of {}, merged where they are read",
        adapter.folder().display(),
        weights.len(),
        base.display()
    );
    Ok(weights)
}

/// Mapped weights, and the names of the model's parameters among them where they fit the configuration.
struct OpenedWeights {
    files: TensorFiles,
    stored_names: Result<BTreeMap<String, String>, CheckpointError>,
}

/// Opens the weights. openpi's configuration does not tell π0 from π0.5, its tensors do.
fn open_weights(folder: &Path, config: &mut PolicyConfig) -> Result<OpenedWeights, CheckpointError> {
    let files = TensorFiles::open_model(folder)?;
    let stored = names::model_type(files.iter().map(|(name, _)| name));
    match config.writer {
        Writer::Openpi => config.set_openpi_model_type(stored),
        Writer::LeRobot { .. } if stored != config.model.model_type => {
            return Err(CheckpointError::OtherModel {
                path: folder.to_owned(),
                configured: config.model.model_type,
                stored,
            });
        }
        Writer::LeRobot { .. } => {}
    }
    let stored_names =
        weights::stored_names(&files, &config.model).map_err(|problems| CheckpointError::Tensors {
            path: folder.to_owned(),
            problems,
        });
    Ok(OpenedWeights { files, stored_names })
}

/// Reads what happens before and after the model from the files of the checkpoint's writer.
fn read_processors(
    folder: &Path,
    options: &CheckpointOptions,
    config: &PolicyConfig,
    weights: &Result<OpenedWeights, CheckpointError>,
) -> Result<Processors, CheckpointError> {
    let without_limit = |statistics| Processors {
        statistics,
        max_prompt_tokens: None,
        recorded_cameras: BTreeMap::new(),
    };
    let Writer::LeRobot { normalisation } = &config.writer else {
        let statistics = openpi_statistics::read(folder, &options.openpi, config.model.model_type)?;
        return Ok(Processors {
            statistics,
            max_prompt_tokens: options.openpi.max_prompt_tokens,
            recorded_cameras: BTreeMap::new(),
        });
    };
    let has_processors = folder.join("policy_preprocessor.json").exists();
    match weights {
        Ok(OpenedWeights { files, .. })
            if !has_processors && files.iter().any(|(name, _)| names::is_old_statistic(name)) =>
        {
            before_0_4::statistics(folder, files, normalisation).map(without_limit)
        }
        _ => processors::read(folder, config.model.model_type, config.dims.action),
    }
}
