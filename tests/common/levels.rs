//! What tests know of kernel levels.

use pi0_node::device::{KernelLevel, Precision};

/// Why a level is not run.
pub const LACKING: &str = "this machine lacks it";

/// The type in which a level multiplies activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activations {
    F32,
    Bf16,
    /// Integers, each block of a row in a step of its own.
    Quantised(Quantisation),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantisation {
    /// What the largest value of a block becomes.
    pub largest: i32,
    /// Values in a block.
    pub block: usize,
}

impl Activations {
    pub fn at(level: KernelLevel, precision: Precision) -> Self {
        use KernelLevel::*;
        let quantised = |largest, block| Self::Quantised(Quantisation { largest, block });
        match (level, precision) {
            (Scalar | Neon, _) | (_, Precision::F32) => Self::F32,
            (Avx2 | AvxVnni | Avx512 | Avx512Vnni, Precision::Bf16) => Self::F32,
            (Avx512Bf16 | Amx, Precision::Bf16) => Self::Bf16,
            (Avx2 | Avx512, Precision::Int8) => quantised(32767, 512),
            (AvxVnni | Avx512Vnni | Avx512Bf16, Precision::Int8) => quantised(127, 128),
            (Amx, Precision::Int8) => quantised(127, 256),
        }
    }
}
