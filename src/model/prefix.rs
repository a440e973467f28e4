//! The prefix: what the robot sees and what it is asked to do, as tokens that all attend to each other.

use std::collections::BTreeMap;
use std::ops::Range;

use super::attention::{AttentionMask, positions};
use super::config::Pi0Config;
use super::gemma::{KvCache, Placement, Rope};
use super::paligemma::PaliGemma;
use super::siglip::tokens_of_an_image;
use crate::device::{Device, Result};

/// Tokens of all cameras, then of the prompt.
pub struct Prefix<D: Device> {
    /// `[tokens, vlm.width]` each.
    parts: Vec<D::Tensor>,
    /// Which tokens are there: not those of an absent camera, not padding.
    pub valid: Vec<bool>,
}

/// Keys and values of a prefix in every layer, with room for a suffix behind them, and where that suffix stands.
///
/// They hold for as long as images and prompt stay the same, whatever the state and the noise are.
pub struct PrefixCache<D: Device> {
    pub cache: KvCache<D>,
    tokens: Prefix<D>,
    prefix: Place<D>,
    /// Of the state's token and the actions behind it.
    suffix: Place<D>,
    actions: Place<D>,
    filling: D::Recording,
    pub(super) inputs: SuffixInputs<D>,
}

/// What a suffix starts from, where it stays from chunk to chunk.
pub(super) struct SuffixInputs<D: Device> {
    /// `[tile, max_state_dim]`, the state in its first row.
    pub state: D::Tensor,
    /// `[actions, max_action_dim]`: noise, that becomes actions.
    pub x_t: D::Tensor,
    pub held: Held<D>,
    /// By the number of steps, and whether actions are held.
    pub denoising: BTreeMap<(usize, bool), D::Recording>,
}

/// Actions that are not free: where they are, and the velocity of the flow from their noise to them, `[actions,
/// max_action_dim]` both.
pub(super) struct Held<D: Device> {
    /// 1 where a value is held, 0 elsewhere.
    pub mask: D::Tensor,
    pub velocity: D::Tensor,
}

impl<D: Device> Clone for Held<D> {
    fn clone(&self) -> Self {
        Self {
            mask: self.mask.clone(),
            velocity: self.velocity.clone(),
        }
    }
}

impl<D: Device> SuffixInputs<D> {
    /// What is kept of such a denoising; to be put back. Of another number of steps nothing is kept from then on: memory for
    /// recordings is limited.
    pub fn take_recording(&mut self, steps: usize, is_held: bool) -> D::Recording {
        self.denoising.retain(|(kept, _), _| *kept == steps);
        self.denoising.remove(&(steps, is_held)).unwrap_or_default()
    }
}

/// Rotation and mask of tokens that stand side by side.
struct Place<D: Device> {
    start: usize,
    rope: Rope<D>,
    mask: Option<D::Tensor>,
}

impl<D: Device> Prefix<D> {
    /// Image embeddings `[tokens, vlm.width]`, one a camera and `None` for an absent one, and the prompt's
    /// tokens, of which the first `valid_tokens` are no padding.
    pub fn new(
        config: &Pi0Config,
        device: &D,
        images: &[Option<D::Tensor>],
        prompt: &D::Tensor,
        valid_tokens: usize,
    ) -> Result<Self> {
        let patches = config.vision.num_patches();
        let tokens = tokens_of_an_image(&config.vision, device);
        let absent = match images.iter().any(Option::is_none) {
            true => Some(device.zeros(&[tokens, config.vlm.width])?),
            false => None,
        };
        let parts = images
            .iter()
            .filter_map(|image| image.as_ref().or(absent.as_ref()))
            .chain([prompt]);
        let prompt_tokens = device.shape(prompt)[0];
        let valid = images
            .iter()
            .flat_map(|image| (0..tokens).map(move |token| image.is_some() && token < patches))
            .chain((0..prompt_tokens).map(|token| token < valid_tokens))
            .collect();
        Ok(Self {
            parts: parts.cloned().collect(),
            valid,
        })
    }

    /// `[tokens, vlm.width]`
    ///
    /// # Errors
    /// When the device fails.
    pub fn embeddings(&self, device: &D) -> Result<D::Tensor> {
        let parts: Vec<&D::Tensor> = self.parts.iter().collect();
        device.concat_rows(&parts)
    }

