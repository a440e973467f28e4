//! The kernels of products with bf16 weights where the machine multiplies bf16: activations are rounded to it as well, and
//! one instruction adds two products to each sum, which is in f32.

use std::ops::Range;

use pulp::Arch;
use pulp::bytemuck::{cast_slice, cast_slice_mut};

use super::panels::{Pack, narrow, part_of_panel};
use super::prefetch::Prefetch;
use super::product::{Multiplier, PANEL};
use super::row_order::RowOrder;
use super::stored::Stored;
use super::threads::Threads;
use crate::device::Result;

/// Rows of a panel that are met at once: 16 KiB.
const INNER_BLOCK: usize = 512;

/// Activations and weights are multiplied two by two.
const PAIR: usize = 2;

/// A kernel, for which activations and weights are laid out.
#[derive(Debug)]
pub(super) struct Kernel {
    pub name: &'static str,
    pub order: RowOrder,
    /// # Safety
    /// The machine has the kernel's instructions, and the part's shapes are those of its product.
    pub multiply: unsafe fn(Part),
}

impl Kernel {
    /// The fastest one for this machine, if it has any. Where it has none, weights are widened to f32.
    pub fn fastest() -> Option<&'static Self> {
        available().next()
    }

    /// Weights of a panel that are multiplied at once for each output.
    const fn weights_at_once(&self) -> usize {
        PAIR * self.order.run
    }
}

/// The kernels that this machine can run, the fastest first.
#[cfg(target_arch = "x86_64")]
fn available() -> impl Iterator<Item = &'static Kernel> {
    use super::amx;
    let avx512_bf16 = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16");
    [
        (amx::multiplies_bf16(), &amx::BF16),
        (avx512_bf16, &x86::AVX512_BF16),
    ]
    .into_iter()
    .filter_map(|(runs, kernel)| runs.then_some(kernel))
}

/// The kernels that this machine can run, the fastest first.
#[cfg(not(target_arch = "x86_64"))]
fn available() -> impl Iterator<Item = &'static Kernel> {
    std::iter::empty()
}

/// Activations `[rows, inner]` as bits of bf16, in a kernel's [`RowOrder`].
#[derive(Clone, Copy)]
pub(super) struct Bf16Rows<'a> {
    tiles: &'a [f32],
    order: RowOrder,
    rows: usize,
    inner: usize,
}

impl<'a> Bf16Rows<'a> {
    /// Values of f32 that such a matrix takes.
    fn length(order: RowOrder, rows: usize, inner: usize) -> usize {
        rows.next_multiple_of(order.tile_rows) * order.words(inner, PAIR)
    }

    /// Of a row-major matrix `[rows, inner]`, in the first values of `memory`.
    fn round(
        order: RowOrder,
        (matrix, rows, inner): (&[f32], usize, usize),
        memory: &'a mut [f32],
        threads: &Threads,
    ) -> Self {
        assert!(rows * inner <= matrix.len(), "matrix larger than its values");
        let tiles = &mut memory[..Self::length(order, rows, inner)];
        let tile_length = (order.tile_rows * order.words(inner, PAIR)).max(1);
        threads.for_each_chunk(tiles, tile_length, 8 * rows * inner, |index, tile| {
            let first = index * order.tile_rows;
            let tile: &mut [u32] = cast_slice_mut(tile);
            for row in first..rows.min(first + order.tile_rows) {
                let values = &matrix[row * inner..][..inner];
                Arch::new().dispatch(
                    #[inline(always)]
                    || order.place::<u16, PAIR>(values, row - first, 0, tile, narrow),
                );
            }
        });
        Self {
            tiles,
            order,
            rows,
            inner,
        }
    }

    /// The words of a tile from an inner dimension's value on that is a multiple of [`INNER_BLOCK`].
    pub fn tile(&self, index: usize, inner_start: usize) -> &'a [u32] {
        let length = self.order.tile_rows * self.order.words(self.inner, PAIR);
        cast_slice(&self.tiles[index * length..][..length][inner_start / PAIR * self.order.tile_rows..])
    }
}

/// A linear layer's weight, transposed, as bits: `[panels, inputs / 2, PANEL, 2]`, zeros behind the last input.
pub(super) struct Bf16Panels {
    kernel: &'static Kernel,
    bits: Stored<u16>,
    inputs: usize,
    outputs: usize,
}

