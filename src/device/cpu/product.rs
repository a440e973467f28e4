//! Matrix products: `y = x · w`, with `w` in panels that a kernel reads from front to back.
//!
//! The kernel holds a tile of `y` in registers and goes along the inner dimension once; `w` is cut so that what all rows
//! of `x` meet next stays in the nearest cache, and the rows of a tile lie interleaved, because rows that are a power of
//! two apart would push each other out of it (Goto and van de Geijn 2008).

use std::marker::PhantomData;
use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

/// Columns of a panel: one register of AVX-512, two of AVX2, four of NEON.
pub(super) const PANEL: usize = 16;
/// Rows of a panel that are read before the next panel's: 16 KiB, half of a small first-level cache.
pub(super) const INNER_BLOCK: usize = 256;

/// Memory for a part of a panel that has to be made first.
pub(super) type PanelPart = [f32; INNER_BLOCK * PANEL];

/// A matrix `[inner, columns]`, column panel by column panel: `[panels, inner, PANEL]`, zeros behind the last column.
pub(super) trait Panels: Sync {
    fn inner(&self) -> usize;

    fn columns(&self) -> usize;

    /// These rows of a panel, `[rows, PANEL]`; `part` is there to hold them.
    fn rows<'a>(&'a self, panel: usize, rows: Range<usize>, part: &'a mut PanelPart) -> &'a [f32];
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
    pub fn pack(matrix: &[f32], rows: usize, inner: usize, packed: &'a mut [f32]) -> Self {
        assert!(rows * inner <= matrix.len(), "matrix larger than its values");
        let tile = tile_rows();
        let packed = &mut packed[..Self::length(rows, inner)];
        for (index, packed) in packed.chunks_exact_mut((tile * inner).max(1)).enumerate() {
            let first = index * tile;
            for row in first..rows.min(first + tile) {
                let matrix = &matrix[row * inner..][..inner];
                for (packed, value) in packed[row - first..].iter_mut().step_by(tile).zip(matrix) {
                    *packed = *value;
                }
            }
        }
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

/// A matrix to write, alone; its rows lie `row_stride` values apart.
pub(super) struct MatrixMut<'a> {
    values: *mut f32,
    rows: usize,
    columns: usize,
    row_stride: usize,
    marker: PhantomData<&'a mut [f32]>,
}

/// A matrix whose tiles several threads fill side by side.
pub(super) struct Tiles<'a>(MatrixMut<'a>);

// SAFETY: the matrix is written only through `tile`, whose callers promise that no two threads hold the same values.
unsafe impl Sync for Tiles<'_> {}

impl<'a> Tiles<'a> {
    /// Rows without gaps.
    pub fn new(values: &'a mut [f32], rows: usize, columns: usize) -> Self {
        Self(MatrixMut::new(values, rows, columns))
    }

    /// These rows and columns, for writing.
    ///
    /// # Safety
    /// While the tile is in use nothing else reads or writes its values.
    pub unsafe fn tile(&self, rows: Range<usize>, columns: Range<usize>) -> MatrixMut<'_> {
        let whole = &self.0;
        assert!(
            rows.end <= whole.rows && columns.end <= whole.columns,
            "tile beyond the matrix"
        );
        MatrixMut {
            // SAFETY: the tile's first value is inside the matrix, or one past the end of an empty tile.
            values: unsafe { whole.values.add(rows.start * whole.row_stride + columns.start) },
            rows: rows.len(),
            columns: columns.len(),
            ..*whole
        }
    }
}

impl<'a> MatrixMut<'a> {
    /// Rows without gaps.
    pub fn new(values: &'a mut [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(
            values.len(),
            rows * columns,
            "values of a {rows} × {columns} matrix"
        );
        Self {
            values: values.as_mut_ptr(),
            rows,
            columns,
            row_stride: columns,
            marker: PhantomData,
        }
    }

    pub fn rows(&mut self) -> impl Iterator<Item = &mut [f32]> {
        let (values, columns, row_stride) = (self.values, self.columns, self.row_stride);
        (0..self.rows).map(move |row| {
            // SAFETY: every row is inside the values, rows do not overlap, and the borrow of self keeps them ours.
            unsafe { std::slice::from_raw_parts_mut(values.add(row * row_stride), columns) }
        })
    }

    /// `self = x · w`, `w` being the panels from `first_panel` on: `[m, k]` and `[k, n]` to `[m, n]`.
    pub fn assign_product(&mut self, x: PackedRows, w: &impl Panels, first_panel: usize) {
        let inner = w.inner();
        assert_eq!((x.rows, x.inner), (self.rows, inner), "shapes of a product");
        assert!(
            first_panel * PANEL + self.columns <= w.columns(),
            "columns of a product"
        );
        let mut part = [0.0; INNER_BLOCK * PANEL];
        for (index, start) in (0..self.columns).step_by(PANEL).enumerate() {
            // A product over nothing is zero, so there is always a first part.
            for inner_start in (0..inner.max(1)).step_by(INNER_BLOCK) {
                let inner_end = inner.min(inner_start + INNER_BLOCK);
                let panel = w.rows(first_panel + index, inner_start..inner_end, &mut part);
                Arch::new().dispatch(PanelProduct {
                    x,
                    inner_start,
                    panel,
                    columns: PANEL.min(self.columns - start),
                    // SAFETY: the panel's first column is inside the matrix.
                    y: unsafe { self.values.add(start) },
                    y_stride: self.row_stride,
                });
            }
        }
    }
}

