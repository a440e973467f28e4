//! The work of a recorded operation.

use super::{Attention, Movement, Product, Work};
use crate::device::{CardTuning, Operation, OperationInput, Tuning};

const TILE: f64 = 32.0;
/// Floating-point operations of the product of two tiles.
const TILE_PRODUCT: f64 = 2.0 * TILE * TILE * TILE;
/// Clocks of the tanh gelu of a tile: 38 operations of the vector unit on 32 vectors in f32, 22 to bfloat16 (`ckernel_sfpu_gelu.h`).
const GELU_CLOCKS: [f64; 2] = [38.0 * 32.0, 22.0 * 32.0];

/// The work of an operation. What TT-NN's record of the graph does not have, the division of `linear` along its depth, is that of
/// the tuning.
pub fn work_of(operation: &Operation, tuning: CardTuning) -> Work {
    let busy = operation.busy_cores.max(1.0);
    let tiles = operation.output_tiles as f64 / busy;
    match operation.name.as_str() {
        "MinimalMatmul" | "Matmul" => Work::Product(product(operation, tuning)),
        "SDPA" => Work::Attention(attention(operation)),
        "LayerNorm" => {
            let input = &operation.inputs[0];
            let tiles = input.tiles() as f64 / operation.cores.max(1) as f64;
            match input.is_sharded {
                // The cores of a row exchange sums, and each tile is brought once.
                true => moved(tiles),
                false => Work::Norm { tiles: tiles.ceil() },
            }
        }
        // The cache comes out whole; only the tokens are brought.
        "UpdateKVCache" => {
            let tokens = operation.inputs.get(1).map_or(0, OperationInput::tiles);
            moved((tokens as f64 / operation.cores.max(1) as f64).ceil())
        }
        // Four tiles are read for one that is written.
        "RotaryEmbeddingHf" => moved(2.0 * tiles),
        "BinaryNg" if operation.arguments.contains("GELU_TANH") => Work::Movement(Movement {
            tiles,
            function_clocks: tiles * gelu_clocks(tuning),
        }),
        _ => moved(tiles),
    }
}

fn moved(tiles: f64) -> Work {
    Work::Movement(Movement {
        tiles,
        function_clocks: 0.0,
    })
}

fn gelu_clocks(tuning: CardTuning) -> f64 {
    GELU_CLOCKS[usize::from(tuning.has(Tuning::ShortGelu))]
}

fn product(operation: &Operation, tuning: CardTuning) -> Product {
    let weight = &operation.inputs[1];
    let (inputs, outputs) = match weight.shape[..] {
        [.., inputs, outputs] => (inputs, outputs),
        _ => (0, 0),
    };
    let rows = operation.flops / (2.0 * inputs.max(1) as f64 * outputs.max(1) as f64);
    let depth_tiles = (inputs as f64 / TILE).ceil();
    let is_minimal = operation.name == "MinimalMatmul";
    // `minimal_matmul` has the longer side of the output among the columns of cores; the first core of each reads the weight, or of
    // each row where the rows of the output are more.
    let readers = match (is_minimal, rows > outputs as f64) {
        (true, false) => operation.grid.0,
        (true, true) => operation.grid.1,
        (false, _) => operation.cores as u32,
    };
    let depth_at_once = match is_minimal {
        true => minimal_depth(&operation.arguments).unwrap_or(8.0),
        // TT-NN's own choice is 2 tiles, that of the tuning up to 32.
        false if tuning.has(Tuning::ColumnProducts) => 16.0,
        false => 2.0,
    };
    let has_function = is_minimal && operation.arguments.contains("<BasicUnaryWithParam>");
    Product {
        tile_products: operation.flops / TILE_PRODUCT / operation.busy_cores.max(1.0),
        passes: f64::from(operation.passes),
        f32_sums: operation.f32_sums,
        weight_bytes: weight.dram_bytes as f64,
        readers: f64::from(readers),
        depth_blocks: (depth_tiles / depth_at_once).ceil(),
        function_clocks: match has_function {
            true => operation.output_tiles as f64 / operation.busy_cores.max(1.0) * gelu_clocks(tuning),
            false => 0.0,
        },
    }
}

/// Tiles of the common side at once, from `MinimalMatmulConfig(rows, depth, columns, …)`.
fn minimal_depth(arguments: &str) -> Option<f64> {
    let (_, config) = arguments.split_once("MinimalMatmulConfig(")?;
    config.split(", ").nth(1)?.parse().ok()
}

