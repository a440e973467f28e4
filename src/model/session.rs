//! A session: one prefix on the device, and everything that is kept to sample chunk after chunk behind it.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use super::attention::{AttentionMask, positions};
use super::config::{ModelType, Pi0Config};
use super::gemma::{KvCache, Pass, PassKind};
use super::guidance::{PrefixTables, StepKind};
use super::paligemma::PaliGemma;
use super::prefix::Prefix;
use super::prompt::PromptEmbedding;
use crate::device::{Device, DeviceError, Result};

/// Keys and values of a prefix in every layer, with memory for a suffix behind them, and the inputs and
/// traces of denoising.
///
/// Keys and values of the prefix stay valid as long as images and prompt stay the same, whatever state and
/// noise are.
pub struct Session<D: Device> {
    /// Keys and values: of the prefix, then of π0's token of the state, then of the actions.
    pub cache: KvCache<D>,
    prefix: Prefix<D>,
    layout: Layout,
    prefix_pass: Pass<D>,
    /// π0's token of the state and the actions.
    pub(super) state_pass: Option<Pass<D>>,
    /// The actions alone, for π0 once the state's keys and values are in the cache.
    pub(super) actions_pass: Pass<D>,
    prefill_trace: D::Trace,
    pub(super) inputs: SuffixInputs<D>,
    denoising_traces: BTreeMap<Denoising, D::Trace>,
    /// Tensors of the suffix's passes that [`set_prompt`](Self::set_prompt) fills.
    pub(super) written_by_prompts: Arc<[D::Tensor]>,
}

/// Inputs of a suffix, in tensors that stay from chunk to chunk.
pub(super) struct SuffixInputs<D: Device> {
    /// `[tile_size, max_state_dim]`, π0's state in its first row.
    pub state: Option<D::Tensor>,
    /// `[actions, max_action_dim]`: noise, which becomes actions.
    pub x_t: D::Tensor,
    pub prefix_tables: PrefixTables<D>,
}

/// Operations of one denoising, which a trace is captured for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Denoising {
    pub steps: usize,
    pub kind: StepKind,
}

/// Tokens of a session: those of the prefix, then a tile for π0's state, then the actions, each from a tile of
/// its own on.
struct Layout {
    /// First token behind the prefix.
    state: usize,
    /// First action.
    actions: usize,
    action_horizon: usize,
    capacity: usize,
}

impl Layout {
    fn new(config: &Pi0Config, tile_size: usize, prefix: usize) -> Self {
        let actions = match config.model_type {
            ModelType::Pi0 => prefix + tile_size,
            ModelType::Pi05 => prefix,
        };
        Self {
            state: prefix,
            actions,
            action_horizon: config.action_horizon,
            capacity: actions + config.action_horizon.next_multiple_of(tile_size),
        }
    }