/// `y (+)= x · panel` for all rows of `x`; the first part of the inner dimension overwrites what was in `y`.
struct PanelProduct<'a> {
    x: PackedRows<'a>,
    /// Where the panel's rows begin in the inner dimension.
    inner_start: usize,
    /// `[inner, PANEL]`
    panel: &'a [f32],
    /// Of `y`; at most PANEL.
    columns: usize,
    y: *mut f32,
    y_stride: usize,
}

impl WithSimd for PanelProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
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
    fn in_tiles<S: Simd, const TILE: usize, const VECTORS: usize>(&self, simd: S) {
        assert!(TILE == tile_rows_of::<S>() && VECTORS * S::F32_LANES == PANEL);
        assert!(self.inner_start + self.panel.len() / PANEL <= self.x.inner);
        let mut row = 0;
        while row + TILE <= self.x.rows {
            self.tile::<S, TILE, TILE, VECTORS>(simd, row);
            row += TILE;
        }
        // Whoever is left over goes in fewer and fewer rows.
        while row + 4 <= self.x.rows {
            self.tile::<S, TILE, 4, VECTORS>(simd, row);
            row += 4;
        }
        while row + 2 <= self.x.rows {
            self.tile::<S, TILE, 2, VECTORS>(simd, row);
            row += 2;
        }
        if row < self.x.rows {
            self.tile::<S, TILE, 1, VECTORS>(simd, row);
        }
    }

    /// Rows `row` to `row + ROWS`, which are of one tile.
    #[inline(always)]
    fn tile<S: Simd, const TILE: usize, const ROWS: usize, const VECTORS: usize>(&self, simd: S, row: usize) {
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
        let start = (row / TILE * self.x.inner + self.inner_start) * TILE + row % TILE;
        let mut x = self.x.values[start.min(self.x.values.len())..].as_ptr();
        let (panel, _) = self.panel.as_chunks::<PANEL>();
        for weights in panel {
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
        }
        for (r, sums) in sums.into_iter().enumerate() {
            // SAFETY: the row is inside the matrix, which is ours alone.
            unsafe { self.store(simd, self.y.add((row + r) * self.y_stride), sums) };
        }
    }

    /// # Safety
    /// `y` has `columns` values that nobody else holds.
    #[inline(always)]
    unsafe fn store<S: Simd, const VECTORS: usize>(&self, simd: S, y: *mut f32, sums: [S::f32s; VECTORS]) {
        let accumulate = self.inner_start > 0;
        if self.columns == PANEL {
            let y = y.cast::<S::f32s>();
            for (v, sum) in sums.into_iter().enumerate() {
                // SAFETY: PANEL values are VECTORS registers.
                unsafe {
                    let y = y.add(v);
                    y.write_unaligned(match accumulate {
                        true => simd.add_f32s(y.read_unaligned(), sum),
                        false => sum,
                    });
                }
            }
        } else {
            let sums: &[f32] = pulp::bytemuck::cast_slice(&sums);
            for (column, sum) in sums[..self.columns].iter().enumerate() {
                // SAFETY: one of the columns.
                unsafe { *y.add(column) = if accumulate { *y.add(column) + sum } else { *sum } };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::panels::{PackedColumns, pack_panel};
    use super::*;

    fn values(count: usize, seed: usize) -> Vec<f32> {
        let value = |index: usize| ((index * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0;
        (0..count).map(value).collect()
    }

    #[test]
    fn products_of_every_shape_agree_with_the_sum_of_products() {
        for (rows, inner, columns) in [
            (1, 1, 1),
            (6, 16, 16),
            (13, 300, 33),
            (50, 257, 72),
            (2, 600, 5),
            (3, 0, 4),
        ] {
            let (x, w) = (values(rows * inner, 1), values(inner * columns, 2));
            let mut packed = vec![0.0; PackedColumns::length(inner, columns)];
            for (panel, values) in packed.chunks_exact_mut((inner * PANEL).max(1)).enumerate() {
                pack_panel(&w, columns, panel * PANEL, values);
            }
            let w_panels = PackedColumns::new(&packed, inner, columns);
            let mut y = vec![9.0; rows * columns];
            let mut packed_rows = vec![0.0; PackedRows::length(rows, inner)];
            let packed_rows = PackedRows::pack(&x, rows, inner, &mut packed_rows);
            MatrixMut::new(&mut y, rows, columns).assign_product(packed_rows, &w_panels, 0);
            for row in 0..rows {
                for column in 0..columns {
                    let exact: f64 = (0..inner)
                        .map(|k| f64::from(x[row * inner + k]) * f64::from(w[k * columns + column]))
                        .sum();
                    let found = f64::from(y[row * columns + column]);
                    assert!((found - exact).abs() < 1e-4, "{rows} {inner} {columns}");
                }
            }
        }
    }

    #[test]
    fn a_tile_leaves_the_others_alone() {
        let mut values = [9.0; 9];
        let tiles = Tiles::new(&mut values, 3, 3);
        let mut packed = [0.0; PANEL];
        packed[0] = 3.0;
        let three = PackedColumns::new(&packed, 1, 1);
        let mut rows = vec![0.0; PackedRows::length(2, 1)];
        let rows = PackedRows::pack(&[1.0, 2.0], 2, 1, &mut rows);
        // SAFETY: the only tile.
        unsafe { tiles.tile(1..3, 1..2) }.assign_product(rows, &three, 0);
        assert_eq!(values, [9.0, 9.0, 9.0, 9.0, 3.0, 9.0, 9.0, 6.0, 9.0]);
    }
}
