//! Tokenizing of prompts, as PaliGemma does it.

use std::path::Path;

use tokenizers::Tokenizer;

use super::error::CheckpointError;

/// First token of every prompt.
const BEGINNING: &str = "<bos>";

/// Tokenizer of a checkpoint.
#[derive(Clone)]
pub struct PromptTokenizer {
    tokenizer: Tokenizer,
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
    /// Reads `tokenizer.json` from a checkpoint's folder.
    pub(super) fn read(folder: &Path, max_tokens: usize, vocab_size: usize) -> Result<Self, CheckpointError> {
        let path = folder.join("tokenizer.json");
        let error = |problem: String| CheckpointError::File {
            path: path.clone(),
            problem,
        };
        if !path.exists() {
            return Err(error(
                "missing; copy the file tokenizer.json of google/paligemma-3b-pt-224 (on the Hugging Face Hub, after \
                 accepting its licence) into the checkpoint's folder"
                    .to_owned(),
            ));
        }
        let mut tokenizer =
            Tokenizer::from_file(&path).map_err(|reason| error(format!("not a tokenizer: {reason}")))?;
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|reason| error(format!("not a tokenizer: {reason}")))?;
        let begins = tokenizer.encode("", true).is_ok_and(|encoding| {
            encoding
                .get_tokens()
                .first()
                .is_some_and(|token| token == BEGINNING)
        });
        if !begins {
            return Err(error(format!(
                "does not begin a prompt with {BEGINNING}, as PaliGemma's does"
            )));
        }
        Ok(Self {
            tokenizer,
            max_tokens,
            vocab_size,
        })
    }

    /// Encodes a text of a [`PromptForm`](super::PromptForm): the beginning-of-sequence token and the text.
    ///
    /// # Errors
    /// When the text is empty or longer than the checkpoint allows. (LeRobot cuts it off there.)
    pub fn encode(&self, prompt: &str) -> Result<Vec<u32>, PromptError> {
        if prompt.is_empty() {
            return Err(PromptError::Empty);
        }
        let encoding = self
            .tokenizer
            .encode(prompt, true)
            .map_err(|reason| PromptError::Tokenizer {
                prompt: prompt.to_owned(),
                reason: reason.to_string(),
            })?;
        let tokens = encoding.get_ids().to_vec();
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
