//! PaliGemma: SigLIP's image tokens and the prompt's tokens in one language model (Beyer et al. 2024).

use super::config::Pi0Config;
use super::gemma::Gemma;
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
        })
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

    /// Embeds token ids, times √width: `[tokens, vlm.width]`, padded to the device's tile with embeddings of
    /// no meaning. Image tokens are not scaled; the reference does both inside of transformers' Gemma.
    ///
    /// # Errors
    /// When a token is not in the vocabulary.
    #[tracing::instrument(name = "prompt", level = "trace", skip_all)]
    pub fn embed_tokens(&self, device: &D, tokens: &[u32]) -> Result<D::Tensor> {
        let mut padded = tokens.to_vec();
        padded.resize(tokens.len().next_multiple_of(device.tile_size()), 0);
        device.embedding(&self.embed_tokens, &padded, self.embedding_scale)
    }
}
