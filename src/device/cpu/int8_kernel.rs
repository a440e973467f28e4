//! The kernel of products with int8 weights, in integers: two products and their sum are one instruction.
//!
//! Sums over one part of the inner dimension are exact: 512 products of 16 and 8 bits fit into 32.

use std::ops::Range;

use pulp::bytemuck::cast_slice;

use super::prefetch::Prefetch;
use super::product::{FEW_ROWS, Multiplier, PANEL, tile_rows, tiles};
use super::quantised_rows::{LARGEST, PAIR, QuantisedRows};

/// Rows of a panel that are met at once: 8 KiB, and as many as can be summed up.
const INNER_BLOCK: usize = 512;

const _: () = assert!(INNER_BLOCK as i64 * LARGEST as i64 * i8::MAX as i64 <= i32::MAX as i64);

/// Whether this machine has the instructions. Where it has not, weights are widened to f32.
pub(super) fn is_available() -> bool {
    kernel().is_some()
}

/// A linear layer's weight, transposed and rounded: `[panels, inputs / 2, PANEL, 2]`, zeros behind the last input.
#[derive(Clone, Copy)]
pub(super) struct Int8Panels<'a> {
    values: &'a [i8],
    /// Of each output, filled up to whole panels.
    scales: &'a [f32],
    inputs: usize,
    outputs: usize,
}

impl<'a> Int8Panels<'a> {
    pub fn new(values: &'a [i8], scales: &'a [f32], inputs: usize, outputs: usize) -> Self {
        let panels = outputs.div_ceil(PANEL);
        assert_eq!(
            (values.len(), scales.len()),
            (panels * inputs.next_multiple_of(PAIR) * PANEL, panels * PANEL),
            "values and scales of panels"
        );
        Self {
            values,
            scales,
            inputs,
            outputs,
        }
    }

    /// A part of the inner dimension of a panel, up to whole pairs.
    fn part(&self, panel: usize, inner: Range<usize>) -> &'a [i8] {
        let start = (panel * self.inputs.next_multiple_of(PAIR) + inner.start) * PANEL;
        &self.values[start..][..inner.len().next_multiple_of(PAIR) * PANEL]
    }
}

impl Multiplier for Int8Panels<'_> {
    const INNER_BLOCK: usize = INNER_BLOCK;

    type PackedRows<'x> = QuantisedRows<'x>;

    fn inner(&self) -> usize {
        self.inputs
    }

    fn columns(&self) -> usize {
        self.outputs
    }

    fn stored(&self, panel: usize, inner: Range<usize>) -> &[u8] {
        cast_slice(self.part(panel, inner))
    }

    fn add_product(
        &self,
        x: QuantisedRows,
        rows: Range<usize>,
        panel: usize,
        inner: Range<usize>,
        sums: &mut [f32],
        next: &[u8],
    ) {
        assert!(
            x.inner() == self.inputs && inner.end <= x.inner() && inner.start.is_multiple_of(PAIR),
            "inner dimension of a product"
        );
        assert!(
            rows.start.is_multiple_of(tile_rows())
                && rows.end <= x.rows()
                && rows.len() * PANEL <= sums.len(),
            "rows of a product"
        );
        let part = Part {
            x,
            first_pair: inner.start / PAIR,
            weights: self.part(panel, inner).as_chunks().0,
            prefetch: Prefetch::new(next, rows.len().div_ceil(tile_rows())),
            rows,
            scales: self.scales[panel * PANEL..]
                .first_chunk()
                .expect("scales of whole panels"),
            sums,
        };
        let kernel = kernel().expect("a product in integers only where it is available");
        // SAFETY: the machine has the kernel's instructions, and the shapes were checked above.
        unsafe { kernel(part) };
    }
}

/// `sums (+)= x · weights` for some rows, one panel and a part of the inner dimension.
struct Part<'a> {
    x: QuantisedRows<'a>,
    rows: Range<usize>,
    /// Where the weights begin in the inner dimension.
    first_pair: usize,
    weights: &'a [[i8; PANEL * PAIR]],
    scales: &'a [f32; PANEL],
    /// `[rows, PANEL]`
    sums: &'a mut [f32],
    prefetch: Prefetch<'a>,
}

type Kernel = unsafe fn(Part);

/// The fastest kernel for this machine.
#[cfg(target_arch = "x86_64")]
fn kernel() -> Option<Kernel> {
    use self::x86::{avx2, avx512, avx512_vnni};
    // The rows are packed in tiles of pulp's choice.
    if pulp::x86::V4::try_new().is_some() {
        return Some(match is_x86_feature_detected!("avx512vnni") {
            true => avx512_vnni,
            false => avx512,
        });
    }
    pulp::x86::V3::try_new().map(|_| avx2 as Kernel)
}

/// The fastest kernel for this machine.
#[cfg(not(target_arch = "x86_64"))]
fn kernel() -> Option<Kernel> {
    None
}

