//! tt-metal's π0.5 on a P150, as its sources describe it, and the times that it takes there.
//!
//! Sources: `models/experimental/pi0_5/p150` of tt-metal at 46d412c (README, `ttnn_gemma.py`, `ttnn_siglip.py`,
//! `pi05_production.env`). Activations stay in L1, weights are bfloat8_b, `MovementTiles` of interleaved tensors are spread over all
//! cores. `kv_sdpa` is its own operation: a core for each row of tiles of each head's queries, which reads all keys and values.

use super::{Attention, Chip, Movement, Product, Work};

const TILE_BYTES: f64 = 1088.0;
/// Clocks of the gelu by a table, for a tile: some ten operations of the vector unit on 32 vectors.
const TABLE_GELU_CLOCKS: f64 = 320.0;

/// Milliseconds of a chunk, by columns of cores, cameras and denoising steps.
const PUBLISHED: [(usize, usize, usize, f64); 8] = [
    (13, 2, 5, 35.36),
    (13, 2, 10, 50.42),
    (13, 3, 5, 39.43),
    (13, 3, 10, 55.69),
    (11, 2, 5, 36.87),
    (11, 2, 10, 51.83),
    (11, 3, 5, 42.21),
    (11, 3, 10, 58.40),
];

fn up(all: usize, parts: usize) -> usize {
    all.div_ceil(parts)
}

fn largest_divisor(of: usize, most: usize) -> usize {
    (1..=most).rev().find(|n| of.is_multiple_of(*n)).unwrap_or(1)
}

/// Adds up operations.
struct Sum {
    chip: Chip,
    seconds: f64,
    /// How often what is added runs.
    times: usize,
}

impl Sum {
    fn add(&mut self, work: Work) {
        self.seconds += self.times as f64 * work.seconds(&self.chip, 0.0);
    }

    fn moved(&mut self, tiles: usize) {
        self.add(Work::Movement(Movement {
            tiles: tiles as f64,
            function_clocks: 0.0,
        }));
    }

    /// Tiles spread over the cores that there are, or over fewer.
    fn spread(&mut self, tiles: usize, cores: usize) {
        self.moved(up(tiles, cores.min(self.chip.cores())));
    }

    /// A norm in blocks of rows and columns on so many cores.
    fn wide_norm(&mut self, tiles: usize, cores: usize) {
        self.moved(up(tiles, cores));
    }

    /// The same with the way to the blocks and back.
    fn wide_norm_of_interleaved(&mut self, tiles: usize, cores: usize) {
        for _ in 0..3 {
            self.moved(up(tiles, cores));
        }
    }

    /// A product of which every core of a grid has so many rows and columns of the output.
    fn product(
        &mut self,
        part: (usize, usize),
        weight: (usize, usize),
        readers: usize,
        depth: usize,
        form: Form,
    ) {
        let (inputs, outputs) = weight;
        let tiles = (part.0 * part.1) as f64;
        self.add(Work::Product(Product {
            tile_products: tiles * inputs as f64,
            passes: form.passes,
            f32_sums: form.f32_sums,
            weight_bytes: (inputs * outputs) as f64 * TILE_BYTES,
            readers: readers as f64,
            depth_blocks: up(inputs, depth) as f64,
            function_clocks: if form.gelu { tiles * TABLE_GELU_CLOCKS } else { 0.0 },
        }));
    }

    fn attention(&mut self, score_tiles: usize, head_tiles: usize) {
        self.add(Work::Attention(Attention {
            score_tiles: score_tiles as f64,
            head_tiles: head_tiles as f64,
            passes: 2.0,
            f32_sums: true,
            is_exact: false,
        }));
    }
}

/// How a product is computed.
#[derive(Clone, Copy)]
struct Form {
    passes: f64,
    f32_sums: bool,
    gelu: bool,
}

const ONE_PASS: Form = Form {
    passes: 1.0,
    f32_sums: false,
    gelu: false,
};
const TWO_PASSES: Form = Form {
    passes: 2.0,
    f32_sums: true,
    gelu: false,
};

/// SigLIP: block sharded on 12 × 8 cores where there are 12 columns, otherwise interleaved.
fn siglip(sum: &mut Sum, cameras: usize) {
    let (columns, rows) = (sum.chip.columns, sum.chip.rows);
    let height = 8 * cameras;
    let is_sharded = columns >= 12;
    let (wide, high) = if is_sharded { (12, 8) } else { (columns, rows) };
    let hidden = if is_sharded { 144 } else { 135 };
    let norm_cores = match is_sharded {
        true => 96,
        false => largest_divisor(36, columns.min(12)) * largest_divisor(height, 8),
    };
    let part = |outputs: usize| (up(height, high), up(outputs, wide));
    let gelu = Form {
        gelu: true,
        ..TWO_PASSES
    };
    sum.times = 27;
    let sums_cores = if is_sharded { 96 } else { sum.chip.cores() };
    for is_mlp in [false, true] {
        match is_sharded {
            true => sum.wide_norm(36 * height, norm_cores),
            false => sum.wide_norm_of_interleaved(36 * height, norm_cores),
        }
        if is_mlp {
            sum.product(part(hidden), (36, hidden), wide, 3, gelu);
            sum.product(
                part(36),
                (hidden, 36),
                wide,
                if is_sharded { 4 } else { 1 },
                TWO_PASSES,
            );
        } else {
            sum.product(part(144), (36, 144), wide, 3, TWO_PASSES);
            if is_sharded {
                sum.moved(up(height * 144, 96));
            }
            sum.spread(height * 144, height * 16);
            let blocks = up(16 * cameras * 4, sum.chip.cores());
            sum.attention(blocks * 2 * 8, 3);
            sum.spread(height * 48, height * 16);
            if is_sharded {
                sum.moved(up(height * 48, 96));
            }
            sum.product(part(36), (48, 36), wide, 4, TWO_PASSES);
        }
        sum.spread(height * 36, sums_cores);
    }
    // Patches, positions, last norm, projection.
    sum.times = 8;
    sum.spread(height * 36, sum.chip.cores());
}

