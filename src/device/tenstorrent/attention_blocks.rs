//! Division of attention into blocks for the cores.
//!
//! TT-NN counts the blocks of queries of all heads one after the other and gives every core as many as another
//! (`sdpa_program_factory.cpp`). Cores that share a head form a chain: the first reads keys and values from DRAM, and each
//! passes them on to the next. It writes them to the address at which its own buffer is, of two slots. So
//! a core that did an odd number of blocks of keys more than its neighbour before they share a head writes into the wrong slot,
//! and the result is wrong and another one every time
//! ([issue 52284](https://github.com/tenstorrent/tt-metal/issues/52284), still so in 0.81.1).

use tt_metal_sys::AttentionBlocks;

use super::TILE;
use crate::device::{CardTuning, Tuning};

/// Queries and keys that a core takes at once, at most as many as there are in whole tiles: sizes that
/// TT-NN's language models run with on cards. The block of queries is the one that leaves the busiest core least, the block of
/// keys the longest for which no core writes into a neighbour's wrong slot.
pub(super) fn attention_blocks(
    heads: usize,
    queries: usize,
    keys: usize,
    grid: (u32, u32),
    tuning: CardTuning,
) -> AttentionBlocks {
    const MOST_QUERIES: usize = 2 * TILE;
    let cores = (grid.0 * grid.1) as usize;
    let of_the_busiest = |block: usize| (heads * queries.div_ceil(block)).div_ceil(cores) * block;
    let query_block = match of_the_busiest(TILE) < of_the_busiest(MOST_QUERIES) {
        true => TILE,
        false => queries.next_multiple_of(TILE).min(MOST_QUERIES),
    };
    let longest = match (tuning.has(Tuning::LongKeyBlocks), queries.max(keys) >= 512) {
        (true, _) => 256,
        (false, true) => 128,
        (false, false) => 64,
    };
    let keys = keys.next_multiple_of(TILE);
    let candidates = [longest, 128, 64, TILE]
        .into_iter()
        .filter(|block| *block <= longest);
    let key_block = candidates
        .map(|block| block.min(keys))
        .find(|block| chains_are_aligned(heads, queries.div_ceil(query_block), keys.div_ceil(*block), cores));
    AttentionBlocks {
        queries: query_block,
        // With one tile at once and an odd number of them, no division of these queries would be right.
        keys: key_block.unwrap_or(TILE),
        grid,
    }
}

/// A core's blocks of one head's queries.
struct Part {
    core: usize,
    /// Blocks that the core does before those of this head.
    before: usize,
}

/// Whether the cores of every chain write to the same slot at the same time.
fn chains_are_aligned(heads: usize, query_blocks: usize, key_blocks: usize, cores: usize) -> bool {
    let slot = |part: &Part| part.before * key_blocks % 2;
    let chains = chains(heads, query_blocks, cores);
    chains
        .iter()
        .all(|chain| chain.iter().all(|part| slot(part) == slot(&chain[0])))
}

