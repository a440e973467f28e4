//! Choice of the kernel for a level of instructions and a precision.

use super::kernel::Kernel;
use super::kernel_level::KernelLevel;
use super::precision::Precision;
use super::vectors;

impl KernelLevel {
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
    /// machine multiplies bf16. One vector kernel for all: heads are too narrow for matrix registers.
    pub(super) fn attention_kernel(self, precision: Precision) -> &'static Kernel {
        match (self, precision) {
            (Self::Avx512Bf16 | Self::Amx, Precision::Bf16 | Precision::Int8) => {
                Self::Avx512Bf16.kernel(Precision::Bf16)
            }
            _ => self.kernel(Precision::F32),
        }
    }
}
