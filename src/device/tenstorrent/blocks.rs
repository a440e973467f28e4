//! Tiling of a product into blocks for the cores.
//!
//! Rows of tiles are divided among one side of the grid of cores, columns of the output among the other. A
//! core takes its part in blocks, and computes every block whole: what a block has beyond the part is
//! computed for nothing. TT-NN's own choice, 8 tiles in each direction, would compute 8 rows of tiles for the
//! 2 of a suffix.

use tt_metal_sys::{ColumnBlocks, Dtype, MatmulBlocks};

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

/// Chooses the blocks of `x · weight`, `[rows, inputs]` and `[inputs, outputs]`, of few rows: columns of tiles of the output
/// among all cores, each of which reads the weight of its own. As many cores as divide the columns, if that is more than half
/// of those that could have one; and as much of the inputs at once as keeps a core's weight within 32 tiles (tt-metal's π0.5,
/// `build_matmul_pcfg`).
pub(super) fn column_blocks(
    rows: usize,
    inputs: usize,
    outputs: usize,
    weight: Dtype,
    grid: (u32, u32),
) -> ColumnBlocks {
    const MOST_WEIGHT_TILES: usize = 32;
    let [rows, depth, columns] = [rows, inputs, outputs].map(|size| size.div_ceil(TILE));
    let most = columns.min((grid.0 * grid.1) as usize).max(1);
    let dividing = (most / 2 + 1..=most)
        .rev()
        .find(|cores| columns.is_multiple_of(*cores));
    let columns_of_core = columns.div_ceil(dividing.unwrap_or(most));
    let cores = columns.div_ceil(columns_of_core) as u32;
    let fits = |block: &usize| {
        depth.is_multiple_of(*block)
            && block * columns_of_core <= MOST_WEIGHT_TILES
            && bytes(rows, *block, columns_of_core, weight) <= MOST_BYTES
    };
    let depth_at_once = (1..=depth.min(MOST_WEIGHT_TILES)).rev().find(fits);
    ColumnBlocks {
        rows,
        columns: columns_of_core,
        depth: depth_at_once.unwrap_or(1),
        sums: whole_column_sums(rows, columns_of_core),
        grid: (grid.0.min(cores), cores.div_ceil(grid.0)),
    }
}

/// Rows and columns of tiles that divide a core's part and are accumulated at once: more than one row only with all columns, as
/// TT-NN demands.
fn whole_column_sums(rows: usize, columns: usize) -> (usize, usize) {
    let divisor = |of: usize, most: usize| (1..=most).rev().find(|size| of.is_multiple_of(*size));
    let wide = divisor(columns, MOST_SUMS).unwrap_or(1);
    match wide == columns {
        true => (divisor(rows, MOST_SUMS / wide).unwrap_or(1), wide),
        false => (1, wide),
    }
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
    const P150: (u32, u32) = (13, 10);
    const GRIDS: [(u32, u32); 5] = [(8, 7), N150, (11, 10), (12, 10), P150];
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
                        for grid in GRIDS {
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

    #[test]
    fn few_rows_are_cut_into_columns_that_keep_what_tt_nn_asks_for() {
        let (few_rows, layers) = (PRODUCTS[2].0, PRODUCTS[2].1);
        for &rows in few_rows {
            for &(inputs, outputs) in layers {
                for weight in [Dtype::Bf16, Dtype::Bf8] {
                    for grid in GRIDS {
                        let blocks = column_blocks(rows, inputs, outputs, weight, grid);
                        let (high, wide) = blocks.sums;
                        assert_eq!(blocks.rows, rows / TILE);
                        assert!((inputs / TILE).is_multiple_of(blocks.depth), "{blocks:?}");
                        assert!(
                            high * wide <= MOST_SUMS && (high == 1 || wide == blocks.columns),
                            "{blocks:?}"
                        );
                        assert!(blocks.columns.is_multiple_of(wide) && blocks.rows.is_multiple_of(high));
                        let cores = (outputs / TILE).div_ceil(blocks.columns);
                        assert!(cores <= (blocks.grid.0 * blocks.grid.1) as usize, "{blocks:?}");
                        assert!(blocks.grid.0 <= grid.0 && blocks.grid.1 <= grid.1, "{blocks:?}");
                        let bytes = bytes(blocks.rows, blocks.depth, blocks.columns, weight);
                        assert!(bytes <= MOST_BYTES, "{blocks:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_core_that_can_have_a_column_of_few_rows_has_as_many_as_another() {
        let gate = column_blocks(64, 1024, 4096, Dtype::Bf8, P150);
        assert_eq!(
            (gate.columns, gate.depth, gate.sums, gate.grid),
            (1, 32, (2, 1), (13, 10))
        );
        let gate = column_blocks(64, 1024, 4096, Dtype::Bf8, N150);
        assert_eq!(
            (gate.columns, gate.depth, gate.sums, gate.grid),
            (2, 16, (2, 2), (8, 8))
        );
        let qkv = column_blocks(96, 1024, 2560, Dtype::Bf8, N150);
        assert_eq!(
            (qkv.columns, qkv.depth, qkv.sums, qkv.grid),
            (2, 16, (1, 2), (8, 5))
        );
    }
}
