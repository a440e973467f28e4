//! Choice of a level of instructions, and of its kernel for a precision.

use std::env::{self, VarError};
#[cfg(target_arch = "x86_64")]
use std::sync::OnceLock;

use super::kernel::Kernel;
use super::kernel_level::{KERNEL_VARIABLE, KernelLevel};
use super::precision::Precision;
#[cfg(target_arch = "x86_64")]
use super::threads::Threads;
use super::vectors;
use crate::device::Result;

impl KernelLevel {
    /// Fastest level that this machine has. Where it multiplies vectors of bf16 slower than those of f32, which is
    /// measured, the level with products of bf16 is not.
    pub fn fastest() -> Self {
        Self::fastest_of(Self::available(), bf16_vectors_are_fast)
    }

    fn fastest_of(levels: impl Iterator<Item = Self>, bf16_vectors_are_fast: impl Fn() -> bool) -> Self {
        levels
            .filter(|level| *level != Self::Avx512Bf16 || bf16_vectors_are_fast())
            .last()
            .unwrap_or(Self::Scalar)
    }

    /// Level that the environment chooses by [`KERNEL_VARIABLE`], or the fastest.
    ///
    /// # Errors
    /// When the variable names no level, or one that this machine lacks.
    pub fn from_environment() -> Result<Self> {
        let name = match env::var(KERNEL_VARIABLE) {
            Ok(name) => name,
            Err(VarError::NotPresent) => return Ok(Self::fastest()),
            Err(VarError::NotUnicode(name)) => name.to_string_lossy().into_owned(),
        };
        let level: Self = name.parse()?;
        level.check_available()?;
        Ok(level)
    }

    /// Kernel for weights of a precision.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn kernel(self, precision: Precision) -> &'static Kernel {
        use super::amx;
        use super::vectors::x86::*;
        match (self, precision) {
            (Self::Scalar | Self::Neon, _) => &vectors::SCALAR_F32,
            (Self::Avx2, Precision::F32 | Precision::Bf16) => &AVX2_F32,
            (Self::AvxVnni, Precision::F32 | Precision::Bf16) => &AVX2_F32,
            (Self::Avx2, Precision::Int8) => &AVX2_INT16,
            (Self::AvxVnni, Precision::Int8) => &AVX_VNNI_INT8,
            (Self::Avx512 | Self::Avx512Vnni, Precision::F32 | Precision::Bf16) => &AVX512_F32,
            (Self::Avx512Bf16 | Self::Amx, Precision::F32) => &AVX512_F32,
            (Self::Avx512Bf16, Precision::Bf16) => &AVX512_BF16,
            (Self::Amx, Precision::Bf16) => &amx::BF16,
            (Self::Avx512, Precision::Int8) => &AVX512_INT16,
            (Self::Avx512Vnni | Self::Avx512Bf16, Precision::Int8) => &AVX512_VNNI_INT8,
            (Self::Amx, Precision::Int8) => &amx::INT8,
        }
    }

    /// Kernel for weights of a precision.
    #[cfg(target_arch = "aarch64")]
    pub(super) fn kernel(self, _: Precision) -> &'static Kernel {
        match self {
            Self::Neon => &vectors::neon::NEON_F32,
            _ => &vectors::SCALAR_F32,
        }
    }

    /// Kernel for weights of a precision.
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    pub(super) fn kernel(self, _: Precision) -> &'static Kernel {
        &vectors::SCALAR_F32
    }

    /// Kernel of attention, whose both matrices are activations: in bf16 where weights are rounded and the
    /// machine multiplies bf16 fast. One vector kernel for all: heads are too narrow for matrix registers.
    pub(super) fn attention_kernel(self, precision: Precision) -> &'static Kernel {
        let is_rounded = precision != Precision::F32;
        match self {
            Self::Avx512Bf16 if is_rounded => Self::Avx512Bf16.kernel(Precision::Bf16),
            Self::Amx if is_rounded => Self::Amx.kernel(Precision::Bf16),
            _ => self.kernel(Precision::F32),
        }
    }
}

/// Whether this machine multiplies vectors of bf16 at least as fast as those of f32, measured on registers once
/// a process. AMD's processors do twice as many operations in bf16, Intel's with AVX-512 BF16 half as many.
///
/// Call it only where the machine has AVX-512 BF16.
#[cfg(target_arch = "x86_64")]
fn bf16_vectors_are_fast() -> bool {
    use super::vectors::x86::{AVX512_BF16, AVX512_F32};
    /// Enough beside other work: the two are far apart on every known processor.
    const RUNS: usize = 5;
    static ARE_FAST: OnceLock<bool> = OnceLock::new();
    *ARE_FAST.get_or_init(|| {
        let Ok(threads) = Threads::new(1) else {
            return true;
        };
        let speed = |kernel: &Kernel| kernel.peak_operations_per_second(&threads, RUNS);
        speed(&AVX512_BF16) >= speed(&AVX512_F32)
    })
}

/// No such machine has the instructions.
#[cfg(not(target_arch = "x86_64"))]
fn bf16_vectors_are_fast() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_level_is_one_that_the_machine_has() {
        assert!(KernelLevel::fastest().is_available() && KernelLevel::Scalar.is_available());
    }

    #[test]
    fn products_of_bf16_are_chosen_only_where_they_are_fast() {
        use KernelLevel::*;
        let without_amx = [Scalar, Avx2, AvxVnni, Avx512, Avx512Vnni, Avx512Bf16];
        let with_amx = without_amx.into_iter().chain([Amx]);
        let fastest = |fast| KernelLevel::fastest_of(without_amx.into_iter(), move || fast);
        assert_eq!([fastest(true), fastest(false)], [Avx512Bf16, Avx512Vnni]);
        assert_eq!(KernelLevel::fastest_of(with_amx, || false), Amx);
        assert_eq!(
            KernelLevel::fastest_of([Scalar, Avx2].into_iter(), || panic!()),
            Avx2
        );
    }
}