/// Registers of 32-bit sums, and of pairs of 16 bits that are multiplied into them.
///
/// # Safety
/// For every function: the machine has the instructions that the type stands for.
trait PairArithmetic {
    type Integers: Copy;
    /// Columns in a register.
    const LANES: usize;

    unsafe fn zeros() -> Self::Integers;

    /// A pair of activations in every lane.
    unsafe fn splat(pair: [i16; PAIR]) -> Self::Integers;

    /// Pairs of LANES columns, from anywhere in memory, widened to 16 bits each.
    unsafe fn load(pairs: *const i8) -> Self::Integers;

    /// `sums + x₀ · w₀ + x₁ · w₁` in every lane.
    unsafe fn multiply_add(sums: Self::Integers, x: Self::Integers, w: Self::Integers) -> Self::Integers;

    /// `y (+)= sums · row_scale · column_scales`, for LANES columns.
    unsafe fn store(
        sums: Self::Integers,
        row_scale: f32,
        column_scales: *const f32,
        y: *mut f32,
        overwrite: bool,
    );
}

impl Part<'_> {
    /// # Safety
    /// The machine has the instructions of `A`; tiles are of TILE rows, panels of VECTORS registers.
    #[inline(always)]
    unsafe fn in_tiles<A: PairArithmetic, const TILE: usize, const VECTORS: usize>(mut self) {
        const { assert!(FEW_ROWS < TILE) };
        for (row, rows) in tiles(self.rows.clone(), TILE) {
            self.prefetch.next_share();
            // SAFETY: as promised.
            unsafe {
                match rows <= FEW_ROWS {
                    true => self.tile::<A, TILE, FEW_ROWS, VECTORS>(row, rows),
                    false => self.tile::<A, TILE, TILE, VECTORS>(row, rows),
                }
            }
        }
    }

    /// The first `rows` of the tile that begins at `row`. Others up to COMPUTED are computed of whatever the memory holds.
    ///
    /// # Safety
    /// As of [`Part::in_tiles`].
    #[inline(always)]
    unsafe fn tile<A: PairArithmetic, const TILE: usize, const COMPUTED: usize, const VECTORS: usize>(
        &mut self,
        row: usize,
        rows: usize,
    ) {
        const { assert!(VECTORS * A::LANES == PANEL && COMPUTED <= TILE) };
        let (steps, pairs) = self.x.tile(row / TILE);
        let (x, _) = pairs[self.first_pair * TILE..][..self.weights.len() * TILE].as_chunks::<TILE>();
        // SAFETY: every pointer below is inside of an array of the right length.
        unsafe {
            let mut sums = [[A::zeros(); VECTORS]; COMPUTED];
            for (x, weights) in x.iter().zip(self.weights) {
                let weights: [A::Integers; VECTORS] =
                    std::array::from_fn(|v| A::load(weights.as_ptr().add(v * A::LANES * PAIR)));
                for (sums, x) in sums.iter_mut().zip(x) {
                    let x = A::splat(*x);
                    for (sum, weights) in sums.iter_mut().zip(weights) {
                        *sum = A::multiply_add(*sum, x, weights);
                    }
                }
            }
            let (y, _) = self.sums[(row - self.rows.start) * PANEL..].as_chunks_mut::<PANEL>();
            for ((sums, y), step) in sums.into_iter().zip(&mut y[..rows]).zip(steps) {
                for (v, sums) in sums.into_iter().enumerate() {
                    let (y, scales) = (&mut y[v * A::LANES..], &self.scales[v * A::LANES..]);
                    A::store(sums, *step, scales.as_ptr(), y.as_mut_ptr(), self.first_pair == 0);
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;
    use std::arch::x86_64::*;

    use super::{PAIR, PairArithmetic, Part};

    struct Avx2;
    struct Avx512<const VNNI: bool>;

    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn avx2(part: Part) {
        // SAFETY: the caller's promise.
        unsafe { part.in_tiles::<Avx2, 6, 2>() };
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) unsafe fn avx512(part: Part) {
        // SAFETY: the caller's promise.
        unsafe { part.in_tiles::<Avx512<false>, 12, 1>() };
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) unsafe fn avx512_vnni(part: Part) {
        // SAFETY: the caller's promise.
        unsafe { part.in_tiles::<Avx512<true>, 12, 1>() };
    }

    // Inlined into the functions above, the intrinsics become single instructions.
    impl PairArithmetic for Avx2 {
        type Integers = __m256i;
        const LANES: usize = 8;

        #[inline(always)]
        unsafe fn zeros() -> __m256i {
            // SAFETY: the caller's promise; so below.
            unsafe { _mm256_setzero_si256() }
        }

        #[inline(always)]
        unsafe fn splat(pair: [i16; PAIR]) -> __m256i {
            unsafe { _mm256_set1_epi32(bits(pair)) }
        }

        #[inline(always)]
        unsafe fn load(pairs: *const i8) -> __m256i {
            unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(pairs.cast())) }
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
        unsafe fn store(
            sums: __m256i,
            row_scale: f32,
            column_scales: *const f32,
            y: *mut f32,
            overwrite: bool,
        ) {
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

    impl<const VNNI: bool> PairArithmetic for Avx512<VNNI> {
        type Integers = __m512i;
        const LANES: usize = 16;

        #[inline(always)]
        unsafe fn zeros() -> __m512i {
            // SAFETY: the caller's promise; so below.
            unsafe { _mm512_setzero_si512() }
        }

        #[inline(always)]
        unsafe fn splat(pair: [i16; PAIR]) -> __m512i {
            unsafe { _mm512_set1_epi32(bits(pair)) }
        }

        #[inline(always)]
        unsafe fn load(pairs: *const i8) -> __m512i {
            unsafe { _mm512_cvtepi8_epi16(_mm256_loadu_si256(pairs.cast())) }
        }

        #[inline(always)]
        unsafe fn multiply_add(sums: __m512i, x: __m512i, w: __m512i) -> __m512i {
            unsafe {
                match VNNI {
                    true => _mm512_dpwssd_epi32(sums, x, w),
                    false => _mm512_add_epi32(sums, _mm512_madd_epi16(x, w)),
                }
            }
        }

        #[inline(always)]
        unsafe fn store(
            sums: __m512i,
            row_scale: f32,
            column_scales: *const f32,
            y: *mut f32,
            overwrite: bool,
        ) {
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

    #[inline(always)]
    fn bits(pair: [i16; PAIR]) -> i32 {
        pulp::bytemuck::cast(pair)
    }
}

#[cfg(test)]
mod tests {
    use super::super::panels::{Precision, WeightPanels};
    use super::super::product::MatrixMut;
    use super::super::test_values::values;
    use super::super::threads::Threads;
    use super::*;

    /// `x · weightᵀ` by this kernel.
    fn product(x: &[f32], weight: &[f32], (rows, inner, outputs): (usize, usize, usize)) -> Vec<f32> {
        let threads = Threads::new(1).unwrap();
        let panels = WeightPanels::new(outputs, inner, Precision::Int8, &threads, |output, first, row| {
            row.copy_from_slice(&weight[output * inner + first..][..row.len()]);
        })
        .unwrap();
        let mut memory = vec![0.0; QuantisedRows::length(rows, inner)];
        let x = QuantisedRows::quantise(x, rows, inner, &mut memory, &threads);
        let mut y = vec![9.0; rows * outputs];
        MatrixMut::new(&mut y, rows, outputs).assign_product(x, &panels.int8().unwrap(), 0, |_, _, _| ());
        y
    }

    #[test]
    fn products_of_every_shape_differ_by_the_rounding_of_the_weights_at_most() {
        if !is_available() {
            eprintln!("not run: this machine has no such instructions, weights are widened to f32");
            return;
        }
        for shape @ (rows, inner, outputs) in [
            (1, 1, 1),
            (6, 16, 16),
            (13, 300, 33),
            (50, 257, 72),
            (300, 20, 150),
            (2, 601, 5),
            (3, 0, 4),
        ] {
            let (x, weight) = (values(rows * inner, 1), values(outputs * inner, 2));
            let y = product(&x, &weight, shape);
            for row in 0..rows {
                for output in 0..outputs {
                    let (x, weight) = (&x[row * inner..][..inner], &weight[output * inner..][..inner]);
                    let exact: f64 = x
                        .iter()
                        .zip(weight)
                        .map(|(x, w)| f64::from(*x) * f64::from(*w))
                        .sum();
                    let rounding: f64 = x.iter().map(|x| f64::from(x.abs()) * 0.51 / 127.0).sum();
                    let error = (f64::from(y[row * outputs + output]) - exact).abs();
                    assert!(error <= rounding + 1e-6, "{shape:?}: {error} beyond {rounding}");
                }
            }
        }
    }

    #[test]
    fn the_largest_values_do_not_overflow() {
        if !is_available() {
            eprintln!("not run: this machine has no such instructions, weights are widened to f32");
            return;
        }
        let (x, weight) = (vec![-1e30; 2 * 1024], vec![1e-3; 1024]);
        for y in product(&x, &weight, (2, 1024, 1)) {
            assert!((y / -1.024e30 - 1.0).abs() < 1e-5, "{y}");
        }
    }

    #[test]
    fn a_value_that_is_not_finite_spoils_its_row_and_no_other() {
        if !is_available() {
            eprintln!("not run: this machine has no such instructions, weights are widened to f32");
            return;
        }
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = values(3 * 40, 1);
            x[45] = bad;
            let y = product(&x, &values(2 * 40, 2), (3, 40, 2));
            assert!(y[2..4].iter().all(|y| y.is_nan()), "{y:?}");
            assert!(y[..2].iter().chain(&y[4..]).all(|y| y.is_finite()), "{y:?}");
        }
    }
}