    /// Runs the prefix through the language model and keeps its keys and values, in the memory of a previous prefix
    /// where that had its tokens in the same places.
    pub fn prefill(
        self,
        config: &Pi0Config,
        device: &D,
        paligemma: &PaliGemma<D>,
        previous: Option<PrefixCache<D>>,
    ) -> Result<PrefixCache<D>> {
        let mut prefix = match previous.filter(|previous| previous.tokens.valid == self.valid) {
            Some(previous) => PrefixCache {
                tokens: self,
                filling: D::Recording::default(),
                ..previous
            },
            None => PrefixCache::new(config, device, self)?,
        };
        prefix.fill(device, paligemma)?;
        Ok(prefix)
    }
}

impl<D: Device> PrefixCache<D> {
    /// Room for a prefix of these tokens, the state and the actions, each from a tile of its own on.
    fn new(config: &Pi0Config, device: &D, tokens: Prefix<D>) -> Result<Self> {
        let tile = device.tile();
        let valid = &tokens.valid;
        let state = valid.len();
        let actions = state + tile;
        let capacity = actions + config.action_horizon.next_multiple_of(tile);
        let there = |token| match token {
            _ if token < state => valid[token],
            _ if token < actions => token == state,
            _ => token < actions + config.action_horizon,
        };
        let there: Vec<bool> = (0..capacity).map(there).collect();
        // The state sees the prefix and itself, the actions see everything; suffix positions go on where the valid
        // prefix ends.
        let starts_block: Vec<bool> = (0..capacity)
            .map(|token| token == state || token == actions)
            .collect();
        let mask = AttentionMask::prefix_lm(&starts_block).and(&AttentionMask::padding(capacity, &there));
        let positions = positions(&there);
        let place = |rows: Range<usize>, mask: &AttentionMask| -> Result<Place<D>> {
            Ok(Place {
                start: rows.start,
                rope: Rope::new(&config.vlm, device, &positions[rows])?,
                mask: mask.upload(device)?,
            })
        };
        let of_actions = || device.zeros_for_sums(&[capacity - actions, config.max_action_dim]);
        Ok(Self {
            cache: KvCache::new(&config.vlm, device, capacity)?,
            prefix: place(0..state, &AttentionMask::padding(state, valid))?,
            suffix: place(state..capacity, &mask.rows(state..capacity))?,
            actions: place(actions..capacity, &mask.rows(actions..capacity))?,
            filling: D::Recording::default(),
            inputs: SuffixInputs {
                state: device.zeros(&[tile, config.max_state_dim])?,
                x_t: of_actions()?,
                held: Held {
                    mask: of_actions()?,
                    velocity: of_actions()?,
                },
                denoising: BTreeMap::new(),
            },
            tokens,
        })
    }

    /// The embeddings of the images as they are now: the tensors that the prefix was made of, written to since.
    pub(super) fn update_images(&mut self, images: &[D::Tensor]) {
        self.tokens.parts[..images.len()].clone_from_slice(images);
    }

    /// Runs the prefix through the language model.
    pub(super) fn fill(&mut self, device: &D, paligemma: &PaliGemma<D>) -> Result<()> {
        let (tokens, placement) = (&self.tokens, self.prefix.placement());
        device.replay(&mut self.filling, &[], || {
            let embeddings = tokens.embeddings(device)?;
            paligemma
                .language_model
                .fill_cache(device, embeddings, &placement, &mut self.cache)
        })
    }

    /// The cache, and the place of the state and the actions in it: behind the prefix.
    pub(super) fn for_suffix(&mut self) -> (&mut KvCache<D>, Placement<'_, D>) {
        (&mut self.cache, self.suffix.placement())
    }

    /// The cache, and the place of the actions in it: behind the state.
    pub(super) fn for_actions(&mut self) -> (&mut KvCache<D>, Placement<'_, D>) {
        (&mut self.cache, self.actions.placement())
    }
}

impl<D: Device> Place<D> {
    fn placement(&self) -> Placement<'_, D> {
        Placement {
            start: self.start,
            rope: &self.rope,
            mask: self.mask.as_ref(),
        }
    }
}
