//! Tiling of a product into blocks for the cores.
//!
//! Rows of tiles are divided among one side of the grid of cores, columns of the output among the other. A
//! core takes its part in blocks, and computes every block whole: what a block has beyond the part is
//! computed for nothing. TT-NN's own choice, 8 tiles in each direction, would compute 8 rows of tiles for the
//! 2 of a suffix.

use tt_metal_sys::{Dtype, MatmulBlocks};

use super::TILE;

/// Bytes of a core's L1 for a product's blocks, at most. The smallest card has 1.39 MB, and residual and bias
/// take some.
const MOST_BYTES: usize = 1_000_000;
/// Tiles that a core accumulates at once in f32.
const MOST_SUMS: usize = 4;
const MOST_ROWS: usize = 8;
const MOST_COLUMNS: usize = 16;
const MOST_DEPTH: usize = 16;

/// Chooses the blocks of `x · weight`, `[rows, inputs]` and `[inputs, outputs]`, on a grid of columns and
/// rows of cores: least computed for nothing, then least reading of the weight, then most tiles accumulated
/// at once, then fewest blocks.
pub(super) fn blocks(
    rows: usize,
    inputs: usize,
    outputs: usize,
    weight: Dtype,
    grid: (u32, u32),
) -> MatmulBlocks {
    let [rows, depth, columns] = [rows, inputs, outputs].map(|size| size.div_ceil(TILE));
    let (rows, columns) = busiest_part(rows, columns, grid);
    let mut best = None;
    for block_rows in 1..=rows.clamp(1, MOST_ROWS) {
        for block_columns in 1..=columns.clamp(1, MOST_COLUMNS) {
            for block_depth in 1..=depth.clamp(1, MOST_DEPTH) {
                if bytes(block_rows, block_depth, block_columns, weight) > MOST_BYTES {
                    continue;
                }
                let sums = sums(block_rows, block_columns);
                let times_read = rows.div_ceil(block_rows);
                let count = times_read * columns.div_ceil(block_columns) * depth.div_ceil(block_depth);
                let computed = count * block_rows * block_columns * block_depth;
                let cost = (computed, times_read, MOST_SUMS - sums.0 * sums.1, count);
                if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                    let blocks = MatmulBlocks {
                        rows: block_rows,
                        depth: block_depth,
                        columns: block_columns,
                        sums,
                        grid,
                    };
                    best = Some((cost, blocks));
                }
            }
        }
    }
    let (_, blocks) = best.expect("a block of one tile, which fits");
    blocks
}

/// Rows and columns of tiles of the core that gets most of a product: TT-NN divides the longer side of the
/// output among the grid's columns.
pub(super) fn busiest_part(rows: usize, columns: usize, grid: (u32, u32)) -> (usize, usize) {
    let (wide, high) = (grid.0.max(1) as usize, grid.1.max(1) as usize);
    match rows > columns {
        true => (rows.div_ceil(wide), columns.div_ceil(high)),
        false => (rows.div_ceil(high), columns.div_ceil(wide)),
    }
}

/// Rows and columns of tiles that divide a block and are accumulated at once.
fn sums(rows: usize, columns: usize) -> (usize, usize) {
    let sizes = (1..=MOST_SUMS).flat_map(|high| (1..=MOST_SUMS / high).map(move |wide| (high, wide)));
    sizes
        .filter(|(high, wide)| rows.is_multiple_of(*high) && columns.is_multiple_of(*wide))
        .max_by_key(|(high, wide)| high * wide)
        .unwrap_or((1, 1))
}

/// Inputs and outputs of a block, each twice, to be moved while the other is computed with; and the sums.
fn bytes(rows: usize, depth: usize, columns: usize, weight: Dtype) -> usize {
    const BF16: usize = TILE * TILE * 2;
    let weight = match weight {
        Dtype::Bf8 => BF16 / 2 + TILE * TILE / 16,
        _ => BF16,
    };
    2 * (rows * depth * BF16 + depth * columns * weight + rows * columns * BF16) + rows * columns * 2 * BF16
}

#[cfg(test)]
mod tests {
    use super::*;

    const N150: (u32, u32) = (8, 8);
    const P150: (u32, u32) = (11, 10);
    /// Numbers of rows, and the inputs and outputs of each product that has them.
    type Products = (&'static [usize], &'static [(usize, usize)]);
    /// π0's: of the images, of the prefix, of the suffix with and without the state.
    const PRODUCTS: [Products; 3] = [
        (
            &[256, 512, 768],
            &[
                (588, 1152),
                (1152, 4608),
                (1536, 1152),
                (1152, 4304),
                (4304, 1152),
                (1152, 2048),
            ],
        ),
        (
            &[304, 560, 816],
            &[(2048, 2560), (2048, 2048), (2048, 32768), (16384, 2048)],
        ),
        (
            &[64, 96],
            &[
                (32, 1024),
                (1024, 1024),
                (1024, 2560),
                (2048, 1024),
                (1024, 8192),
                (4096, 1024),
                (1024, 32),
            ],
        ),
    ];

    fn each(check: impl Fn(usize, usize, usize, Dtype, (u32, u32), MatmulBlocks)) {
        for (all_rows, layers) in PRODUCTS {
            for &rows in all_rows {
                for &(inputs, outputs) in layers {
                    for weight in [Dtype::Bf16, Dtype::Bf8] {
                        for grid in [N150, P150] {
                            let blocks = blocks(rows, inputs, outputs, weight, grid);
                            check(rows, inputs, outputs, weight, grid, blocks);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn blocks_keep_what_tt_nn_asks_for() {
        each(|_, _, _, weight, grid, blocks| {
            let (high, wide) = blocks.sums;
            assert!(high * wide <= MOST_SUMS, "{blocks:?}");
            assert!(
                blocks.rows.is_multiple_of(high) && blocks.columns.is_multiple_of(wide),
                "{blocks:?}"
            );
            assert!(
                bytes(blocks.rows, blocks.depth, blocks.columns, weight) <= MOST_BYTES,
                "{blocks:?}"
            );
            assert_eq!(blocks.grid, grid);
        });
    }

    #[test]
    fn nothing_beyond_a_core_s_part_is_computed_in_any_product_of_pi0() {
        each(|rows, inputs, outputs, _, (wide, high), blocks| {
            let [rows, depth, columns] = [rows, inputs, outputs].map(|size| size.div_ceil(TILE));
            let (among_rows, among_columns) = if rows > columns {
                (wide, high)
            } else {
                (high, wide)
            };
            let part = [
                rows.div_ceil(among_rows as usize),
                depth,
                columns.div_ceil(among_columns as usize),
            ];
            for (part, block) in part.into_iter().zip([blocks.rows, blocks.depth, blocks.columns]) {
                assert!(part.is_multiple_of(block), "{part} tiles in {blocks:?}");
            }
            assert_eq!(blocks.rows, part[0], "the weight is read once");
        });
    }

    #[test]
    fn a_suffix_is_cut_into_single_rows_of_tiles_and_wide_blocks() {
        let blocks = blocks(64, 1024, 8192, Dtype::Bf8, N150);
        assert_eq!((blocks.rows, blocks.columns, blocks.sums), (1, 16, (1, 4)));
    }
}
