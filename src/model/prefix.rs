//! The prefix: what the robot sees and what it is asked to do, as tokens that all attend to each other.

use std::ops::Range;

use super::attention::{AttentionMask, positions};
use super::config::{GemmaConfig, Pi0Config};
use super::embedding::rope_table;
use super::gemma::{KvCache, Placement};
use super::paligemma::PaliGemma;
use crate::device::{Device, Result, RopeTable};

/// Tokens of all cameras, then of the prompt.
pub struct Prefix<D: Device> {
    /// `[tokens, vlm.width]`
    pub embeddings: D::Tensor,
    /// Which tokens are there: not those of an absent camera, not the prompt's padding.
    pub valid: Vec<bool>,
}

/// Keys and values of a prefix in every layer, with room for a suffix behind them, and where that suffix stands.
///
/// They hold for as long as images and prompt stay the same, whatever the state and the noise are.
pub struct PrefixCache<D: Device> {
    pub cache: KvCache<D>,
    /// Which of the cached tokens are there.
    pub valid: Vec<bool>,
    state: Place<D>,
    actions: Place<D>,
}

/// Rotation and mask of tokens that stand side by side.
struct Place<D: Device> {
    rope: RopeTable<D::Tensor>,
    mask: Option<D::Tensor>,
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
        let absent = match images.iter().any(Option::is_none) {
            true => Some(device.zeros(&[patches, config.vlm.width])?),
            false => None,
        };
        let mut parts: Vec<&D::Tensor> = images
            .iter()
            .filter_map(|image| image.as_ref().or(absent.as_ref()))
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
        // Suffix positions go on where the valid prefix ends.
        let mut valid = self.valid.clone();
        valid.extend(std::iter::repeat_n(true, suffix));
        let positions = positions(&valid);
        let place = |rows: Range<usize>| {
            let GemmaConfig {
                head_dim, rope_theta, ..
            } = config.vlm;
            let mask = AttentionMask::padding(rows.len(), &valid[..rows.end]);
            Ok(Place {
                rope: rope_table(device, &positions[rows], head_dim, rope_theta)?,
                mask: upload_mask(device, &mask)?,
            })
        };
        let prefix = place(0..tokens)?;
        paligemma.language_model.fill_cache(
            device,
            self.embeddings.clone(),
            &prefix.behind(0),
            &mut cache,
        )?;
        Ok(PrefixCache {
            cache,
            valid: self.valid.clone(),
            state: place(tokens..tokens + 1)?,
            actions: place(tokens + 1..tokens + suffix)?,
        })
    }
}

impl<D: Device> PrefixCache<D> {
    /// The cache, and the place of the state's token in it: behind the prefix.
    pub(super) fn for_state(&mut self) -> (&mut KvCache<D>, Placement<'_, D>) {
        (&mut self.cache, self.state.behind(self.valid.len()))
    }

    /// The cache, and the place of the action tokens in it: behind the state.
    pub(super) fn for_actions(&mut self) -> (&mut KvCache<D>, Placement<'_, D>) {
        (&mut self.cache, self.actions.behind(self.valid.len() + 1))
    }
}

impl<D: Device> Place<D> {
    fn behind(&self, start: usize) -> Placement<'_, D> {
        Placement {
            start,
            rope: &self.rope,
            mask: self.mask.as_ref(),
        }
    }
}

/// The mask on the device, or none when it masks nothing.
fn upload_mask<D: Device>(device: &D, mask: &AttentionMask) -> Result<Option<D::Tensor>> {
    if mask.allows_all() {
        return Ok(None);
    }
    device.upload(&mask.additive(), &mask.shape()).map(Some)
}
