//! Checkpoints of LeRobot and openpi: weights, configuration, normalisation statistics, tokenizer.

mod config;
mod error;
mod json;
mod names;
mod openpi_statistics;
mod processors;
mod statistics;
mod tensor_files;
mod tokenizer;
mod weights;

pub use config::PolicyConfig;
pub(crate) use error::list;
pub use error::{CheckpointError, TensorProblem};
pub use statistics::{Normalisation, Statistics};
pub use tokenizer::{PromptError, PromptTokenizer};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::device::HostTensor;
use crate::model::{Pi0Config, Weights};
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
    /// Opens a checkpoint's folder as LeRobot or openpi's PyTorch conversion wrote it. Weights are mapped,
    /// not read.
    ///
    /// # Errors
    /// All problems of the checkpoint, at once: files that are missing or damaged, impossible values of the
    /// configuration, tensors that do not fit it, statistics that cannot be used.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        let folder = folder.as_ref();
        if !folder.is_dir() {
            return Err(CheckpointError::File {
                path: folder.to_owned(),
                problem: "no such folder, expected that of a checkpoint".to_owned(),
            });
        }
        let config = PolicyConfig::read(folder)?;
        let statistics = match config.dims {
            Some(dims) => processors::read(folder, dims.action)
                .and_then(|statistics| statistics.check(folder, Some(dims.state), Some(dims.action))),
            None => {
                openpi_statistics::read(folder).and_then(|statistics| statistics.check(folder, None, None))
            }
        };
        let tokenizer =
            PromptTokenizer::read(folder, config.model.max_prompt_tokens, config.model.vocab_size);
        let weights = open_weights(folder, &config.model);

        let mut errors = Vec::new();
        let mut note = |error| errors.push(error);
        let weights = weights.map_err(&mut note).ok();
        let statistics = statistics.map_err(&mut note).ok();
        let tokenizer = tokenizer.map_err(&mut note).ok();
        match (weights, statistics, tokenizer) {
            (Some((files, stored_names)), Some(statistics), Some(tokenizer)) => {
                let (state_dim, action_dim) = dims(folder, &config, &statistics)?;
                Ok(Self {
                    folder: folder.to_owned(),
                    config,
                    state_dim,
                    action_dim,
                    statistics,
                    tokenizer,
                    files,
                    stored_names,
                })
            }
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

fn open_weights(
    folder: &Path,
    config: &Pi0Config,
) -> Result<(TensorFiles, BTreeMap<String, String>), CheckpointError> {
    let files = TensorFiles::open_model(folder)?;
    if files.iter().any(|(name, _)| names::is_pi05(name)) {
        return Err(CheckpointError::OtherPolicy {
            path: folder.to_owned(),
            found: "pi05 (its expert's norms are conditioned on time)".to_owned(),
        });
    }
    if files.iter().any(|(name, _)| names::is_old_statistic(name)) {
        return Err(CheckpointError::BeforeProcessors {
            path: folder.to_owned(),
        });
    }
    match weights::stored_names(&files, config) {
        Ok(stored_names) => Ok((files, stored_names)),
        Err(problems) => Err(CheckpointError::Tensors {
            path: folder.to_owned(),
            problems,
        }),
    }
}

/// Values of a state and of an action before padding: LeRobot's configuration has them, openpi's statistics
/// are as many.
fn dims(
    folder: &Path,
    config: &PolicyConfig,
    statistics: &Statistics,
) -> Result<(usize, usize), CheckpointError> {
    if let Some(dims) = config.dims {
        return Ok((dims.state, dims.action));
    }
    let model = &config.model;
    let state = statistics.state.dim().unwrap_or(model.max_state_dim);
    let action = statistics.action.dim().unwrap_or(model.max_action_dim);
    let mut problems = Vec::new();
    for (name, dim, max) in [
        ("state", state, model.max_state_dim),
        ("action", action, model.max_action_dim),
    ] {
        if dim > max {
            problems.push(format!(
                "statistics of {dim} values of the {name}, the model takes at most {max}"
            ));
        }
    }
    if problems.is_empty() {
        return Ok((state, action));
    }
    Err(CheckpointError::Statistics {
        path: folder.to_owned(),
        problems,
    })
}
