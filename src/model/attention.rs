//! Attention masks and positions, computed on the host once a prefix.

use std::ops::Range;

use crate::device::{Device, Result};

/// Added to the score of a pair that must not attend. The reference adds −2.4e38, which leaves the same zero
/// after the softmax wherever a row has anything to attend to.
const MASKED: f32 = f32::NEG_INFINITY;

/// Which queries (rows) may attend to which keys (columns).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttentionMask {
    allowed: Vec<bool>,
    queries: usize,
    keys: usize,
}

impl AttentionMask {
    fn from_fn(queries: usize, keys: usize, allowed: impl Fn(usize, usize) -> bool) -> Self {
        Self {
            allowed: (0..queries)
                .flat_map(|query| (0..keys).map(move |key| (query, key)))
                .map(|(query, key)| allowed(query, key))
                .collect(),
            queries,
            keys,
        }
    }

    /// Mask under which all of `queries` attend to the valid keys alone.
    pub fn padding(queries: usize, valid_keys: &[bool]) -> Self {
        Self::from_fn(queries, valid_keys.len(), |_, key| valid_keys[key])
    }

    /// Mask of block-wise prefix-LM attention (openpi's `make_attn_mask`, after big_vision): a token that
    /// starts a block is masked for all earlier ones; every token attends to its own block and to all blocks
    /// before it.
    pub fn prefix_lm(starts_block: &[bool]) -> Self {
        let block: Vec<usize> = starts_block
            .iter()
            .scan(0, |block, &starts| {
                *block += usize::from(starts);
                Some(*block)
            })
            .collect();
        Self::from_fn(block.len(), block.len(), |query, key| block[key] <= block[query])
    }

    /// Mask of the pairs that both masks allow.
    ///
    /// # Panics
    /// When the masks differ in shape.
    pub fn and(&self, other: &Self) -> Self {
        assert_eq!(
            (self.queries, self.keys),
            (other.queries, other.keys),
            "masks of one shape"
        );
        Self::from_fn(self.queries, self.keys, |query, key| {
            self.allows(query, key) && other.allows(query, key)
        })
    }

    /// Mask of a range of queries.
    pub fn rows(&self, rows: Range<usize>) -> Self {
        Self {
            allowed: self.allowed[rows.start * self.keys..rows.end * self.keys].to_vec(),
            queries: rows.len(),
            keys: self.keys,
        }
    }

    fn allows(&self, query: usize, key: usize) -> bool {
        self.allowed[query * self.keys + key]
    }

    /// Uploads the mask, `[queries, keys]`; `None` when it masks nothing and never will. Where memory is in
    /// tiles, tokens may become padding later.
    ///
    /// # Errors
    /// When the device fails.
    pub fn upload<D: Device>(&self, device: &D) -> Result<Option<D::Tensor>> {
        if device.tile_size() == 1 && self.allowed.iter().all(|&allowed| allowed) {
            return Ok(None);
        }
        let shape = [self.queries, self.keys];
        device.upload(&self.additive(), &shape).map(Some)
    }

    /// Summands of the attention scores, `[queries, keys]`: 0 where allowed, −∞ elsewhere.
    pub fn additive(&self) -> Vec<f32> {
        self.allowed
            .iter()
            .map(|&allowed| if allowed { 0.0 } else { MASKED })
            .collect()
    }
}

/// Computes the position of every token: the number of valid ones before it. A padded token repeats the
/// position of the last valid one before it (−1 before the first), as in the reference.
pub fn positions(valid: &[bool]) -> Vec<i64> {
    valid
        .iter()
        .scan(-1, |position, &valid| {
            *position += i64::from(valid);
            Some(*position)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(mask: &AttentionMask) -> Vec<String> {
        mask.allowed
            .chunks(mask.keys)
            .map(|row| {
                row.iter()
                    .map(|&allowed| if allowed { '1' } else { '0' })
                    .collect()
            })
            .collect()
    }

    /// A block a token is causal attention.
    fn causal(tokens: usize) -> AttentionMask {
        AttentionMask::prefix_lm(&vec![true; tokens])
    }

    #[test]
    fn a_block_a_token_hides_the_future() {
        assert_eq!(rows(&causal(3)), ["100", "110", "111"]);
    }

    #[test]
    fn prefix_lm_shows_whole_blocks_and_all_before() {
        let mask = AttentionMask::prefix_lm(&[false, false, true, true, false]);
        assert_eq!(rows(&mask), ["11000", "11000", "11100", "11111", "11111"]);
    }

    #[test]
    fn padding_is_hidden_from_every_query() {
        assert_eq!(
            rows(&AttentionMask::padding(2, &[true, false, true])),
            ["101", "101"]
        );
    }

    #[test]
    fn combined_masks_allow_what_both_allow() {
        let mask = causal(2).and(&AttentionMask::padding(2, &[false, true]));
        assert_eq!(rows(&mask), ["00", "01"]);
        assert_eq!(
            mask.additive(),
            [f32::NEG_INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY, 0.0]
        );
    }

    #[test]
    fn rows_of_a_mask_are_those_queries() {
        assert_eq!(rows(&causal(3).rows(1..3)), ["110", "111"]);
    }

    #[test]
    fn positions_count_valid_tokens_only() {
        assert_eq!(positions(&[false, true, true, false, true]), [-1, 0, 1, 1, 2]);
    }
}
