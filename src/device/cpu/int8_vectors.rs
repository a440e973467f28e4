//! Kernels of int8 weights in vector registers.

use std::arch::asm;
use std::arch::x86_64::*;

use super::amx;
use super::int8_kernel::{Kernel, Part, fits};
use super::product::{FEW_ROWS, PANEL, tiles};
use super::quantised_rows::{Integers, Rounding};
use super::row_order::RowOrder;

const fn rounding(integers: Integers, tile_rows: usize) -> Rounding {
    let rounding = Rounding {
        integers,
        block: match integers {
            Integers::Bits16 => 512,
            Integers::Bits8 => 128,
        },
        // Every word is broadcast, so it lies behind those of the tile's other rows.
        order: RowOrder { tile_rows, run: 1 },
    };
    assert!(fits(&rounding));
    rounding
}

static AVX512_VNNI: Kernel = Kernel {
    name: "AVX-512 VNNI",
    rounding: rounding(Integers::Bits8, 12),
    multiply: avx512_vnni,
};
static AVX512: Kernel = Kernel {
    name: "AVX-512",
    rounding: rounding(Integers::Bits16, 12),
    multiply: avx512,
};
static AVX_VNNI: Kernel = Kernel {
    name: "AVX-VNNI",
    rounding: rounding(Integers::Bits8, 6),
    multiply: avx_vnni,
};
static AVX2: Kernel = Kernel {
    name: "AVX2",
    rounding: rounding(Integers::Bits16, 6),
    multiply: avx2,
};

/// The kernels that this machine can run, the fastest first.
pub(super) fn available() -> impl Iterator<Item = &'static Kernel> {
    let avx2 = is_x86_feature_detected!("avx2");
    let avx512 = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
    [
        (amx::multiplies_int8(), &amx::INT8),
        (avx512 && is_x86_feature_detected!("avx512vnni"), &AVX512_VNNI),
        (avx2 && is_x86_feature_detected!("avxvnni"), &AVX_VNNI),
        (avx512, &AVX512),
        (avx2, &AVX2),
    ]
    .into_iter()
    .filter_map(|(runs, kernel)| runs.then_some(kernel))
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn avx512_vnni(part: Part) {
    // SAFETY: the caller's promise; so below.
    unsafe { in_tiles::<Avx512Vnni, 12, 1>(part) };
}

#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn avx512(part: Part) {
    // SAFETY: the caller's promise; so below.
    unsafe { in_tiles::<Avx512, 12, 1>(part) };
}

#[target_feature(enable = "avx2,avxvnni")]
unsafe fn avx_vnni(part: Part) {
    // SAFETY: the caller's promise; so below.
    unsafe { in_tiles::<AvxVnni, 6, 2>(part) };
}

#[target_feature(enable = "avx2")]
unsafe fn avx2(part: Part) {
    // SAFETY: the caller's promise.
    unsafe { in_tiles::<Avx2, 6, 2>(part) };
}

/// Registers of 32-bit sums, and of groups of integers that are multiplied into them.
///
/// # Safety
/// For every function: the machine has the instructions that the type stands for.
trait Arithmetic {
    type Register: Copy;
    /// Columns in a register.
    const LANES: usize;
    const INTEGERS: Integers;

    /// A sum, or a word of activations, in every lane.
    unsafe fn splat(word: i32) -> Self::Register;

    /// Groups of LANES columns, from anywhere in memory, as wide as the activations.
    unsafe fn load(weights: *const i8) -> Self::Register;

    /// `sums + Σ x · w` in every lane.
    unsafe fn multiply_add(sums: Self::Register, x: Self::Register, w: Self::Register) -> Self::Register;

    /// `y (+)= sums · row_scale · column_scales`, for LANES columns.
    unsafe fn store(
        sums: Self::Register,
        row_scale: f32,
        column_scales: *const f32,
        y: *mut f32,
        overwrite: bool,
    );
}

/// # Safety
/// The machine has the instructions of `A`; tiles are of TILE rows, panels of VECTORS registers.
#[inline(always)]
unsafe fn in_tiles<A: Arithmetic, const TILE: usize, const VECTORS: usize>(mut part: Part) {
    const { assert!(FEW_ROWS < TILE) };
    for (row, rows) in tiles(part.rows.clone(), TILE) {
        part.prefetch.next_share();
        // SAFETY: as promised.
        unsafe {
            match rows <= FEW_ROWS {
                true => tile::<A, TILE, FEW_ROWS, VECTORS>(&mut part, row, rows),
                false => tile::<A, TILE, TILE, VECTORS>(&mut part, row, rows),
            }
        }
    }
}

