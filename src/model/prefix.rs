//! The prefix: camera images and prompt, as tokens that all attend to each other.

use super::attention::positions;
use super::config::Pi0Config;
use super::prompt::PromptEmbedding;
use super::siglip::tokens_of_an_image;
use crate::device::{Device, Result};

/// Tokens of all cameras, then of the prompt.
pub struct Prefix<D: Device> {
    /// `[tokens, vlm.width]` each, the prompt's last.
    parts: Vec<D::Tensor>,
    pub(super) prompt_rows: usize,
    /// Whether each token is attended to: not those of an absent camera, not padding.
    pub valid: Vec<bool>,
}

impl<D: Device> Prefix<D> {
    /// Joins image embeddings `[tokens, vlm.width]`, one a camera and `None` for an absent one, and a prompt.
    pub(super) fn new(
        config: &Pi0Config,
        device: &D,
        images: &[Option<D::Tensor>],
        prompt: &PromptEmbedding<D>,
    ) -> Result<Self> {
        let patches = config.vision.num_patches();
        let tokens = tokens_of_an_image(&config.vision, device);
        let absent = if images.iter().any(Option::is_none) {
            Some(device.zeros(&[tokens, config.vlm.width])?)
        } else {
            None
        };
        let parts = images
            .iter()
            .filter_map(|image| image.as_ref().or(absent.as_ref()))
            .chain([prompt.embedding()]);
        let prompt_rows = prompt.rows(device);
        let valid = images
            .iter()
            .flat_map(|image| (0..tokens).map(move |token| image.is_some() && token < patches))
            .chain((0..prompt_rows).map(|token| token < prompt.valid_tokens()))
            .collect();
        Ok(Self {
            parts: parts.cloned().collect(),
            prompt_rows,
            valid,
        })
    }

    /// Position of every token, as if no row of the prompt were padding. Padding comes last, so the positions
    /// of all other tokens are the same whatever the prompt's length is.
    pub(super) fn positions(&self) -> Vec<i64> {
        let mut valid = self.valid.clone();
        let first = valid.len() - self.prompt_rows;
        valid[first..].fill(true);
        positions(&valid)
    }

    /// Replaces the prompt by another one of as many rows.
    pub(super) fn set_prompt(&mut self, prompt: &PromptEmbedding<D>, rows: usize) {
        let last = self.parts.len() - 1;
        self.parts[last] = prompt.embedding().clone();
        let first = self.valid.len() - rows;
        for (token, valid) in self.valid[first..].iter_mut().enumerate() {
            *valid = token < prompt.valid_tokens();
        }
    }

    /// Embeddings of all tokens, `[tokens, vlm.width]`.
    ///
    /// # Errors
    /// When the device fails.
    pub fn embeddings(&self, device: &D) -> Result<D::Tensor> {
        let parts: Vec<&D::Tensor> = self.parts.iter().collect();
        device.concat_rows(&parts)
    }

    /// Replaces the embeddings of the first images.
    ///
    /// # Panics
    /// When there are more than the prefix has.
    pub(super) fn set_images(&mut self, images: &[D::Tensor]) {
        self.parts[..images.len()].clone_from_slice(images);
    }
}