impl Bf16Panels {
    /// # Errors
    /// When there is no memory for it.
    pub fn new(
        kernel: &'static Kernel,
        pack: &Pack<impl Fn(usize, usize, &mut [f32]) + Sync>,
    ) -> Result<Self> {
        let at_once = kernel.weights_at_once();
        Ok(Self {
            kernel,
            bits: pack.transposed::<_, PAIR>(at_once, |_, values, rounded| narrow(values, rounded))?,
            inputs: pack.inputs,
            outputs: pack.outputs,
        })
    }

    /// A part of the inner dimension of a panel, filled up to what is multiplied at once.
    fn part(&self, panel: usize, inner: Range<usize>) -> &[u16] {
        &self.bits[part_of_panel(self.inputs, self.kernel.weights_at_once(), panel, inner)]
    }
}

impl Multiplier for Bf16Panels {
    type PackedRows<'x> = Bf16Rows<'x>;

    fn inner(&self) -> usize {
        self.inputs
    }

    fn columns(&self) -> usize {
        self.outputs
    }

    fn inner_block(&self) -> usize {
        INNER_BLOCK
    }

    fn tile_rows(&self) -> usize {
        self.kernel.order.tile_rows
    }

    fn packed_length(&self, rows: usize) -> usize {
        Bf16Rows::length(self.kernel.order, rows, self.inputs)
    }

    fn pack<'x>(
        &self,
        matrix: &[f32],
        rows: usize,
        memory: &'x mut [f32],
        threads: &Threads,
    ) -> Bf16Rows<'x> {
        Bf16Rows::round(self.kernel.order, (matrix, rows, self.inputs), memory, threads)
    }

    fn stored(&self, panel: usize, inner: Range<usize>) -> &[u8] {
        cast_slice(self.part(panel, inner))
    }

    fn add_product(
        &self,
        x: Bf16Rows,
        rows: Range<usize>,
        panel: usize,
        inner: Range<usize>,
        sums: &mut [f32],
        next: &[u8],
    ) {
        let tile_rows = self.tile_rows();
        assert!(
            x.inner == self.inputs && inner.end <= x.inner && inner.start.is_multiple_of(INNER_BLOCK),
            "inner dimension of a product"
        );
        assert!(
            rows.start.is_multiple_of(tile_rows) && rows.end <= x.rows && rows.len() * PANEL <= sums.len(),
            "rows of a product"
        );
        let part = Part {
            x,
            inner_start: inner.start,
            prefetch: Prefetch::new(next, rows.len().div_ceil(tile_rows)),
            rows,
            weights: self.part(panel, inner),
            sums: sums.as_chunks_mut().0,
        };
        // SAFETY: the kernel is one that this machine can run, and the shapes were checked above.
        unsafe { (self.kernel.multiply)(part) };
    }
}

