//! Kernels of x86-64.

use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::transmute;

use super::super::kernel::{Kernel, Operands, PANEL};
use super::super::kernel_level::KernelLevel;
use super::super::part::Part;
use super::super::row_order::RowOrder;
use super::{Arithmetic, RUN, in_tiles, registers, vector_kernel};

vector_kernel!(
    AVX2_F32 = Avx2, Avx2F32, features "avx2,fma", rows [2, 4, 6], panels 1, block 256, inner 256, row_block 144
);
vector_kernel!(
    AVX2_INT16 = Avx2, Avx2Int16, features "avx2,fma", rows [2, 4, 6], panels 1, block 512, inner 512, row_block 144
);
vector_kernel!(
    AVX_VNNI_INT8 = AvxVnni, AvxVnniInt8, features "avx2,fma,avxvnni",
    rows [2, 4, 6], panels 1, block 128, inner 1024, row_block 144
);
vector_kernel!(
    AVX512_F32 = Avx512, Avx512F32, features "avx512f", rows [4, 8, 12], panels 2, block 256, inner 256, row_block 288
);
vector_kernel!(
    AVX512_INT16 = Avx512, Avx512Int16, features "avx512f,avx512bw",
    rows [4, 8, 12], panels 2, block 512, inner 512, row_block 288
);
vector_kernel!(
    AVX512_VNNI_INT8 = Avx512Vnni, Avx512VnniInt8, features "avx512f,avx512bw,avx512vnni",
    rows [4, 8, 12], panels 2, block 128, inner 1024, row_block 288
);
vector_kernel!(
    AVX512_BF16 = Avx512Bf16, Avx512Bf16, features "avx512f,avx512bf16",
    rows [4, 8, 12], panels 2, block 512, inner 512, row_block 288
);

struct Avx2F32;
struct Avx2Int16;
struct AvxVnniInt8;
struct Avx512F32;
struct Avx512Int16;
struct Avx512VnniInt8;
struct Avx512Bf16;

// SAFETY of all below: the callers' promises. Inlined into the kernels' functions, intrinsics become single
// instructions.

/// `sums`, or their sum with what is there.
#[inline(always)]
unsafe fn store_256(sums: __m256, y: *mut f32, overwrite: bool) {
    unsafe {
        _mm256_storeu_ps(
            y,
            match overwrite {
                true => sums,
                false => _mm256_add_ps(_mm256_loadu_ps(y), sums),
            },
        );
    }
}

/// Integers in a step, or their sum with what is there, in one rounding.
#[inline(always)]
unsafe fn store_integers_256(sums: __m256i, step: f32, y: *mut f32, overwrite: bool) {
    unsafe {
        let (sums, step) = (_mm256_cvtepi32_ps(sums), _mm256_set1_ps(step));
        _mm256_storeu_ps(
            y,
            match overwrite {
                true => _mm256_mul_ps(sums, step),
                false => _mm256_fmadd_ps(sums, step, _mm256_loadu_ps(y)),
            },
        );
    }
}

/// `sums`, or their sum with what is there.
#[inline(always)]
unsafe fn store_512(sums: __m512, y: *mut f32, overwrite: bool) {
    unsafe {
        _mm512_storeu_ps(
            y,
            match overwrite {
                true => sums,
                false => _mm512_add_ps(_mm512_loadu_ps(y), sums),
            },
        );
    }
}

/// Integers in a step, or their sum with what is there, in one rounding.
#[inline(always)]
unsafe fn store_integers_512(sums: __m512i, step: f32, y: *mut f32, overwrite: bool) {
    unsafe {
        let (sums, step) = (_mm512_cvtepi32_ps(sums), _mm512_set1_ps(step));
        _mm512_storeu_ps(
            y,
            match overwrite {
                true => _mm512_mul_ps(sums, step),
                false => _mm512_fmadd_ps(sums, step, _mm512_loadu_ps(y)),
            },
        );
    }
}

/// Hides a register from the compiler's optimiser, behind an empty instruction.
macro_rules! hide {
    ($class:ident, $feature:literal) => {
        #[inline]
        #[target_feature(enable = $feature)]
        unsafe fn hide(mut operand: Self::Operand) -> Self::Operand {
            unsafe { asm!("/* {0} */", inout($class) operand, options(pure, nomem, nostack, preserves_flags)) };
            operand
        }
    };
}

/// Operations of integer registers that are the same for every multiplication.
macro_rules! integers {
    ($register:ty, $zero:ident, $broadcast:ident, $store:ident) => {
        #[inline(always)]
        unsafe fn zero() -> $register {
            unsafe { $zero() }
        }

        #[inline(always)]
        unsafe fn broadcast(word: u32) -> $register {
            unsafe { $broadcast(word.cast_signed()) }
        }

        #[inline(always)]
        unsafe fn first_sums(sum: i32) -> $register {
            unsafe { $broadcast(sum) }
        }

        #[inline(always)]
        unsafe fn store(sums: $register, step: f32, y: *mut f32, overwrite: bool) {
            unsafe { $store(sums, step, y, overwrite) };
        }
    };
}

impl Arithmetic for Avx2F32 {
    type Sums = __m256;
    type Operand = __m256;
    const LANES: usize = 8;
    const OPERANDS: Operands = Operands::F32;

    #[inline(always)]
    unsafe fn zero() -> __m256 {
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn broadcast(word: u32) -> __m256 {
        unsafe { _mm256_set1_ps(f32::from_bits(word)) }
    }

    #[inline(always)]
    unsafe fn load(weights: *const u8) -> __m256 {
        unsafe { _mm256_loadu_ps(weights.cast()) }
    }

    #[inline(always)]
    unsafe fn multiply_add(sums: __m256, x: __m256, w: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(x, w, sums) }
    }

