//! The time of one operation, by what its busiest core does and what all of them read.

use super::Chip;

/// Seconds between the ends of the work of two operations of a trace in which nothing is computed: dispatch, and the start of the
/// kernels. Fitted to tt-metal's published times with two cameras.
const BETWEEN_OPERATIONS: f64 = 2.5e-6;
/// Clocks of the softmax for a tile of scores, the exponential function being the approximated one. Fitted to the same.
const SOFTMAX_CLOCKS: f64 = 600.0;
/// Clocks that the exact one takes more, for a tile of scores: tt-metal's π0.5 takes 1.3 ms more with it with two cameras and 2.1 ms
/// with three, for 3,400 and 4,800 tiles of scores on the busiest cores.
const EXACT_EXPONENTIAL_CLOCKS: f64 = 550.0;
/// Clocks in which a core multiplies two tiles in one pass, at best.
const PASS_CLOCKS: f64 = 16.0;
/// Part of that speed which large products reach: 80 to 87 % on a P150 with TT-NN's own blocks (tech_reports/GEMM_FLOPS).
const UTILISATION: f64 = 0.85;
/// Time of a product with accumulators in f32 as a multiple of that with bfloat16: 173.6 and 127.7 TFLOPS on a P100.
const F32_SUMS: f64 = 1.36;
/// Clocks between two blocks of a product's common side. Assumed.
const BLOCK_CLOCKS: f64 = 400.0;
/// Clocks in which a core brings a tile from one memory to another: `nlp_create_qkv_heads` of 80 tiles on each of two cores takes
/// 24.2 µs on a P150 (tt-metal's `ttnn_gemma.py`).
const TILE_CLOCKS: f64 = 408.0;
/// Clocks of a norm for each tile of a core that has whole rows: 108 µs for 90 tiles on one core
/// ([issue 7717 of tt-mlir](https://github.com/tenstorrent/tt-mlir/issues/7717)), at 1 GHz.
const NORM_TILE_CLOCKS: f64 = 1200.0;

/// What an operation does, as far as its time depends on it. Counts are those of the busiest core.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Work {
    /// A matrix product.
    Product(Product),
    /// Attention.
    Attention(Attention),
    /// A norm whose cores have whole rows.
    Norm {
        /// Tiles of the input.
        tiles: f64,
    },
    /// Anything that goes tile by tile.
    Movement(Movement),
}

/// A matrix product.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Product {
    /// Products of two tiles.
    pub tile_products: f64,
    /// Passes over the mantissas.
    pub passes: f64,
    /// Whether accumulators are f32.
    pub f32_sums: bool,
    /// Bytes of the weight in DRAM.
    pub weight_bytes: f64,
    /// Cores that read the weight; the others get it from them.
    pub readers: f64,
    /// Blocks of the common side.
    pub depth_blocks: f64,
    /// Clocks of a function that is applied to the result.
    pub function_clocks: f64,
}

/// Attention.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Attention {
    /// Tiles of scores.
    pub score_tiles: f64,
    /// Tiles of the width of a head.
    pub head_tiles: f64,
    /// Passes over the mantissas.
    pub passes: f64,
    /// Whether accumulators are f32.
    pub f32_sums: bool,
    /// Whether the exponential function is exact.
    pub is_exact: bool,
}

/// Tiles brought from one memory to another, with a function on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Movement {
    /// Tiles.
    pub tiles: f64,
    /// Clocks of the function.
    pub function_clocks: f64,
}

impl Work {
    /// Seconds of the operation, which moves so many bytes from and to DRAM, on a chip.
    pub fn seconds(&self, chip: &Chip, dram_bytes: f64) -> f64 {
        let work = match self {
            Self::Product(product) => product.seconds(chip),
            Self::Attention(attention) => chip.seconds(attention.clocks()),
            Self::Norm { tiles } => chip.seconds(tiles * NORM_TILE_CLOCKS),
            Self::Movement(Movement {
                tiles,
                function_clocks,
            }) => chip.seconds(function_clocks.max(tiles * TILE_CLOCKS)),
        };
        BETWEEN_OPERATIONS + work.max(chip.dram_seconds(dram_bytes))
    }
}

impl Product {
    fn seconds(&self, chip: &Chip) -> f64 {
        let products = product_clocks(self.tile_products, self.passes, self.f32_sums);
        let computed = chip.seconds(products + self.function_clocks);
        let read = chip.read_seconds(self.weight_bytes, self.readers);
        computed.max(read) + chip.seconds(self.depth_blocks * BLOCK_CLOCKS)
    }
}

impl Attention {
    fn clocks(&self) -> f64 {
        let products = product_clocks(2.0 * self.head_tiles, self.passes, self.f32_sums);
        let exponential = match self.is_exact {
            true => EXACT_EXPONENTIAL_CLOCKS,
            false => 0.0,
        };
        self.score_tiles * (products + SOFTMAX_CLOCKS + exponential)
    }
}

fn product_clocks(tile_products: f64, passes: f64, f32_sums: bool) -> f64 {
    let sums = if f32_sums { F32_SUMS } else { 1.0 };
    tile_products * PASS_CLOCKS * passes / UTILISATION * sums
}

#[cfg(test)]
mod tests {
    use super::*;

    const P150: Chip = Chip::blackhole("P150", 13, 10, 512.0);

    /// Kernel times that tt-metal's `build_matmul_pcfg` names for the expert's products of one row of tiles on a P150, without what
    /// is between two operations.
    #[test]
    fn products_of_few_rows_take_what_tracy_showed_within_15_percent() {
        for (inputs, outputs, cores, depth, measured_us) in [
            (32.0, 80.0_f64, 64.0, 8.0, 8.22),
            (32.0, 128.0, 64.0, 16.0, 12.50),
            (128.0, 32.0, 24.0, 32.0, 13.60),
        ] {
            let work = Work::Product(Product {
                tile_products: (outputs / cores).ceil() * inputs,
                passes: 1.0,
                weight_bytes: inputs * outputs * 1088.0,
                readers: cores,
                depth_blocks: inputs / depth,
                ..Product::default()
            });
            let us = 1e6 * (work.seconds(&P150, 0.0) - BETWEEN_OPERATIONS);
            let off = us / measured_us - 1.0;
            assert!(
                off.abs() < 0.15,
                "{inputs} to {outputs} tiles: {us:.1} µs, measured {measured_us}"
            );
        }
    }

    #[test]
    fn few_readers_of_a_weight_take_longer_than_many() {
        let seconds = |readers| P150.read_seconds(1e7, readers);
        assert!(seconds(8.0) > 1.8 * seconds(130.0));
        // 188 GB/s with 8 readers, as measured.
        assert!((1e7 / seconds(8.0) / 188e9 - 1.0).abs() < 0.01);
    }

    #[test]
    fn an_operation_takes_no_less_than_its_bytes_from_dram() {
        let nothing = Work::Movement(Movement::default());
        let moved = nothing.seconds(&P150, 344e6) - nothing.seconds(&P150, 0.0);
        assert!((moved - 1e-3).abs() < 1e-6, "{moved}");
    }
}