/// The language model's 18 layers over cameras and 256 tokens; the last one as far as its keys and values.
fn prefill(sum: &mut Sum, cameras: usize) {
    let (columns, rows, cores) = (sum.chip.columns, sum.chip.rows, sum.chip.cores());
    let height = 8 * cameras + 8;
    let norm_cores = 8 * largest_divisor(height, 8);
    let mlp_columns = columns.min(12);
    sum.times = 18;
    sum.wide_norm_of_interleaved(64 * height, norm_cores);
    sum.product(
        (up(height, rows), up(80, columns)),
        (64, 80),
        columns,
        8,
        ONE_PASS,
    );
    sum.spread(height * 80, height * 10);
    // A rotation reads four tiles for one.
    sum.moved(2 * up(height * 64, cores));
    sum.moved(2 * up(height * 8, cores.min(height)));
    sum.attention(up(8 * height / 2, cores) * 2 * height, 8);
    sum.times = 17;
    sum.spread(height * 64, height * 8);
    sum.product(
        (up(height, rows), up(64, columns)),
        (64, 64),
        columns,
        8,
        ONE_PASS,
    );
    sum.spread(height * 64, cores);
    sum.wide_norm_of_interleaved(64 * height, norm_cores);
    sum.spread(height * 64, cores);
    // minimal_matmul computes whole blocks, here of 4 × 8 tiles.
    let part = (up(up(height, rows), 4) * 4, up(up(512, mlp_columns), 8) * 8);
    let gelu = Form {
        gelu: true,
        ..ONE_PASS
    };
    sum.product(part, (64, 512), mlp_columns, 8, gelu);
    sum.product(part, (64, 512), mlp_columns, 8, ONE_PASS);
    sum.spread(height * 512, cores);
    sum.product(
        (up(height, rows), up(64, mlp_columns)),
        (512, 64),
        mlp_columns,
        8,
        ONE_PASS,
    );
    sum.spread(height * 64, cores);
    sum.times = 8;
    sum.spread(height * 64, cores);
}

/// The action expert's 18 layers over 64 actions.
fn denoise(sum: &mut Sum, cameras: usize, steps: usize) {
    let (columns, cores) = (sum.chip.columns, sum.chip.cores());
    let keys = 8 * cameras + 8 + 2;
    let in_columns = |outputs: usize, cores: usize| (2, up(outputs, cores));
    sum.times = 18 * steps;
    sum.wide_norm_of_interleaved(64, 16);
    sum.product(in_columns(80, 80), (32, 80), 80, 8, ONE_PASS);
    // Heads and their rotation in one.
    sum.moved(3 * 8);
    sum.attention(keys, 8);
    let keys_and_values = 2.0 * keys as f64 * 8.0 * TILE_BYTES;
    let of_one = sum.chip.read_seconds(keys_and_values, 1.0);
    let reading = sum.chip.dram_seconds(16.0 * keys_and_values).max(of_one);
    sum.seconds += sum.times as f64 * reading;
    sum.moved(8);
    // In two dimensions where there are more than four times as many cores as columns of the output.
    match 32 >= cores / 4 {
        true => sum.product(in_columns(32, 32), (64, 32), 32, 8, ONE_PASS),
        false => sum.product(
            (1, up(32, columns)),
            (64, 32),
            up(32, up(32, columns)),
            8,
            ONE_PASS,
        ),
    }
    sum.moved(1);
    sum.wide_norm_of_interleaved(64, 16);
    let gelu = Form {
        gelu: true,
        ..ONE_PASS
    };
    sum.product(in_columns(128, 64), (32, 128), 64, 16, gelu);
    sum.product(in_columns(128, 64), (32, 128), 64, 16, ONE_PASS);
    sum.spread(256, cores);
    sum.product(in_columns(32, 32), (128, 32), 32, 16, ONE_PASS);
    sum.moved(1);
    sum.times = steps;
    sum.product(in_columns(32, 32), (1, 32), 32, 1, ONE_PASS);
    sum.add(Work::Norm { tiles: 32.0 });
    sum.product(in_columns(1, 1), (32, 1), 1, 8, ONE_PASS);
    sum.times = 3 * steps;
    sum.moved(1);
}

fn foretold_ms(columns: usize, cameras: usize, steps: usize) -> f64 {
    let mut sum = Sum {
        chip: Chip::blackhole("P150", columns, 10, 512.0),
        seconds: 0.0,
        times: 1,
    };
    siglip(&mut sum, cameras);
    prefill(&mut sum, cameras);
    denoise(&mut sum, cameras, steps);
    1e3 * sum.seconds
}

#[test]
fn published_times_of_tt_metal_s_pi05_are_foretold_within_15_percent() {
    let mut table = String::new();
    for (columns, cameras, steps, published) in PUBLISHED {
        let foretold = foretold_ms(columns, cameras, steps);
        let off = foretold / published - 1.0;
        let how = if columns == 13 && cameras == 2 {
            "fitted"
        } else {
            "foretold"
        };
        table += &format!(
            "| {columns} × 10 | {cameras} | {steps} | {published:.1} ms | {foretold:.1} ms | {:+.1} % | {how} |\n",
            1e2 * off
        );
        assert!(off.abs() < 0.15, "{table}");
    }
    let document = include_str!("../../../docs/tenstorrent-model.md");
    assert!(
        document.contains(&table),
        "docs/tenstorrent-model.md should have:\n{table}"
    );
}
