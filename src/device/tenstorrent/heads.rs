//! Attention on the card: heads, their rotation, and their keys and values.

use tt_metal_sys as tt;
use tt_metal_sys::{AttentionBlocks, ComputeKernel, Fidelity, Sums};

use super::{TILE, TenstorrentDevice, TenstorrentTensor};
use crate::device::{DeviceError, HeadLayout, Heads, KeysValues, Result, RopeTable};

/// Sums in f32 were seen to come out differently from run to run on a Blackhole, with hundreds of keys; in bfloat16 they come
/// out the same (docs/tenstorrent-notes.md).
const ATTENTION_COMPUTE: ComputeKernel = ComputeKernel {
    fidelity: Fidelity::HiFi4,
    sums: Sums::Bf16,
};

/// Queries and keys that a core takes at once, at most as many as there are in whole tiles: sizes that
/// TT-NN's language models run with on cards. TT-NN gives every core as many of all heads' blocks of queries
/// as another, so the block is the one that leaves the busiest core least.
fn attention_blocks(heads: usize, queries: usize, keys: usize, grid: (u32, u32)) -> AttentionBlocks {
    const MOST_QUERIES: usize = 2 * TILE;
    let cores = (grid.0 * grid.1) as usize;
    let most_keys = if queries.max(keys) >= 512 { 128 } else { 64 };
    let of_the_busiest = |block: usize| (heads * queries.div_ceil(block)).div_ceil(cores) * block;
    let queries = queries.next_multiple_of(TILE);
    AttentionBlocks {
        queries: match of_the_busiest(TILE) < of_the_busiest(MOST_QUERIES) {
            true => TILE,
            false => queries.min(MOST_QUERIES),
        },
        keys: keys.next_multiple_of(TILE).min(most_keys),
        grid,
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
            blocks: attention_blocks(num_heads, query_count, keys, self.grid),
            compute: ATTENTION_COMPUTE,
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

#[cfg(test)]
mod tests {
    use super::*;

    const N150: (u32, u32) = (8, 8);
    const P150: (u32, u32) = (11, 10);

    #[test]
    fn attention_s_blocks_are_whole_tiles_and_no_longer_than_what_there_is() {
        for (queries, keys) in [(256, 256), (832, 832), (64, 928), (96, 928), (64, 160), (32, 32)] {
            for heads in [1, 8, 16, 48] {
                let blocks = attention_blocks(heads, queries, keys, N150);
                for (block, length) in [(blocks.queries, queries), (blocks.keys, keys)] {
                    assert!(block.is_multiple_of(TILE) && block <= length, "{blocks:?}");
                }
            }
        }
    }

    #[test]
    fn queries_are_cut_finer_only_where_that_leaves_the_busiest_core_less() {
        for grid in [N150, P150] {
            let suffix = attention_blocks(8, 64, 928, grid);
            assert_eq!((suffix.queries, suffix.keys), (32, 128), "8 heads for many cores");
            let prefix = attention_blocks(8, 832, 832, grid);
            assert_eq!((prefix.queries, prefix.keys), (64, 128), "13 blocks of 8 heads");
            let images = attention_blocks(48, 256, 256, grid);
            assert_eq!((images.queries, images.keys), (64, 64), "4 blocks of 48 heads");
        }
    }
}