    /// Mask and positions of all tokens. The state attends to the prefix and itself, the actions attend to
    /// everything; positions of the suffix continue those of the valid prefix.
    fn attention(&self, valid_prefix: &[bool]) -> (AttentionMask, Vec<i64>) {
        let is_valid = |token| match token {
            _ if token < self.state => valid_prefix[token],
            _ if token < self.actions => token == self.state,
            _ => token < self.actions + self.action_horizon,
        };
        let valid: Vec<bool> = (0..self.capacity).map(is_valid).collect();
        let starts_block: Vec<bool> = (0..self.capacity)
            .map(|token| token == self.state || token == self.actions)
            .collect();
        let mask =
            AttentionMask::prefix_lm(&starts_block).and(&AttentionMask::padding(self.capacity, &valid));
        (mask, positions(&valid))
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

    fn allocate(config: &Pi0Config, device: &D, prefix: Prefix<D>) -> Result<Self> {
        let tile_size = device.tile_size();
        let layout = Layout::new(config, tile_size, prefix.valid.len());
        let (mask, positions) = layout.attention(&prefix.valid);
        let suffix = |start| {
            let (kind, rows) = (PassKind::Suffix { start }, start..layout.capacity);
            Pass::new(
                &config.vlm,
                device,
                kind,
                &positions[rows.clone()],
                &mask.rows(rows),
            )
        };
        let action_zeros = || device.zeros_f32(&[layout.capacity - layout.actions, config.max_action_dim]);
        let has_state = layout.state < layout.actions;
        let state_pass = has_state.then(|| suffix(layout.state)).transpose()?;
        let actions_pass = suffix(layout.actions)?;
        let passes = state_pass.iter().chain([&actions_pass]);
        let written_by_prompts: Vec<D::Tensor> = passes.flat_map(Pass::written).collect();
        let prefix_mask = AttentionMask::padding(layout.state, &prefix.valid);
        let prefix_positions = prefix.positions();
        Ok(Self {
            cache: KvCache::new(&config.vlm, device, layout.capacity)?,
            prefix_pass: Pass::new(
                &config.vlm,
                device,
                PassKind::Prefill,
                &prefix_positions,
                &prefix_mask,
            )?,
            state_pass,
            actions_pass,
            written_by_prompts: written_by_prompts.into(),
            prefill_trace: D::Trace::default(),
            inputs: SuffixInputs {
                state: has_state
                    .then(|| device.zeros(&[tile_size, config.max_state_dim]))
                    .transpose()?,
                x_t: action_zeros()?,
                prefix_tables: PrefixTables {
                    weights: action_zeros()?,
                    values: action_zeros()?,
                    clean_rows: (config.rtc_training_max_delay > 0)
                        .then(|| device.zeros(&[layout.capacity - layout.actions, config.expert.width]))
                        .transpose()?,
                },
            },
            denoising_traces: BTreeMap::new(),
            prefix,
            layout,
        })
    }

    /// Number of rows of the prompt's embedding.
    pub fn prompt_rows(&self) -> usize {
        self.prefix.prompt_rows
    }

    /// Replaces the image embeddings of the prefix: the tensors that it was made of, or others of their
    /// shapes.
    pub(super) fn set_images(&mut self, images: &[D::Tensor]) {
        self.prefix.set_images(images);
    }

    /// Replaces the prompt of the prefix by another one of as many rows. Where other rows are padding than
    /// before, masks and positions are overwritten in place: traces stay valid.
    pub(super) fn set_prompt(
        &mut self,
        config: &Pi0Config,
        device: &D,
        prompt: &PromptEmbedding<D>,
    ) -> Result<()> {
        let (rows, found) = (self.prompt_rows(), prompt.rows(device));
        if found != rows {
            return Err(DeviceError::Shape {
                operation: "refill",
                problem: format!("a prompt of {found} rows, expected {rows}"),
            });
        }
        let before = self.prefix.valid.clone();
        self.prefix.set_prompt(prompt, rows);
        if self.prefix.valid == before {
            return Ok(());
        }
        let (layout, valid) = (&self.layout, &self.prefix.valid);
        let (mask, positions) = layout.attention(valid);
        // The prefix's positions are those of a prompt without padding.
        let prefix_mask = AttentionMask::padding(layout.state, valid);
        self.prefix_pass.write(&config.vlm, device, None, &prefix_mask)?;
        let suffixes = [(&mut self.state_pass, layout.state)].into_iter();
        let suffixes = suffixes.filter_map(|(pass, start)| Some((pass.as_mut()?, start)));
        for (pass, start) in suffixes.chain([(&mut self.actions_pass, layout.actions)]) {
            let rows = start..layout.capacity;
            let mask = mask.rows(rows.clone());
            pass.write(&config.vlm, device, Some(&positions[rows]), &mask)?;
        }
        Ok(())
    }

    /// Runs the prefix through the language model, which leaves its keys and values in the cache.
    pub(super) fn prefill(&mut self, device: &D, paligemma: &PaliGemma<D>) -> Result<()> {
        let written = self.prefix_pass.written();
        device.run_captured(&mut self.prefill_trace, &written, || {
            let embeddings = self.prefix.embeddings(device)?;
            paligemma.fill_cache(device, embeddings, &self.prefix_pass, &mut self.cache)
        })
    }

    /// Takes the trace of a denoising, to be [put back](Self::put_trace). Those of other numbers of steps or of another
    /// real-time chunking are dropped: memory for traces is limited.
    pub(super) fn take_trace(&mut self, denoising: Denoising) -> D::Trace {
        self.denoising_traces.retain(|kept, _| {
            let both = [kept.kind, denoising.kind].map(StepKind::is_real_time_chunking);
            let replaced = both == [true; 2] && kept.kind != denoising.kind;
            kept.steps == denoising.steps && !replaced
        });
        mem::take(self.denoising_traces.entry(denoising).or_default())
    }

    /// Keeps the trace of a denoising.
    pub(super) fn put_trace(&mut self, denoising: Denoising, trace: D::Trace) {
        self.denoising_traces.insert(denoising, trace);
    }
}
