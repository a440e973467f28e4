//! Number of cores that an operation keeps busy, by TT-NN 0.81.1's division of it.
//!
//! The operation's buffers name the cores that its program runs on; the division of its work among them is
//! that of TT-NN's sources (`minimal_matmul_program_descriptor.cpp`, `sdpa_program_factory.cpp`, and the
//! factories of the others).

use super::TILE;
use super::blocks::busiest_part;

/// Columns and rows of a rectangle of cores, and the number of cores of the set that it comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cores {
    pub count: usize,
    pub first: (u32, u32),
}

impl Cores {
    /// Reads `{[0-0 - 7-2], [0-3 - 1-3]}`: corners of rectangles, column and row each. `None` for any other
    /// text.
    pub fn read(set: &str) -> Option<Self> {
        let inner = set.strip_prefix('{')?.strip_suffix('}')?;
        let mut cores = Self::default();
        for rectangle in inner.split("], [") {
            let corners = rectangle.trim_matches(['[', ']']).split(" - ").map(|corner| {
                let (column, row) = corner.split_once('-')?;
                Some((column.parse::<u32>().ok()?, row.parse::<u32>().ok()?))
            });
            let [(left, top), (right, bottom)] = corners.collect::<Option<Vec<_>>>()?[..] else {
                return None;
            };
            let size = (right.checked_sub(left)? + 1, bottom.checked_sub(top)? + 1);
            if cores.count == 0 {
                cores.first = size;
            }
            cores.count += (size.0 * size.1) as usize;
        }
        Some(cores)
    }
}

/// Number of busy cores. For a product or attention, all work divided by that of the busiest core: with so
/// many cores that share evenly it would take as long. For another operation, the cores that have a part, at
/// most.
///
/// `inputs` are the shapes, `arguments` TT-NN's own, as text.
pub(super) fn busy_cores<'a>(
    name: &str,
    cores: Cores,
    inputs: &[Vec<usize>],
    output_tiles: usize,
    mut arguments: impl Iterator<Item = &'a str>,
) -> f64 {
    let share = |all: usize, busiest: usize| all as f64 / busiest.max(1) as f64;
    match (name, inputs) {
        // Rows of tiles among one side of the grid, columns among the other; each core computes whole tiles.
        ("MinimalMatmul", [x, weight, ..]) => {
            let (rows, columns) = product_tiles(x, weight);
            let (high, wide) = busiest_part(rows, columns, cores.first);
            share(rows * columns, high * wide)
        }
        // Columns of tiles among all cores of the program, or rows of tiles where there is one column.
        ("Matmul", [x, weight, ..]) if cores.count > 0 => {
            let (rows, columns) = product_tiles(x, weight);
            let tiles = rows * columns;
            share(tiles, tiles.div_ceil(cores.count))
        }
        // Blocks of queries of all heads, one after the other, in equal numbers to all cores.
        ("SDPA", [queries, ..]) if cores.count > 0 && queries.len() == 4 => {
            let block = arguments.find_map(query_block).unwrap_or(TILE);
            let (heads, rows) = (queries[0] * queries[1], queries[2]);
            let blocks = heads * rows.div_ceil(block);
            share(heads * rows, blocks.div_ceil(cores.count) * block)
        }
        _ => cores.count.min(output_tiles) as f64,
    }
}

/// Rows and columns of tiles of `x · weight`.
fn product_tiles(x: &[usize], weight: &[usize]) -> (usize, usize) {
    let [above @ .., height, _] = x else {
        return (0, 0);
    };
    let columns = weight.last().copied().unwrap_or_default().div_ceil(TILE);
    (above.iter().product::<usize>() * height.div_ceil(TILE), columns)
}

/// Queries of a block, from `SDPAProgramConfig(<xy_pair>, std::nullopt, 64, 128, …)`.
fn query_block(arguments: &str) -> Option<usize> {
    let (_, config) = arguments.split_once("SDPAProgramConfig(")?;
    config.split(", ").nth(2)?.parse().ok()
}

