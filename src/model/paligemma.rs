//! PaliGemma: SigLIP's image tokens and the prompt's tokens in one language model (Beyer et al. 2024).

use super::config::Pi0Config;
use super::gemma::{Gemma, KvCache, Pass};
use super::norms::Norms;
use super::parameters::{EMBED_TOKENS, LANGUAGE_MODEL, PROJECTOR};
use super::siglip::Siglip;
use super::weights::{Weights, linear_with_bias};
use crate::device::{Activation, Device, Result};

/// π0's vision-language model.
pub struct PaliGemma<D: Device> {
    /// Vision tower: images to features.
    pub vision_tower: Siglip<D>,
    multi_modal_projector: D::Linear,
    embed_tokens: D::Table,
    /// √width
    embedding_scale: f32,
    /// Language model over the tokens of images and prompt.
    pub language_model: Gemma<D>,
    /// Norms of the language model.
    pub norms: Norms<D>,
}

impl<D: Device> PaliGemma<D> {
    /// Uploads the weights.
    ///
    /// # Errors
    /// When the device has no memory for them or fails.
    pub fn new(config: &Pi0Config, device: &D, weights: &dyn Weights) -> Result<Self> {
        Ok(Self {
            vision_tower: Siglip::new(&config.vision, device, weights)?,
            multi_modal_projector: linear_with_bias(device, weights, &[PROJECTOR.to_owned()])?,
            embed_tokens: device.upload_table(&weights.tensor(EMBED_TOKENS))?,
            embedding_scale: (config.vlm.width as f32).sqrt(),
            language_model: Gemma::new(&config.vlm, device, weights, LANGUAGE_MODEL)?,
            norms: Norms::stored(&config.vlm, device, weights, LANGUAGE_MODEL)?,
        })
    }

    /// Runs embeddings `[tokens, vlm.width]` through the language model for their keys and values.
    pub(super) fn fill_cache(
        &self,
        device: &D,
        embeddings: D::Tensor,
        pass: &Pass<D>,
        cache: &mut KvCache<D>,
    ) -> Result<()> {
        self.language_model
            .fill_cache(device, &self.norms, embeddings, pass, cache)
    }

    /// Embeds images `[3, image_size, image_size]` that are on the device: `[tokens, vlm.width]` each.
    ///
    /// # Errors
    /// When an image has another size, or the device fails.
    #[tracing::instrument(name = "vision", level = "trace", skip_all)]
    pub fn embed_images(&self, device: &D, images: &[&D::Tensor]) -> Result<Vec<D::Tensor>> {
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let features = self.vision_tower.forward(device, images)?;
        let projected = self.project(device, &features)?;
        if images.len() == 1 {
            return Ok(vec![projected]);
        }
        let tokens = device.shape(&projected)[0] / images.len();
        (0..images.len())
            .map(|image| device.slice_rows(&projected, image * tokens..(image + 1) * tokens))
            .collect()
    }

    /// Projects the vision tower's features `[patches, vision.width]` to `[patches, vlm.width]`.
    pub fn project(&self, device: &D, features: &D::Tensor) -> Result<D::Tensor> {
        device.linear(features, &self.multi_modal_projector, Activation::None)
    }

    /// Uploads token ids of the vocabulary.
    ///
    /// # Errors
    /// When a token is not in the vocabulary, or the device fails.
    pub(super) fn upload_tokens(&self, device: &D, tokens: &[u32]) -> Result<D::Tensor> {
        device.upload_token_ids(&self.embed_tokens, tokens)
    }

    /// Replaces uploaded token ids by as many others.
    ///
    /// # Errors
    /// When a token is not in the vocabulary, or the device fails.
    pub(super) fn write_tokens(&self, device: &D, ids: &mut D::Tensor, tokens: &[u32]) -> Result<()> {
        device.write_token_ids(&self.embed_tokens, ids, tokens)
    }

    /// Embeds token ids that are on the device, times √width: `[tokens, vlm.width]`. Image tokens are not
    /// scaled; the reference does both inside of transformers' Gemma.
    ///
    /// # Errors
    /// When the device fails.
    pub(super) fn embed_uploaded(&self, device: &D, ids: &D::Tensor) -> Result<D::Tensor> {
        device.embedding(&self.embed_tokens, ids, self.embedding_scale)
    }
}