fn attention(operation: &Operation) -> Attention {
    let tiles_of = |shape: &[usize], dimension: usize| {
        shape
            .get(dimension)
            .map_or(0.0, |size| (*size as f64 / TILE).ceil())
    };
    let (queries, keys) = (&operation.inputs[0].shape, &operation.inputs[1].shape);
    let heads = (queries[0] * queries[1]) as f64;
    let scores = heads * tiles_of(queries, 2) * tiles_of(keys, 2);
    Attention {
        score_tiles: scores / operation.busy_cores.max(1.0),
        head_tiles: tiles_of(queries, 3),
        passes: f64::from(operation.passes),
        f32_sums: operation.f32_sums,
        is_exact: operation.f32_sums && !is_approximate(&operation.arguments),
    }
}

/// From `SDPAProgramConfig(<xy_pair>, std::nullopt, 64, 128, approximate, …)`.
fn is_approximate(arguments: &str) -> bool {
    let config = arguments.split_once("SDPAProgramConfig(");
    config.and_then(|(_, config)| config.split(", ").nth(4)) == Some("1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(shape: [usize; 4], dram_bytes: u64) -> OperationInput {
        OperationInput {
            shape: shape.into(),
            dram_bytes,
            is_sharded: false,
        }
    }

    fn operation(name: &str, inputs: Vec<OperationInput>, arguments: &str) -> Operation {
        Operation {
            name: name.to_owned(),
            bytes: 0,
            flops: 0.0,
            passes: 2,
            f32_sums: true,
            busy_cores: 16.0,
            cores: 64,
            grid: (8, 8),
            inputs,
            output_tiles: 64,
            arguments: arguments.to_owned(),
        }
    }

    #[test]
    fn a_minimal_product_s_weight_is_read_by_one_core_a_column() {
        let inputs = vec![input([1, 1, 64, 1024], 0), input([1, 1, 1024, 8192], 1 << 23)];
        let mut operation = operation(
            "MinimalMatmul",
            inputs,
            "MinimalMatmulConfig(1, 16, 32, 1, 4, <xy_pair>)",
        );
        operation.flops = 2.0 * 64.0 * 1024.0 * 8192.0;
        let Work::Product(product) = work_of(&operation, CardTuning::NONE) else {
            panic!("a product");
        };
        assert_eq!((product.readers, product.depth_blocks), (8.0, 2.0));
        assert_eq!(product.tile_products, 2.0 * 32.0 * 256.0 / 16.0);
        assert_eq!(product.function_clocks, 0.0);
        operation.name = "Matmul".to_owned();
        let Work::Product(product) = work_of(&operation, CardTuning::NONE) else {
            panic!("a product");
        };
        assert_eq!(
            (product.readers, product.depth_blocks),
            (64.0, 16.0),
            "along the outputs"
        );
    }

    #[test]
    fn attention_is_exact_only_with_sums_in_f32_and_where_it_was_asked_for() {
        let inputs = || vec![input([1, 8, 64, 256], 0), input([1, 1, 928, 256], 0)];
        let config =
            |approximate| format!("SDPAProgramConfig(<xy_pair>, std::nullopt, 32, 128, {approximate}, 16)");
        let attention = |f32_sums, approximate| {
            let mut operation = operation("SDPA", inputs(), &config(approximate));
            operation.f32_sums = f32_sums;
            match work_of(&operation, CardTuning::NONE) {
                Work::Attention(attention) => attention,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(attention(true, 0).score_tiles, 8.0 * 2.0 * 29.0 / 16.0);
        assert_eq!(attention(true, 0).head_tiles, 8.0);
        assert!(attention(true, 0).is_exact);
        assert!(!attention(true, 1).is_exact);
        assert!(!attention(false, 0).is_exact);
    }

    #[test]
    fn of_a_cache_only_the_tokens_are_brought() {
        let mut cache = operation(
            "UpdateKVCache",
            vec![input([1, 1, 928, 256], 0), input([1, 1, 64, 256], 0)],
            "",
        );
        cache.cores = 2;
        assert_eq!(work_of(&cache, CardTuning::NONE), moved(8.0));
    }

    #[test]
    fn a_norm_in_blocks_is_shared_by_its_cores_and_one_in_rows_is_not() {
        let mut norm = operation("LayerNorm", vec![input([1, 1, 64, 1024], 0)], "");
        norm.cores = 2;
        assert_eq!(work_of(&norm, CardTuning::ALL), Work::Norm { tiles: 32.0 });
        (norm.cores, norm.inputs[0].is_sharded) = (16, true);
        assert_eq!(work_of(&norm, CardTuning::ALL), moved(4.0));
    }
}
