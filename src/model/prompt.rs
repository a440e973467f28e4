//! Embedding of the newest prompt, in tensors that stay from prompt to prompt.

use super::paligemma::PaliGemma;
use crate::device::{Device, Result};

/// Tokens of the newest prompt, and their embedding. Prompts of as many rows share the memory.
pub struct PromptEmbedding<D: Device> {
    ids: D::Tensor,
    /// `[rows, vlm.width]`
    embedding: D::Tensor,
    trace: D::Trace,
    valid_tokens: usize,
}

impl<D: Device> PromptEmbedding<D> {
    /// Embeds a prompt: `[rows, vlm.width]`, the rows behind its tokens without meaning. They are at least
    /// `min_rows`, in whole tiles of the device. `previous`: an embedding that is no longer needed, whose
    /// memory is used again where it fits.
    ///
    /// # Errors
    /// When a token is not in the vocabulary, or the device fails.
    #[tracing::instrument(name = "prompt", level = "trace", skip_all)]
    pub fn new(
        device: &D,
        paligemma: &PaliGemma<D>,
        tokens: &[u32],
        min_rows: usize,
        previous: Option<Self>,
    ) -> Result<Self> {
        let rows = tokens.len().max(min_rows).next_multiple_of(device.tile_size());
        let mut padded = tokens.to_vec();
        padded.resize(rows, 0);
        let Some(mut prompt) = previous.filter(|previous| previous.rows(device) == rows) else {
            let ids = paligemma.upload_tokens(device, &padded)?;
            return Ok(Self {
                embedding: paligemma.embed_uploaded(device, &ids)?,
                ids,
                trace: D::Trace::default(),
                valid_tokens: tokens.len(),
            });
        };
        paligemma.write_tokens(device, &mut prompt.ids, &padded)?;
        let Self {
            ids,
            embedding,
            trace,
            ..
        } = &mut prompt;
        device.run_captured(trace, [&*ids], || {
            let new = paligemma.embed_uploaded(device, ids)?;
            device.copy(&new, embedding)
        })?;
        prompt.valid_tokens = tokens.len();
        Ok(prompt)
    }

    /// Embedding, `[rows, vlm.width]`.
    pub fn embedding(&self) -> &D::Tensor {
        &self.embedding
    }

    /// Number of tokens that are no padding, which come first.
    pub fn valid_tokens(&self) -> usize {
        self.valid_tokens
    }

    /// Number of rows of the embedding.
    pub fn rows(&self, device: &D) -> usize {
        device.shape(&self.embedding)[0]
    }
}