    #[inline(always)]
    unsafe fn store(sums: __m256, _: f32, y: *mut f32, overwrite: bool) {
        unsafe { store_256(sums, y, overwrite) };
    }

    hide!(ymm_reg, "avx");
}

impl Arithmetic for Avx2Int16 {
    type Sums = __m256i;
    type Operand = __m256i;
    const LANES: usize = 8;
    const OPERANDS: Operands = Operands::Int16;

    integers!(
        __m256i,
        _mm256_setzero_si256,
        _mm256_set1_epi32,
        store_integers_256
    );

    #[inline(always)]
    unsafe fn load(weights: *const u8) -> __m256i {
        unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(weights.cast())) }
    }

    // Two instructions by name: a compiler that knows what they do adds products of several steps first, for
    // which the registers do not suffice.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn multiply_add(mut sums: __m256i, x: __m256i, w: __m256i) -> __m256i {
        unsafe {
            asm!(
                "vpmaddwd {products}, {x}, {w}",
                "vpaddd {sums}, {sums}, {products}",
                products = out(ymm_reg) _,
                sums = inout(ymm_reg) sums,
                x = in(ymm_reg) x,
                w = in(ymm_reg) w,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sums
    }

    hide!(ymm_reg, "avx");
}

impl Arithmetic for AvxVnniInt8 {
    type Sums = __m256i;
    type Operand = __m256i;
    const LANES: usize = 8;
    const OPERANDS: Operands = Operands::Int8;

    integers!(
        __m256i,
        _mm256_setzero_si256,
        _mm256_set1_epi32,
        store_integers_256
    );

    #[inline(always)]
    unsafe fn load(weights: *const u8) -> __m256i {
        unsafe { _mm256_loadu_si256(weights.cast()) }
    }

    #[inline(always)]
    unsafe fn multiply_add(sums: __m256i, x: __m256i, w: __m256i) -> __m256i {
        unsafe { _mm256_dpbusd_avx_epi32(sums, w, x) }
    }

    hide!(ymm_reg, "avx");
}

impl Arithmetic for Avx512F32 {
    type Sums = __m512;
    type Operand = __m512;
    const LANES: usize = 16;
    const OPERANDS: Operands = Operands::F32;

    #[inline(always)]
    unsafe fn zero() -> __m512 {
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn broadcast(word: u32) -> __m512 {
        unsafe { _mm512_set1_ps(f32::from_bits(word)) }
    }

    #[inline(always)]
    unsafe fn load(weights: *const u8) -> __m512 {
        unsafe { _mm512_loadu_ps(weights.cast()) }
    }

    #[inline(always)]
    unsafe fn multiply_add(sums: __m512, x: __m512, w: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(x, w, sums) }
    }

    #[inline(always)]
    unsafe fn store(sums: __m512, _: f32, y: *mut f32, overwrite: bool) {
        unsafe { store_512(sums, y, overwrite) };
    }

    hide!(zmm_reg, "avx512f");
}

impl Arithmetic for Avx512Int16 {
    type Sums = __m512i;
    type Operand = __m512i;
    const LANES: usize = 16;
    const OPERANDS: Operands = Operands::Int16;

    integers!(
        __m512i,
        _mm512_setzero_si512,
        _mm512_set1_epi32,
        store_integers_512
    );

    #[inline(always)]
    unsafe fn load(weights: *const u8) -> __m512i {
        unsafe { _mm512_cvtepi8_epi16(_mm256_loadu_si256(weights.cast())) }
    }

    #[inline(always)]
    unsafe fn multiply_add(sums: __m512i, x: __m512i, w: __m512i) -> __m512i {
        unsafe { _mm512_add_epi32(sums, _mm512_madd_epi16(x, w)) }
    }

    hide!(zmm_reg, "avx512f");
}

impl Arithmetic for Avx512VnniInt8 {
    type Sums = __m512i;
    type Operand = __m512i;
    const LANES: usize = 16;
    const OPERANDS: Operands = Operands::Int8;

    integers!(
        __m512i,
        _mm512_setzero_si512,
        _mm512_set1_epi32,
        store_integers_512
    );

    #[inline(always)]
    unsafe fn load(weights: *const u8) -> __m512i {
        unsafe { _mm512_loadu_si512(weights.cast()) }
    }

    #[inline(always)]
    unsafe fn multiply_add(sums: __m512i, x: __m512i, w: __m512i) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(sums, w, x) }
    }

    hide!(zmm_reg, "avx512f");
}

impl Arithmetic for Avx512Bf16 {
    type Sums = __m512;
    type Operand = __m512i;
    const LANES: usize = 16;
    const OPERANDS: Operands = Operands::Bf16;

    #[inline(always)]
    unsafe fn zero() -> __m512 {
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn broadcast(word: u32) -> __m512i {
        unsafe { _mm512_set1_epi32(word.cast_signed()) }
    }

    #[inline(always)]
    unsafe fn load(weights: *const u8) -> __m512i {
        unsafe { _mm512_loadu_si512(weights.cast()) }
    }

    #[inline(always)]
    unsafe fn multiply_add(sums: __m512, x: __m512i, w: __m512i) -> __m512 {
        unsafe {
            _mm512_dpbf16_ps(
                sums,
                transmute::<__m512i, __m512bh>(x),
                transmute::<__m512i, __m512bh>(w),
            )
        }
    }

    #[inline(always)]
    unsafe fn store(sums: __m512, _: f32, y: *mut f32, overwrite: bool) {
        unsafe { store_512(sums, y, overwrite) };
    }

    hide!(zmm_reg, "avx512f");
}
