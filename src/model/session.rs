//! A session: one prefix on the device, and everything that is kept to sample chunk after chunk behind it.

use std::collections::BTreeMap;
use std::mem;
use std::ops::Range;

use super::attention::{AttentionMask, positions};
use super::config::Pi0Config;
use super::gemma::{KvCache, Pass, PassKind, Rope};
use super::paligemma::PaliGemma;
use super::prefix::Prefix;
use crate::device::{Device, Result};

/// Keys and values of a prefix in every layer, with memory for a suffix behind them, and the inputs and
/// traces of denoising.
///
/// Keys and values of the prefix stay valid as long as images and prompt stay the same, whatever state and
/// noise are.
pub struct Session<D: Device> {
    /// Keys and values: of the prefix, then of the state's token, then of the actions.
    pub cache: KvCache<D>,
    prefix: Prefix<D>,
    prefix_pass: Pass<D>,
    /// The state's token and the actions.
    pub(super) suffix_pass: Pass<D>,
    /// The actions alone, once the state's keys and values are in the cache.
    pub(super) actions_pass: Pass<D>,
    prefill_trace: D::Trace,
    pub(super) inputs: SuffixInputs<D>,
    denoising_traces: BTreeMap<Denoising, D::Trace>,
}

/// Inputs of a suffix, in tensors that stay from chunk to chunk.
pub(super) struct SuffixInputs<D: Device> {
    /// `[tile_size, max_state_dim]`, the state in its first row.
    pub state: D::Tensor,
    /// `[actions, max_action_dim]`: noise, which becomes actions.
    pub x_t: D::Tensor,
    pub frozen: FrozenActions<D>,
}

/// Frozen actions: which values they are, and the velocity of the flow from their noise to them.
pub(super) struct FrozenActions<D: Device> {
    /// 1 where a value is frozen, 0 elsewhere: `[actions, max_action_dim]`.
    pub mask: D::Tensor,
    /// `[actions, max_action_dim]`
    pub velocity: D::Tensor,
}

/// Operations of one denoising, which a trace is captured for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Denoising {
    pub steps: usize,
    pub has_frozen_actions: bool,
}

impl<D: Device> Clone for FrozenActions<D> {
    fn clone(&self) -> Self {
        Self {
            mask: self.mask.clone(),
            velocity: self.velocity.clone(),
        }
    }
}

impl<D: Device> Session<D> {
    /// Allocates a session for a prefix, or takes the memory of a previous one whose prefix had the same
    /// tokens valid.
    pub(super) fn new(
        config: &Pi0Config,
        device: &D,
        prefix: Prefix<D>,
        previous: Option<Self>,
    ) -> Result<Self> {
        match previous.filter(|previous| previous.prefix.valid == prefix.valid) {
            Some(previous) => Ok(Self {
                prefix,
                prefill_trace: D::Trace::default(),
                ..previous
            }),
            None => Self::allocate(config, device, prefix),
        }
    }

    /// Allocates memory for a prefix, the state and the actions, each from a tile of its own on.
    fn allocate(config: &Pi0Config, device: &D, prefix: Prefix<D>) -> Result<Self> {
        let tile_size = device.tile_size();
        let state = prefix.valid.len();
        let actions = state + tile_size;
        let capacity = actions + config.action_horizon.next_multiple_of(tile_size);
        let is_valid = |token| match token {
            _ if token < state => prefix.valid[token],
            _ if token < actions => token == state,
            _ => token < actions + config.action_horizon,
        };
        let valid: Vec<bool> = (0..capacity).map(is_valid).collect();
        // The state attends to the prefix and itself, the actions attend to everything; positions of the
        // suffix continue those of the valid prefix.
        let starts_block: Vec<bool> = (0..capacity)
            .map(|token| token == state || token == actions)
            .collect();
        let mask = AttentionMask::prefix_lm(&starts_block).and(&AttentionMask::padding(capacity, &valid));
        let positions = positions(&valid);
        let pass = |kind, rows: Range<usize>, mask: &AttentionMask| -> Result<Pass<D>> {
            Ok(Pass {
                kind,
                rope: Rope::new(&config.vlm, device, &positions[rows])?,
                mask: mask.upload(device)?,
            })
        };
        let suffix = |start| {
            let rows = start..capacity;
            pass(PassKind::Suffix { start }, rows.clone(), &mask.rows(rows))
        };
        let action_zeros = || device.zeros_f32(&[capacity - actions, config.max_action_dim]);
        let prefix_mask = AttentionMask::padding(state, &prefix.valid);
        Ok(Self {
            cache: KvCache::new(&config.vlm, device, capacity)?,
            prefix_pass: pass(PassKind::Prefill, 0..state, &prefix_mask)?,
            suffix_pass: suffix(state)?,
            actions_pass: suffix(actions)?,
            prefill_trace: D::Trace::default(),
            inputs: SuffixInputs {
                state: device.zeros(&[tile_size, config.max_state_dim])?,
                x_t: action_zeros()?,
                frozen: FrozenActions {
                    mask: action_zeros()?,
                    velocity: action_zeros()?,
                },
            },
            denoising_traces: BTreeMap::new(),
            prefix,
        })
    }

    /// Replaces the image embeddings of the prefix: the tensors that it was made of, or others of their
    /// shapes.
    pub(super) fn set_images(&mut self, images: &[D::Tensor]) {
        self.prefix.set_images(images);
    }

    /// Runs the prefix through the language model, which leaves its keys and values in the cache.
    pub(super) fn prefill(&mut self, device: &D, paligemma: &PaliGemma<D>) -> Result<()> {
        device.run_captured(&mut self.prefill_trace, &[], || {
            let embeddings = self.prefix.embeddings(device)?;
            paligemma
                .language_model
                .fill_cache(device, embeddings, &self.prefix_pass, &mut self.cache)
        })
    }

    /// Takes the trace of a denoising, to be [put back](Self::put_trace). Traces of other numbers of steps
    /// are dropped: memory for traces is limited.
    pub(super) fn take_trace(&mut self, denoising: Denoising) -> D::Trace {
        self.denoising_traces
            .retain(|kept, _| kept.steps == denoising.steps);
        mem::take(self.denoising_traces.entry(denoising).or_default())
    }

    /// Keeps the trace of a denoising.
    pub(super) fn put_trace(&mut self, denoising: Denoising, trace: D::Trace) {
        self.denoising_traces.insert(denoising, trace);
    }
}
