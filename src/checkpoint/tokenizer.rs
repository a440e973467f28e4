//! Tokenizing of prompts, as PaliGemma does it.

use std::path::{Path, PathBuf};

use super::error::CheckpointError;
use super::text_tokenizer::TextTokenizer;
use super::tokenizer_search;

/// Tokenizer of a checkpoint.
#[derive(Clone)]
pub struct PromptTokenizer {
    tokenizer: TextTokenizer,
    file: PathBuf,
    max_tokens: usize,
    vocab_size: usize,
}

/// Why a prompt has no tokens.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// A prompt without a word.
    #[error("the prompt is empty, expected what the robot is to do, in words")]
    Empty,
    /// A prompt longer than the checkpoint allows.
    #[error(
        "the prompt is up to {found} tokens long, with its beginning and all that is added to the task, the checkpoint \
         allows {limit}: {prompt:?}"
    )]
    TooLong {
        /// Tokens of the prompt, with its beginning and all that is added to the task, whatever the state is.
        found: usize,
        /// Tokens that the checkpoint allows.
        limit: usize,
        /// The prompt.
        prompt: String,
    },
    /// A token that the model's embedding table does not have.
    #[error(
        "the tokenizer made token {token} of the prompt, the model's vocabulary has {vocab_size}: {prompt:?}"
    )]
    OutsideVocabulary {
        /// Token id.
        token: u32,
        /// Rows of the embedding table.
        vocab_size: usize,
        /// The prompt.
        prompt: String,
    },
    /// A failure of the tokenizer library.
    #[error("the tokenizer failed on the prompt {prompt:?}: {reason}")]
    Tokenizer {
        /// The prompt.
        prompt: String,
        /// Message of the library.
        reason: String,
    },
}

impl PromptTokenizer {
    /// Reads the tokenizer of the checkpoint in `folder`: the file or folder that is `given`; else one in the folder, in the
    /// cache of the Hugging Face Hub or in openpi's. A prompt may have `max_tokens`, from a vocabulary of `vocab_size`.
    ///
    /// # Errors
    /// When there is none, or the file is damaged.
    pub fn read(
        folder: &Path,
        given: Option<&Path>,
        max_tokens: usize,
        vocab_size: usize,
    ) -> Result<Self, CheckpointError> {
        let file = tokenizer_search::find(folder, given)?;
        Ok(Self {
            tokenizer: TextTokenizer::read(&file)?,
            file,
            max_tokens,
            vocab_size,
        })
    }

    /// File that was read.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Encodes a text of a [`PromptForm`](super::PromptForm): the beginning-of-sequence token and the text.
    ///
    /// # Errors
    /// When the text is empty or longer than the checkpoint allows. (LeRobot cuts it off there.)
    pub fn encode(&self, prompt: &str) -> Result<Vec<u32>, PromptError> {
        if prompt.is_empty() {
            return Err(PromptError::Empty);
        }
        let tokens = self
            .tokenizer
            .encode(prompt)
            .map_err(|reason| PromptError::Tokenizer {
                prompt: prompt.to_owned(),
                reason,
            })?;
        if tokens.len() > self.max_tokens {
            return Err(PromptError::TooLong {
                found: tokens.len(),
                limit: self.max_tokens,
                prompt: prompt.to_owned(),
            });
        }
        match tokens.iter().find(|token| **token as usize >= self.vocab_size) {
            Some(&token) => Err(PromptError::OutsideVocabulary {
                token,
                vocab_size: self.vocab_size,
                prompt: prompt.to_owned(),
            }),
            None => Ok(tokens),
        }
    }
}