/// The chains that TT-NN makes: of every head that several cores share, beginning with the first core that is in no chain, if
/// possible one that has no other head, round through those behind and before it, up to one that is in a chain already.
fn chains(heads: usize, query_blocks: usize, cores: usize) -> Vec<Vec<Part>> {
    let blocks = heads * query_blocks;
    let mut parts: Vec<Vec<Part>> = (0..heads).map(|_| Vec::new()).collect();
    let mut heads_of_core = vec![0; cores];
    let mut start = 0;
    for (core, heads_of_core) in heads_of_core.iter_mut().enumerate() {
        let end = start + blocks / cores + usize::from(core < blocks % cores);
        let first = start / query_blocks;
        let parts = &mut parts[first..end.div_ceil(query_blocks)];
        *heads_of_core = parts.len();
        for (index, parts) in parts.iter_mut().enumerate() {
            let before = ((first + index) * query_blocks).saturating_sub(start);
            parts.push(Part { core, before });
        }
        start = end;
    }
    let mut is_in_chain = vec![false; cores];
    let mut chains = Vec::new();
    for parts in parts {
        let starts = || {
            parts[..parts.len().saturating_sub(1)]
                .iter()
                .map(|part| part.core)
        };
        let first = starts()
            .position(|core| !is_in_chain[core] && heads_of_core[core] == 1)
            .or_else(|| starts().position(|core| !is_in_chain[core]));
        let Some(first) = first else { continue };
        let mut before = parts;
        let from_first = before.split_off(first);
        let round = from_first.into_iter().chain(before);
        let chain: Vec<Part> = round.take_while(|part| !is_in_chain[part.core]).collect();
        if chain.len() > 1 {
            chain.iter().for_each(|part| is_in_chain[part.core] = true);
            chains.push(chain);
        }
    }
    chains
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRIDS: [(u32, u32); 5] = [(8, 7), (8, 8), (11, 10), (12, 10), (13, 10)];
    const TUNINGS: [CardTuning; 2] = [CardTuning::NONE, CardTuning::ALL];

    /// Heads, queries and keys of every attention of π0 and π0.5: of one to three images, of the prefix with prompts of up to 224
    /// tokens, of the suffix with and without the state.
    fn each(check: impl Fn(usize, usize, usize)) {
        for cameras in 1..=3 {
            check(16 * cameras, 256, 256);
            for prompt in (32..=224).step_by(TILE) {
                let prefix = 256 * cameras + prompt;
                check(8, prefix, prefix);
                for queries in [64, 96] {
                    check(8, queries, prefix + queries);
                }
            }
        }
    }

    #[test]
    fn attention_s_blocks_are_whole_tiles_and_no_longer_than_what_there_is() {
        for (queries, keys) in [(256, 256), (832, 832), (64, 928), (96, 928), (64, 160), (32, 32)] {
            for heads in [1, 8, 16, 48] {
                for tuning in TUNINGS {
                    let blocks = attention_blocks(heads, queries, keys, (8, 8), tuning);
                    for (block, length) in [(blocks.queries, queries), (blocks.keys, keys)] {
                        assert!(block.is_multiple_of(TILE) && block <= length, "{blocks:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn queries_are_cut_finer_only_where_that_leaves_the_busiest_core_less() {
        for grid in GRIDS {
            let suffix = attention_blocks(8, 64, 928, grid, CardTuning::NONE);
            assert_eq!((suffix.queries, suffix.keys), (32, 128), "8 heads for many cores");
            let prefix = attention_blocks(8, 832, 832, grid, CardTuning::NONE);
            assert_eq!((prefix.queries, prefix.keys), (64, 128), "13 blocks of 8 heads");
        }
        // 192 blocks of 64 queries: on 64 cores 3 each, on 130 cores 2, but 3 of 32.
        for (grid, queries) in [((8, 8), 64), ((13, 10), 32)] {
            let images = attention_blocks(48, 256, 256, grid, CardTuning::NONE);
            assert_eq!(
                (images.queries, images.keys),
                (queries, 64),
                "48 heads on {grid:?}"
            );
        }
    }

    #[test]
    fn no_core_writes_keys_into_the_wrong_slot_of_its_neighbour_in_any_attention_of_pi0() {
        for grid in GRIDS {
            for tuning in TUNINGS {
                each(|heads, queries, keys| {
                    let blocks = attention_blocks(heads, queries, keys, grid, tuning);
                    let aligned = chains_are_aligned(
                        heads,
                        queries.div_ceil(blocks.queries),
                        keys.div_ceil(blocks.keys),
                        (grid.0 * grid.1) as usize,
                    );
                    assert!(
                        aligned,
                        "{heads} heads, {queries} queries, {keys} keys: {blocks:?}"
                    );
                });
            }
        }
    }

    /// The shape with which the defect was found: 8 sequences of 12 heads and 197 tokens on an N150, with TT-NN's own blocks of 32
    /// queries and 32 keys.
    #[test]
    fn the_shape_that_came_out_wrong_on_a_card_has_a_chain_that_is_not_aligned() {
        assert!(!chains_are_aligned(8 * 12, 7, 7, 64));
        assert!(
            chains_are_aligned(8 * 12, 7, 4, 64),
            "with an even number of blocks of keys"
        );
    }

    #[test]
    fn a_chain_ends_at_a_core_that_is_in_one_already() {
        // 3 heads of 4 blocks on 5 cores: 3, 3, 2, 2, 2 blocks.
        let cores = |chain: &Vec<Part>| {
            chain
                .iter()
                .map(|part| (part.core, part.before))
                .collect::<Vec<_>>()
        };
        let chains: Vec<_> = chains(3, 4, 5).iter().map(cores).collect();
        assert_eq!(chains, [vec![(0, 0), (1, 0)], vec![(3, 0), (4, 0)]]);
    }
}