/// The first `rows` of the tile that begins at `row`. Others up to COMPUTED are computed of whatever the memory holds.
///
/// # Safety
/// As of [`in_tiles`].
#[inline(always)]
unsafe fn tile<A: Arithmetic, const TILE: usize, const COMPUTED: usize, const VECTORS: usize>(
    part: &mut Part,
    row: usize,
    rows: usize,
) {
    const { assert!(VECTORS * A::LANES == PANEL && COMPUTED <= TILE) };
    let x = part.x.tile(row / TILE, part.block);
    let (words, _) = x.words.as_chunks::<TILE>();
    let first_sums: &[i32; TILE] = x.first_sums.try_into().expect("a first sum for every row");
    // SAFETY: every pointer below is inside of an array of the right length.
    unsafe {
        let mut sums: [[A::Register; VECTORS]; COMPUTED] =
            std::array::from_fn(|row| [A::splat(first_sums[row]); VECTORS]);
        let group = const { A::INTEGERS.group() };
        for (words, weights) in words.iter().zip(part.weights.chunks_exact(PANEL * group)) {
            let weights: [A::Register; VECTORS] =
                std::array::from_fn(|v| A::load(weights.as_ptr().add(v * A::LANES * group)));
            for (sums, word) in sums.iter_mut().zip(words) {
                let x = A::splat(word.cast_signed());
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = A::multiply_add(*sum, x, weights);
                }
            }
        }
        let (y, _) = part.sums[(row - part.rows.start) * PANEL..].as_chunks_mut::<PANEL>();
        for ((sums, y), step) in sums.into_iter().zip(&mut y[..rows]).zip(x.steps) {
            for (v, sums) in sums.into_iter().enumerate() {
                let (y, scales) = (&mut y[v * A::LANES..], &part.scales[v * A::LANES..]);
                A::store(sums, *step, scales.as_ptr(), y.as_mut_ptr(), part.block == 0);
            }
        }
    }
}

struct Avx2;
struct AvxVnni;
struct Avx512;
struct Avx512Vnni;

// Inlined into the functions above, the intrinsics become single instructions.
impl Arithmetic for Avx2 {
    type Register = __m256i;
    const LANES: usize = 8;
    const INTEGERS: Integers = Integers::Bits16;

    #[inline(always)]
    unsafe fn splat(word: i32) -> __m256i {
        unsafe { _mm256_set1_epi32(word) }
    }

    #[inline(always)]
    unsafe fn load(weights: *const i8) -> __m256i {
        unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(weights.cast())) }
    }

    // Two instructions by name: a compiler that knows what they do adds products of several steps first, for which the
    // registers do not suffice.
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

    #[inline(always)]
    unsafe fn store(sums: __m256i, row_scale: f32, column_scales: *const f32, y: *mut f32, overwrite: bool) {
        unsafe {
            let scales = _mm256_mul_ps(_mm256_set1_ps(row_scale), _mm256_loadu_ps(column_scales));
            let sums = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), scales);
            _mm256_storeu_ps(
                y,
                match overwrite {
                    true => sums,
                    false => _mm256_add_ps(_mm256_loadu_ps(y), sums),
                },
            );
        }
    }
}

impl Arithmetic for AvxVnni {
    type Register = __m256i;
    const LANES: usize = 8;
    const INTEGERS: Integers = Integers::Bits8;

    #[inline(always)]
    unsafe fn splat(word: i32) -> __m256i {
        unsafe { Avx2::splat(word) }
    }

    #[inline(always)]
    unsafe fn load(weights: *const i8) -> __m256i {
        unsafe { _mm256_loadu_si256(weights.cast()) }
    }

    #[inline(always)]
    unsafe fn multiply_add(sums: __m256i, x: __m256i, w: __m256i) -> __m256i {
        unsafe { _mm256_dpbusd_avx_epi32(sums, w, x) }
    }

    #[inline(always)]
    unsafe fn store(sums: __m256i, row_scale: f32, column_scales: *const f32, y: *mut f32, overwrite: bool) {
        unsafe { Avx2::store(sums, row_scale, column_scales, y, overwrite) };
    }
}

impl Arithmetic for Avx512 {
    type Register = __m512i;
    const LANES: usize = 16;
    const INTEGERS: Integers = Integers::Bits16;

    #[inline(always)]
    unsafe fn splat(word: i32) -> __m512i {
        unsafe { _mm512_set1_epi32(word) }
    }

    #[inline(always)]
    unsafe fn load(weights: *const i8) -> __m512i {
        unsafe { _mm512_cvtepi8_epi16(_mm256_loadu_si256(weights.cast())) }
    }

    #[inline(always)]
    unsafe fn multiply_add(sums: __m512i, x: __m512i, w: __m512i) -> __m512i {
        unsafe { _mm512_add_epi32(sums, _mm512_madd_epi16(x, w)) }
    }

    #[inline(always)]
    unsafe fn store(sums: __m512i, row_scale: f32, column_scales: *const f32, y: *mut f32, overwrite: bool) {
        unsafe {
            let scales = _mm512_mul_ps(_mm512_set1_ps(row_scale), _mm512_loadu_ps(column_scales));
            let sums = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), scales);
            _mm512_storeu_ps(
                y,
                match overwrite {
                    true => sums,
                    false => _mm512_add_ps(_mm512_loadu_ps(y), sums),
                },
            );
        }
    }
}

impl Arithmetic for Avx512Vnni {
    type Register = __m512i;
    const LANES: usize = 16;
    const INTEGERS: Integers = Integers::Bits8;

    #[inline(always)]
    unsafe fn splat(word: i32) -> __m512i {
        unsafe { Avx512::splat(word) }
    }

    #[inline(always)]
    unsafe fn load(weights: *const i8) -> __m512i {
        unsafe { _mm512_loadu_si512(weights.cast()) }
    }

    #[inline(always)]
    unsafe fn multiply_add(sums: __m512i, x: __m512i, w: __m512i) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(sums, w, x) }
    }

    #[inline(always)]
    unsafe fn store(sums: __m512i, row_scale: f32, column_scales: *const f32, y: *mut f32, overwrite: bool) {
        unsafe { Avx512::store(sums, row_scale, column_scales, y, overwrite) };
    }
}