/// Number of tiles of 32 × 32 values.
pub(super) fn tiles(shape: &[usize]) -> usize {
    match shape {
        [above @ .., height, width] => {
            above.iter().product::<usize>() * height.div_ceil(TILE) * width.div_ceil(TILE)
        }
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const N150: &str = "{[0-0 - 7-7]}";
    const P150: &str = "{[0-0 - 10-9]}";

    fn of(name: &str, set: &str, inputs: &[&[usize]], arguments: &str) -> f64 {
        let inputs: Vec<Vec<usize>> = inputs.iter().map(|shape| shape.to_vec()).collect();
        busy_cores(
            name,
            Cores::read(set).unwrap(),
            &inputs,
            64,
            [arguments].into_iter(),
        )
    }

    #[test]
    fn cores_are_counted_in_all_rectangles() {
        let cores = Cores::read("{[0-0 - 7-2], [0-3 - 1-3]}").unwrap();
        assert_eq!((cores.count, cores.first), (26, (8, 3)));
        assert_eq!(Cores::read("{[2-1 - 2-1]}").unwrap().count, 1);
        for other in ["", "{}", "{[0-0]}", "{[3-0 - 1-0]}", "0-0 - 7-7"] {
            assert!(Cores::read(other).is_none(), "{other}");
        }
    }

    #[test]
    fn two_rows_of_tiles_keep_two_rows_of_the_grid_busy() {
        let gate_up: [&[usize]; 2] = [&[1, 1, 64, 1024], &[1, 1, 1024, 8192]];
        assert_eq!(of("MinimalMatmul", N150, &gate_up, ""), 16.0);
        // 256 columns of tiles among 11: the busiest have 24.
        assert_eq!(of("MinimalMatmul", P150, &gate_up, ""), 2.0 * 256.0 / 24.0);
    }

    #[test]
    fn rows_that_do_not_divide_keep_the_last_row_of_the_grid_waiting() {
        let prefix: [&[usize]; 2] = [&[1, 1, 832, 2048], &[1, 1, 2048, 32768]];
        // 26 rows of tiles among 8: the busiest have 4.
        assert_eq!(of("MinimalMatmul", N150, &prefix, ""), 8.0 * 26.0 / 4.0);
        let tall: [&[usize]; 2] = [&[1, 1, 832, 2048], &[1, 1, 2048, 64]];
        // More rows than columns: among the 11 columns of the grid.
        assert_eq!(of("MinimalMatmul", P150, &tall, ""), 26.0 * 2.0 / 3.0);
    }

    #[test]
    fn a_product_along_the_outputs_keeps_all_its_cores_busy_alike() {
        let qkv: [&[usize]; 2] = [&[1, 1, 64, 1024], &[1, 1, 1024, 2560]];
        assert_eq!(of("Matmul", "{[0-0 - 7-4]}", &qkv, ""), 40.0);
    }

    #[test]
    fn attention_keeps_a_core_busy_for_each_block_of_a_head_s_queries() {
        let config =
            |block| format!("SDPAParams(1, SDPAProgramConfig(<xy_pair>, std::nullopt, {block}, 128, 0, 16))");
        let suffix: [&[usize]; 2] = [&[1, 8, 64, 256], &[1, 1, 928, 256]];
        assert_eq!(of("SDPA", N150, &suffix, &config(64)), 8.0);
        assert_eq!(of("SDPA", N150, &suffix, &config(32)), 16.0);
        let prefix: [&[usize]; 2] = [&[1, 8, 832, 256], &[1, 1, 832, 256]];
        // 104 blocks for 64 cores: the busiest have 2.
        assert_eq!(of("SDPA", N150, &prefix, &config(64)), 52.0);
    }

    #[test]
    fn what_only_moves_keeps_no_more_cores_busy_than_its_output_has_tiles() {
        assert_eq!(of("BinaryNg", P150, &[], ""), 64.0);
        assert_eq!(of("LayerNorm", "{[0-0 - 1-0]}", &[], ""), 2.0);
    }
}
