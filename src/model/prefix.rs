//! The prefix: what the robot sees and what it is asked to do, as tokens that all attend to each other.

use super::attention::{AttentionMask, positions};
use super::config::Pi0Config;
use super::embedding::rope_table;
use super::gemma::{KvCache, Placement};
use super::paligemma::PaliGemma;
use crate::device::{Device, Result};

/// Tokens of all cameras, then of the prompt.
pub struct Prefix<D: Device> {
    /// `[tokens, vlm.width]`
    pub embeddings: D::Tensor,
    /// Which tokens are there: not those of an absent camera, not the prompt's padding.
    pub valid: Vec<bool>,
}

/// Keys and values of a prefix in every layer, with room for a suffix behind them.
pub struct PrefixCache<D: Device> {
    pub cache: KvCache<D>,
    /// Which of the cached tokens are there.
    pub valid: Vec<bool>,
}

impl<D: Device> Prefix<D> {
    /// Image embeddings `[patches, vlm.width]`, one a camera and `None` for an absent one, and the prompt's
    /// tokens, of which the first `valid_tokens` are no padding.
    pub fn new(
        config: &Pi0Config,
        device: &D,
        images: &[Option<D::Tensor>],
        prompt: &D::Tensor,
        valid_tokens: usize,
    ) -> Result<Self> {
        let patches = config.vision.num_patches();
        let absent = device.zeros(&[patches, config.vlm.width])?;
        let mut parts: Vec<&D::Tensor> = images
            .iter()
            .map(|image| image.as_ref().unwrap_or(&absent))
            .collect();
        parts.push(prompt);
        let prompt_tokens = device.shape(prompt)[0];
        let valid = images
            .iter()
            .flat_map(|image| std::iter::repeat_n(image.is_some(), patches))
            .chain((0..prompt_tokens).map(|token| token < valid_tokens))
            .collect();
        Ok(Self {
            embeddings: device.concat_rows(&parts)?,
            valid,
        })
    }

    /// Runs the prefix through the language model and keeps its keys and values.
    pub fn prefill(
        &self,
        config: &Pi0Config,
        device: &D,
        paligemma: &PaliGemma<D>,
    ) -> Result<PrefixCache<D>> {
        let tokens = self.valid.len();
        let suffix = 1 + config.action_horizon;
        let mut cache = KvCache::new(&config.vlm, device, tokens + suffix)?;
        let rope = rope_table(
            device,
            &positions(&self.valid),
            config.vlm.head_dim,
            config.vlm.rope_theta,
        )?;
        let mask = upload_mask(device, &AttentionMask::padding(tokens, &self.valid))?;
        let placement = Placement {
            start: 0,
            rope: &rope,
            mask: mask.as_ref(),
        };
        paligemma
            .language_model
            .fill_cache(device, self.embeddings.clone(), &placement, &mut cache)?;
        Ok(PrefixCache {
            cache,
            valid: self.valid.clone(),
        })
    }
}

/// The mask on the device, or none when it masks nothing.
pub(super) fn upload_mask<D: Device>(device: &D, mask: &AttentionMask) -> Result<Option<D::Tensor>> {
    if mask.allows_all() {
        return Ok(None);
    }
    device.upload(&mask.additive(), &mask.shape()).map(Some)
}