/// `sums (+)= x · weights` for some rows, one panel and a part of the inner dimension.
pub(super) struct Part<'a> {
    pub x: Bf16Rows<'a>,
    pub rows: Range<usize>,
    /// Where the weights begin in the inner dimension.
    pub inner_start: usize,
    /// `[pairs, PANEL, 2]`
    pub weights: &'a [u16],
    /// `[rows, PANEL]`
    pub sums: &'a mut [[f32; PANEL]],
    pub prefetch: Prefetch<'a>,
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::mem::transmute;

    use super::super::product::{FEW_ROWS, PANEL, tiles};
    use super::{Kernel, PAIR, Part, RowOrder};

    const TILE: usize = 12;

    /// Every pair of activations is broadcast, so it lies behind those of the tile's other rows.
    pub(super) static AVX512_BF16: Kernel = Kernel {
        name: "AVX-512 BF16",
        order: RowOrder {
            tile_rows: TILE,
            run: 1,
        },
        multiply: avx512_bf16,
    };

    #[target_feature(enable = "avx512f,avx512bf16")]
    unsafe fn avx512_bf16(mut part: Part) {
        for (row, rows) in tiles(part.rows.clone(), TILE) {
            part.prefetch.next_share();
            if rows <= FEW_ROWS {
                tile::<FEW_ROWS>(&mut part, row, rows);
            } else {
                tile::<TILE>(&mut part, row, rows);
            }
        }
    }

    /// The first `rows` of the tile that begins at `row`. Others up to COMPUTED are computed of whatever the memory holds.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn tile<const COMPUTED: usize>(part: &mut Part, row: usize, rows: usize) {
        const { assert!(COMPUTED <= TILE) };
        let (words, _) = part.x.tile(row / TILE, part.inner_start).as_chunks::<TILE>();
        let (weights, _) = part.weights.as_chunks::<{ PANEL * PAIR }>();
        let mut sums = [_mm512_setzero_ps(); COMPUTED];
        for (words, weights) in words.iter().zip(weights) {
            // SAFETY: PANEL pairs of 16 bits are a register.
            let weights = unsafe { _mm512_loadu_si512(weights.as_ptr().cast()) };
            for (sum, pair) in sums.iter_mut().zip(words) {
                let x = _mm512_set1_epi32(pair.cast_signed());
                *sum = _mm512_dpbf16_ps(*sum, of_bf16(x), of_bf16(weights));
            }
        }
        for (y, sum) in part.sums[row - part.rows.start..][..rows].iter_mut().zip(sums) {
            let y = y.as_mut_ptr();
            // SAFETY: PANEL values are a register.
            unsafe {
                _mm512_storeu_ps(
                    y,
                    match part.inner_start {
                        0 => sum,
                        _ => _mm512_add_ps(_mm512_loadu_ps(y), sum),
                    },
                );
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn of_bf16(bits: __m512i) -> __m512bh {
        // SAFETY: both are 512 bits of anything.
        unsafe { transmute(bits) }
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::super::test_products::{pack, product, values};
    use super::*;

    /// Calls `test` with `x · weightᵀ` of every kernel that this machine can run.
    fn each_product(
        x: &[f32],
        weight: &[f32],
        (rows, inner, outputs): (usize, usize, usize),
        mut test: impl FnMut(&'static str, Vec<f32>),
    ) {
        if Kernel::fastest().is_none() {
            eprintln!("not run: this machine does not multiply bf16, weights are widened to f32");
        }
        let threads = Threads::new(1).unwrap();
        for kernel in available() {
            let panels = Bf16Panels::new(kernel, &pack(weight, outputs, inner, &threads)).unwrap();
            let y = product(x, &panels, rows, &threads);
            test(kernel.name, y);
        }
    }

    #[test]
    fn products_of_every_shape_are_those_of_values_rounded_to_bf16() {
        let rounded = |values: &[f32]| -> Vec<f64> {
            values
                .iter()
                .map(|value| bf16::from_f32(*value).to_f64())
                .collect()
        };
        for shape @ (rows, inner, outputs) in [
            (1, 1, 1),
            (6, 16, 16),
            (13, 300, 33),
            (50, 257, 72),
            (300, 20, 150),
            (2, 601, 5),
            (67, 1100, 20),
            (3, 0, 4),
        ] {
            let (x, weight) = (values(rows * inner, 1), values(outputs * inner, 2));
            let (rounded_x, rounded_weight) = (rounded(&x), rounded(&weight));
            each_product(&x, &weight, shape, |kernel, y| {
                for row in 0..rows {
                    for output in 0..outputs {
                        let x = &rounded_x[row * inner..][..inner];
                        let weight = &rounded_weight[output * inner..][..inner];
                        let products = || x.iter().zip(weight).map(|(x, w)| x * w);
                        let (exact, magnitude): (f64, f64) =
                            (products().sum(), products().map(f64::abs).sum());
                        let error = (f64::from(y[row * outputs + output]) - exact).abs();
                        // As many sums are rounded in f32, in one direction or the other.
                        let rounding = (inner as f64).sqrt() * f64::from(f32::EPSILON) * magnitude;
                        assert!(error <= rounding, "{kernel}, {shape:?}: {error}");
                    }
                }
            });
        }
    }

    #[test]
    fn a_value_that_is_not_finite_spoils_its_row_and_no_other() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = values(3 * 40, 1);
            x[45] = bad;
            each_product(&x, &values(2 * 40, 2), (3, 40, 2), |kernel, y| {
                assert!(y[2..4].iter().all(|y| !y.is_finite()), "{kernel}: {y:?}");
                assert!(
                    y[..2].iter().chain(&y[4..]).all(|y| y.is_finite()),
                    "{kernel}: {y:?}"
                );
            });
        }
    }
}
