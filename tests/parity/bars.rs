//! How close is close enough.

use pi0_node::device::Precision;
use pi0_node::model::Pi0Config;

use crate::common::levels::Activations;
use crate::measure::Setting;

/// What a comparison must reach.
#[derive(Clone, Copy, Debug)]
pub struct Bar {
    pub least_correlation: f64,
    pub largest_error: f64,
}

/// Which network is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    Small,
    /// 3.3 billion parameters.
    Published,
}

impl Size {
    pub fn of(config: &Pi0Config) -> Self {
        match config.vlm.width < Pi0Config::pi0().vlm.width {
            true => Self::Small,
            false => Self::Published,
        }
    }
}

/// A module's least correlations with weights in bf16 and in int8, each by the type of activations.
struct Row {
    module: &'static str,
    bf16_with_f32: f64,
    bf16_with_bf16: f64,
    /// Or with f32, which makes no difference.
    int8_with_16_bits: f64,
    int8_with_8_bits: f64,
}

const fn row(
    module: &'static str,
    [bf16_with_f32, bf16_with_bf16, int8_with_16_bits, int8_with_8_bits]: [f64; 4],
) -> Row {
    Row {
        module,
        bf16_with_f32,
        bf16_with_bf16,
        int8_with_16_bits,
        int8_with_8_bits,
    }
}

/// What rounding costs. Every bar is at least twice as far from 1 as the worst that was measured, so that a machine that
/// sums in another order passes, and an error of the same size as the rounding does not. A single denoising step of a small
/// network with random weights is little but noise where activations have 8 bits; what counts is the whole policy, whose
/// errors of many steps even out, and more so in a network of many layers.
const ROUNDED: [Row; 7] = [
    row("siglip", [0.999_97, 0.999_95, 0.999_5, 0.999]),
    row("gemma", [0.999_98, 0.999_95, 0.999_7, 0.999_4]),
    row("paligemma", [0.999_8, 0.999_7, 0.997, 0.992]),
    row("prefix", [0.999_97, 0.999_93, 0.999_4, 0.998_5]),
    row("suffix", [0.999_99, 0.999_98, 0.999_8, 0.999_7]),
    row("denoise", [0.999_6, 0.999_2, 0.993, 0.979]),
    row("pi0", [0.999_85, 0.999_7, 0.997, 0.994]),
];
/// The whole policy of the published size, whose weights are exact in bf16.
const PUBLISHED: Row = row("pi0", [0.999_99, 0.999_9, 0.995, 0.995]);

/// What the project asks for in f32; what no weight takes part in has to reach it in every precision.
const EXACT_WEIGHTS: Bar = Bar {
    least_correlation: 0.999_99,
    largest_error: 1e-4,
};

pub fn bar(module: &str, setting: Setting, size: Size) -> Bar {
    let row = match (module, size) {
        // Masks and positions are equal, not close.
        ("attention", _) => {
            return Bar {
                largest_error: 0.0,
                ..EXACT_WEIGHTS
            };
        }
        ("pi0" | "pi0, in tiles", Size::Published) => Some(&PUBLISHED),
        ("pi0, in tiles", Size::Small) => ROUNDED.iter().find(|row| row.module == "pi0"),
        _ => ROUNDED.iter().find(|row| row.module == module),
    };
    let (Some(row), Precision::Bf16 | Precision::Int8) = (row, setting.precision) else {
        return EXACT_WEIGHTS;
    };
    let least_correlation = match (
        setting.precision,
        Activations::at(setting.level, setting.precision),
    ) {
        (Precision::F32, _) => EXACT_WEIGHTS.least_correlation,
        (Precision::Bf16, Activations::Bf16) => row.bf16_with_bf16,
        (Precision::Bf16, _) => row.bf16_with_f32,
        (Precision::Int8, Activations::Quantised(quantisation)) if quantisation.largest == 127 => {
            row.int8_with_8_bits
        }
        (Precision::Int8, _) => row.int8_with_16_bits,
    };
    Bar {
        least_correlation,
        largest_error: f64::INFINITY,
    }
}
