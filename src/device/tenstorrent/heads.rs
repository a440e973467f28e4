//! Attention on the card: heads, their rotation, and their keys and values.

use tt_metal_sys as tt;
use tt_metal_sys::{ComputeKernel, Exponential, Fidelity, Sums};

use super::attention_blocks::attention_blocks;
use super::{TILE, TenstorrentDevice, TenstorrentTensor};
use crate::device::{
    AttentionSoftmax, CardTuning, DeviceError, HeadLayout, Heads, KeysValues, Result, RopeTable, Tuning,
};

/// The mean of a row's values, weighed by an exact softmax, in f32: sums in bfloat16 would bring an approximated
/// exponential function with them, whatever TT-NN is asked for, and with it an error of some 2 % (docs/tenstorrent-notes.md).
const fn attention_compute(tuning: CardTuning) -> ComputeKernel {
    ComputeKernel {
        fidelity: match tuning.has(Tuning::TwoPassAttention) {
            true => Fidelity::HiFi2,
            false => Fidelity::HiFi4,
        },
        sums: Sums::F32,
    }
}

const fn exponential(softmax: AttentionSoftmax) -> Exponential {
    match softmax {
        AttentionSoftmax::Exact => Exponential::Exact,
        AttentionSoftmax::Approximate => Exponential::Approximate,
    }
}

impl TenstorrentDevice {
    /// Splits `[sequences · tokens, width]` into heads.
    pub(super) fn divide_heads(
        &self,
        qkv: &TenstorrentTensor,
        layout: HeadLayout,
    ) -> Result<Heads<TenstorrentTensor>> {
        let (rows, width) = qkv.matrix("split_heads")?;
        let HeadLayout {
            sequences,
            num_heads,
            num_kv_heads,
            head_dim,
        } = layout;
        let divides = sequences > 0
            && rows.is_multiple_of(sequences * TILE)
            && head_dim.is_multiple_of(TILE)
            && width == (num_heads + 2 * num_kv_heads) * head_dim;
        if !divides {
            return Err(DeviceError::shape(
                "split_heads",
                format!(
                    "{:?} does not divide into {layout:?} in tiles of {TILE}",
                    qkv.shape
                ),
            ));
        }
        let tokens = rows / sequences;
        let qkv = self.reshaped(qkv, [sequences, 1, tokens, width])?;
        let heads = self.card.split_heads(&qkv, num_heads, num_kv_heads)?;
        let of = |tensor, count| {
            let shape = [sequences * count, tokens, head_dim];
            self.tensor(tensor, &shape, [sequences, count, tokens, head_dim])
        };
        Ok(Heads {
            queries: of(heads.queries, num_heads),
            keys: of(heads.keys, num_kv_heads),
            values: of(heads.values, num_kv_heads),
        })
    }

    /// Rotates each head's halves against each other.
    pub(super) fn rotate(
        &self,
        x: &TenstorrentTensor,
        table: &RopeTable<TenstorrentTensor>,
    ) -> Result<TenstorrentTensor> {
        let (heads, tokens, head_dim) = x.heads("rope")?;
        table.cos.expect_shape("rope", "cos", &[tokens, head_dim])?;
        table.sin.expect_shape("rope", "sin", &[tokens, head_dim])?;
        let on_card = [1, heads, tokens, head_dim];
        let (cos, sin) = (&table.cos.tensor, &table.sin.tensor);
        let rotated = self
            .card
            .rotary_embedding(&self.reshaped(x, on_card)?, cos, sin)?;
        Ok(self.tensor(rotated, &x.shape, on_card))
    }

    /// `softmax(scale · q · kᵀ + mask) · v`, heads merged.
    pub(super) fn attend(
        &self,
        queries: &TenstorrentTensor,
        attended: &KeysValues<TenstorrentTensor>,
        sequences: usize,
        mask: Option<&TenstorrentTensor>,
        scale: f32,
    ) -> Result<TenstorrentTensor> {
        const OPERATION: &str = "attention";
        let (num_heads, query_count, head_dim) = queries.heads(OPERATION)?;
        let (num_kv_heads, keys, _) = attended.keys.heads(OPERATION)?;
        let kv_shape = [num_kv_heads, keys, head_dim];
        attended.keys.expect_shape(OPERATION, "keys", &kv_shape)?;
        attended.values.expect_shape(OPERATION, "values", &kv_shape)?;
        let divide = sequences > 0
            && num_kv_heads > 0
            && num_kv_heads.is_multiple_of(sequences)
            && num_heads.is_multiple_of(num_kv_heads);
        if !divide {
            return Err(DeviceError::shape(
                OPERATION,
                format!(
                    "queries {:?} with keys {kv_shape:?} in {sequences} sequences",
                    queries.shape
                ),
            ));
        }
        if let Some(mask) = mask {
            mask.expect_shape(OPERATION, "mask", &[query_count, keys])?;
        }
        let of = |x: &TenstorrentTensor| {
            let [heads, tokens, width] = x.shape[..] else {
                unreachable!("heads, which were checked");
            };
            self.reshaped(x, [sequences, heads / sequences, tokens, width])
        };
        let width = num_heads / sequences * head_dim;
        let merged = self.card.attention(&tt::Attention {
            queries: &of(queries)?,
            keys: &of(&attended.keys)?,
            values: &of(&attended.values)?,
            mask: mask.map(|mask| &mask.tensor),
            scale,
            blocks: attention_blocks(num_heads, query_count, keys, self.grid, self.tuning),
            compute: attention_compute(self.tuning),
            exponential: exponential(self.attention),
            memory: self.memory(sequences * query_count, width),
        })?;
        let on_card = [sequences, 1, query_count, width];
        let merged = self.tensor(merged, &[sequences * query_count, width], on_card);
        let rows = self.reshaped(&merged, [1, 1, sequences * query_count, width])?;
        Ok(self.matrix(rows, sequences * query_count, width))
    }

    /// Writes keys and values into a cache, from token `start` on.
    pub(super) fn fill_cache(
        &self,
        cache: &mut KeysValues<TenstorrentTensor>,
        start: usize,
        tokens: &KeysValues<TenstorrentTensor>,
    ) -> Result<()> {
        const OPERATION: &str = "write_tokens";
        for (cache, tokens) in [(&cache.keys, &tokens.keys), (&cache.values, &tokens.values)] {
            let (heads, capacity, head_dim) = cache.heads(OPERATION)?;
            let (_, count, _) = tokens.heads(OPERATION)?;
            tokens.expect_shape(OPERATION, "tokens", &[heads, count, head_dim])?;
            if start + count > capacity || !start.is_multiple_of(TILE) {
                return Err(DeviceError::shape(
                    OPERATION,
                    format!("{count} tokens from {start} on do not fit into {capacity} in tiles of {TILE}"),
                ));
            }
            let tokens = self.reshaped(tokens, [1, heads, count, head_dim])?;
            self.card.fill_cache(&cache.tensor, &tokens, start)?;
        }
        Ok(())
    }
}
