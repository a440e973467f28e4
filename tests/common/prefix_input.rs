//! The input of a prefix, embedded with nothing cached.

use pi0_node::device::{Device, Pixels, Result};
use pi0_node::model::prompt::PromptEmbedding;
use pi0_node::model::{Pi0, Prefix, Session};

/// Images and prompt of one observation, prepared for the network.
pub struct PrefixInput<'a> {
    /// One image `[3, image_size, image_size]` in [−1, 1] a camera; `None` for an absent camera.
    pub images: &'a [Option<Vec<f32>>],
    /// Token ids of the prompt, padded or not.
    pub tokens: &'a [u32],
    /// Number of tokens that are no padding.
    pub valid_tokens: usize,
}

impl PrefixInput<'_> {
    pub fn embed<D: Device>(&self, pi0: &Pi0<D>) -> Result<Prefix<D>> {
        let Pi0 {
            device, paligemma, ..
        } = pi0;
        let present = self.images.iter().flatten();
        let uploaded: Vec<D::Tensor> = present
            .map(|values| {
                let pixels = Pixels::Values(values.clone());
                paligemma.vision_tower.upload_image(device, &pixels)
            })
            .collect::<Result<_>>()?;
        let uploaded: Vec<&D::Tensor> = uploaded.iter().collect();
        let mut embedded = paligemma.embed_images(device, &uploaded)?.into_iter();
        let images: Vec<Option<D::Tensor>> = self
            .images
            .iter()
            .map(|image| image.as_ref().and_then(|_| embedded.next()))
            .collect();
        let tokens = &self.tokens[..self.valid_tokens];
        let prompt = PromptEmbedding::new(device, paligemma, tokens, self.tokens.len(), None)?;
        pi0.embed_prefix(&images, &prompt)
    }

    pub fn prefill<D: Device>(&self, pi0: &Pi0<D>) -> Result<Session<D>> {
        pi0.prefill(self.embed(pi0)?, None)
    }
}
