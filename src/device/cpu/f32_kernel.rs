//! The kernel of products in f32, for weights of any type that widens to it.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::prefetch::Prefetch;
use super::product::{FEW_ROWS, Multiplier, PANEL, tiles};
use super::threads::Threads;

/// Rows of a panel that are met at once: 16 KiB.
pub(super) const INNER_BLOCK: usize = 256;

/// A matrix `[inner, columns]`, column panel by column panel: `[panels, inner, PANEL]`, zeros behind the last column.
pub(super) trait Panels: Sync {
    fn inner(&self) -> usize;

    fn columns(&self) -> usize;

    /// Where these rows of a panel are read from.
    fn stored(&self, panel: usize, rows: Range<usize>) -> &[u8];

    /// Calls `work` with these rows of a panel, `[rows, PANEL]`.
    fn with_rows(&self, panel: usize, rows: Range<usize>, work: impl FnOnce(&[f32]));
}

/// A matrix `[rows, inner]` in the order in which the kernel reads it: `[rows / tile, inner, tile]`.
#[derive(Clone, Copy)]
pub(super) struct PackedRows<'a> {
    values: &'a [f32],
    rows: usize,
    inner: usize,
}

impl<'a> PackedRows<'a> {
    /// Values that such a matrix takes.
    pub fn length(rows: usize, inner: usize) -> usize {
        rows.next_multiple_of(tile_rows()) * inner
    }

    /// Of a row-major matrix `[rows, inner]`, in the first values of `packed`.
    pub fn pack(matrix: &[f32], rows: usize, inner: usize, packed: &'a mut [f32], threads: &Threads) -> Self {
        assert!(rows * inner <= matrix.len(), "matrix larger than its values");
        let tile = tile_rows();
        let packed = &mut packed[..Self::length(rows, inner)];
        threads.for_each_chunk(
            packed,
            (tile * inner).max(1),
            4 * rows * inner,
            |index, packed| {
                let first = index * tile;
                for row in first..rows.min(first + tile) {
                    let matrix = &matrix[row * inner..][..inner];
                    for (packed, value) in packed[row - first..].iter_mut().step_by(tile).zip(matrix) {
                        *packed = *value;
                    }
                }
            },
        );
        Self {
            values: packed,
            rows,
            inner,
        }
    }
}

/// Rows of a tile on this machine.
fn tile_rows() -> usize {
    struct TileRows;
    impl WithSimd for TileRows {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            tile_rows_of::<S>()
        }
    }
    Arch::new().dispatch(TileRows)
}

/// Accumulators, a row of the panel and a broadcast fill the registers.
const fn tile_rows_of<S: Simd>() -> usize {
    match S::F32_LANES {
        16 => 12,
        8 => 6,
        4 => 4,
        _ => 1,
    }
}

impl<P: Panels> Multiplier for P {
    type PackedRows<'x> = PackedRows<'x>;

    fn inner(&self) -> usize {
        Panels::inner(self)
    }

    fn columns(&self) -> usize {
        Panels::columns(self)
    }

    fn inner_block(&self) -> usize {
        INNER_BLOCK
    }

    fn tile_rows(&self) -> usize {
        tile_rows()
    }

    fn packed_length(&self, rows: usize) -> usize {
        PackedRows::length(rows, Panels::inner(self))
    }

    fn pack<'x>(
        &self,
        matrix: &[f32],
        rows: usize,
        memory: &'x mut [f32],
        threads: &Threads,
    ) -> PackedRows<'x> {
        PackedRows::pack(matrix, rows, Panels::inner(self), memory, threads)
    }

    fn stored(&self, panel: usize, inner: Range<usize>) -> &[u8] {
        Panels::stored(self, panel, inner)
    }

    fn add_product(
        &self,
        x: PackedRows,
        rows: Range<usize>,
        panel: usize,
        inner: Range<usize>,
        sums: &mut [f32],
        next: &[u8],
    ) {
        assert!(
            x.inner == Panels::inner(self) && rows.start.is_multiple_of(tile_rows()) && rows.end <= x.rows,
            "shapes of a product"
        );
        let inner_start = inner.start;
        let prefetch = Prefetch::new(next, rows.len().div_ceil(tile_rows()));
        self.with_rows(panel, inner, |panel| {
            Arch::new().dispatch(PanelProduct {
                x,
                rows,
                inner_start,
                panel,
                sums,
                prefetch,
            });
        });
    }
}

/// `sums (+)= x · panel` for some rows.
struct PanelProduct<'a> {
    x: PackedRows<'a>,
    rows: Range<usize>,
    /// Where the panel's rows begin in the inner dimension.
    inner_start: usize,
    /// `[inner, PANEL]`
    panel: &'a [f32],
    /// `[rows, PANEL]`
    sums: &'a mut [f32],
    prefetch: Prefetch<'a>,
}

impl WithSimd for PanelProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        match S::F32_LANES {
            16 => self.in_tiles::<S, 12, 1>(simd),
            8 => self.in_tiles::<S, 6, 2>(simd),
            4 => self.in_tiles::<S, 4, 4>(simd),
            _ => self.in_tiles::<S, 1, PANEL>(simd),
        }
    }
}

impl PanelProduct<'_> {
    #[inline(always)]
    fn in_tiles<S: Simd, const TILE: usize, const VECTORS: usize>(&mut self, simd: S) {
        assert!(TILE == tile_rows_of::<S>() && VECTORS * S::F32_LANES == PANEL);
        assert!(self.inner_start + self.panel.len() / PANEL <= self.x.inner);
        for (row, rows) in tiles(self.rows.clone(), TILE) {
            self.prefetch.next_share();
            if FEW_ROWS < TILE && rows <= FEW_ROWS {
                self.tile::<S, TILE, FEW_ROWS, VECTORS>(simd, row, rows);
            } else {
                self.tile::<S, TILE, TILE, VECTORS>(simd, row, rows);
            }
        }
    }

    /// The first `rows` of the tile that begins at `row`. Others up to COMPUTED are computed of whatever the memory holds.
    #[inline(always)]
    fn tile<S: Simd, const TILE: usize, const COMPUTED: usize, const VECTORS: usize>(
        &mut self,
        simd: S,
        row: usize,
        rows: usize,
    ) {
        assert!(COMPUTED <= TILE);
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; COMPUTED];
        let start = (row / TILE * self.x.inner + self.inner_start) * TILE;
        let mut x = self.x.values[start.min(self.x.values.len())..].as_ptr();
        let mut add = |weights: &[f32; PANEL]| {
            // No arithmetic on indices in the loop: in this project that of releases is checked too.
            let weights = weights.as_ptr().cast::<S::f32s>();
            // SAFETY: PANEL values are VECTORS registers.
            let weights: [S::f32s; VECTORS] =
                std::array::from_fn(|v| unsafe { weights.add(v).read_unaligned() });
            for (r, sums) in sums.iter_mut().enumerate() {
                // SAFETY: the packed rows of this tile reach to `x.inner`, which the panel does not exceed.
                let x = simd.splat_f32s(unsafe { *x.add(r) });
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = simd.mul_add_f32s(x, weights, *sum);
                }
            }
            x = x.wrapping_add(TILE);
        };
        let (panel, _) = self.panel.as_chunks::<PANEL>();
        // Four at a time: processors foresee where a short loop ends.
        let (fours, rest) = panel.as_chunks::<4>();
        for [a, b, c, d] in fours {
            add(a);
            add(b);
            add(c);
            add(d);
        }
        rest.iter().for_each(add);
        let (y, _) = self.sums[(row - self.rows.start) * PANEL..].as_chunks_mut::<PANEL>();
        for (y, sums) in y[..rows].iter_mut().zip(sums) {
            let y = y.as_mut_ptr().cast::<S::f32s>();
            for (v, sum) in sums.into_iter().enumerate() {
                // SAFETY: PANEL values are VECTORS registers.
                unsafe {
                    let y = y.add(v);
                    y.write_unaligned(match self.inner_start {
                        0 => sum,
                        _ => simd.add_f32s(y.read_unaligned(), sum),
                    });
                }
            }
        }
    }
}
