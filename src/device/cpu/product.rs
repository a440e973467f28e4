//! Matrix products: `y = x · w`, cut into blocks that stay in the caches, each done by a kernel.
//!
//! Rows of `x` are packed for the kernel that reads them, `w` lies in panels of columns. A kernel holds a tile of `y` in
//! registers and goes along the inner dimension once. What all rows of a block meet next stays in the nearest cache, and
//! the block's rows in the second one (Goto and van de Geijn 2008).

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;

use super::threads::Threads;

/// Columns of a panel: one register of AVX-512, two of AVX2, four of NEON.
pub(super) const PANEL: usize = 16;
/// Rows of `x` that meet a block of `w` before the next ones: their part of the inner dimension stays in a second-level
/// cache that two threads share.
const ROW_BLOCK: usize = 144;
/// Rows left over for a last tile, up to which it is computed as a smaller one: that takes less time.
pub(super) const FEW_ROWS: usize = 4;
/// Columns of `w` that the rows of a block meet before they go on along the inner dimension.
const COLUMN_BLOCK: usize = 128;

/// The matrix `w` of a product, `[inner, columns]`, and the kernel that multiplies by it.
pub(super) trait Multiplier: Sync {
    /// The other matrix as the kernel reads it.
    type PackedRows<'x>: Copy + Sync;

    fn inner(&self) -> usize;

    fn columns(&self) -> usize;

    /// Rows of a panel that are read before the next panel's: they take at most half of a small first-level cache.
    fn inner_block(&self) -> usize;

    /// Rows of a tile of the result: a divisor of ROW_BLOCK.
    fn tile_rows(&self) -> usize;

    /// Values of f32 that so many rows of the other matrix take as the kernel reads them.
    fn packed_length(&self, rows: usize) -> usize;

    /// The row-major matrix `[rows, inner]` as the kernel reads it, in the first values of `memory`.
    fn pack<'x>(
        &self,
        matrix: &[f32],
        rows: usize,
        memory: &'x mut [f32],
        threads: &Threads,
    ) -> Self::PackedRows<'x>;

    /// Where a part of the inner dimension of a panel is read from.
    fn stored(&self, panel: usize, inner: Range<usize>) -> &[u8];

    /// `sums (+)= x · w` for some rows of `x`, from the first of a tile on, one panel of `w` and a part of the inner
    /// dimension, which begins at a multiple of [`Multiplier::inner_block`]. The first part overwrites what was in the
    /// sums, `[rows, PANEL]`. What is read `next` is asked for meanwhile.
    fn add_product(
        &self,
        x: Self::PackedRows<'_>,
        rows: Range<usize>,
        panel: usize,
        inner: Range<usize>,
        sums: &mut [f32],
        next: &[u8],
    );
}

/// Tiles of rows: where each begins, and how many rows it has.
#[inline(always)]
pub(super) fn tiles(rows: Range<usize>, tile: usize) -> impl Iterator<Item = (usize, usize)> {
    let end = rows.end;
    rows.step_by(tile).map(move |row| (row, tile.min(end - row)))
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

    /// `self = x · w`, `w` from the panel `first_panel` on: `[m, k]` and `[k, n]` to `[m, n]`. Then `finish` gets every
    /// row of every block of columns once, with the row's index and the first of those columns.
    pub fn assign_product<W: Multiplier>(
        &mut self,
        x: W::PackedRows<'_>,
        w: &W,
        first_panel: usize,
        finish: impl Fn(&mut [f32], usize, usize),
    ) {
        assert!(
            first_panel * PANEL + self.columns <= w.columns(),
            "columns of a product"
        );
        let blocks = self.rows.div_ceil(ROW_BLOCK).max(1);
        let row_block = self.rows.div_ceil(blocks).next_multiple_of(w.tile_rows());
        with_sums(|sums| {
            for first_row in (0..self.rows).step_by(row_block.max(1)) {
                let rows = first_row..self.rows.min(first_row + row_block);
                for first_column in (0..self.columns).step_by(COLUMN_BLOCK) {
                    let columns = first_column..self.columns.min(first_column + COLUMN_BLOCK);
                    let first_panel = first_panel + first_column / PANEL;
                    let sums = &mut sums[..columns.len().div_ceil(PANEL) * rows.len() * PANEL];
                    sum_block(x, w, rows.clone(), first_panel, sums);
                    self.write_block(rows.clone(), columns, sums, &finish);
                }
            }
        });
    }

    /// Sums `[panels, rows, PANEL]` to their places.
    fn write_block(
        &mut self,
        rows: Range<usize>,
        columns: Range<usize>,
        sums: &[f32],
        finish: impl Fn(&mut [f32], usize, usize),
    ) {
        let panel_length = rows.len() * PANEL;
        for (index, y) in self.rows().skip(rows.start).take(rows.len()).enumerate() {
            let y = &mut y[columns.clone()];
            let (panels, rest) = y.as_chunks_mut::<PANEL>();
            let mut sums = sums
                .chunks_exact(panel_length)
                .map(|panel| &panel.as_chunks::<PANEL>().0[index]);
            for (y, sums) in panels.iter_mut().zip(sums.by_ref()) {
                *y = *sums;
            }
            if let Some(sums) = sums.next() {
                rest.copy_from_slice(&sums[..rest.len()]);
            }
            finish(y, rows.start + index, columns.start);
        }
    }
}

/// `x · w` for some rows and some panels: sums `[panels, rows, PANEL]`.
fn sum_block<W: Multiplier>(
    x: W::PackedRows<'_>,
    w: &W,
    rows: Range<usize>,
    first_panel: usize,
    sums: &mut [f32],
) {
    let panels = sums.chunks_exact(rows.len() * PANEL).len();
    let part = |start: usize| start..w.inner().min(start + w.inner_block());
    // A product over nothing is zero, so there is always a first part.
    for start in (0..w.inner().max(1)).step_by(w.inner_block()) {
        let inner = part(start);
        for (panel, sums) in sums.chunks_exact_mut(rows.len() * PANEL).enumerate() {
            let next = if panel + 1 < panels {
                w.stored(first_panel + panel + 1, inner.clone())
            } else if inner.end < w.inner() {
                w.stored(first_panel, part(inner.end))
            } else {
                &[]
            };
            w.add_product(x, rows.clone(), first_panel + panel, inner.clone(), sums, next);
        }
    }
}

/// Calls `work` with this thread's own memory for the sums of a block.
fn with_sums(work: impl FnOnce(&mut [f32])) {
    thread_local! {
        static SUMS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    }
    SUMS.with_borrow_mut(|sums| {
        sums.resize(ROW_BLOCK * COLUMN_BLOCK, 0.0);
        work(sums);
    });
}

#[cfg(test)]
mod tests {
    use super::super::f32_kernel::PackedRows;
    use super::super::panels::{PackedColumns, pack_panel};
    use super::super::test_products::{product, values};
    use super::super::threads::Threads;
    use super::*;

    #[test]
    fn products_of_every_shape_agree_with_the_sum_of_products() {
        let threads = Threads::new(1).unwrap();
        for (rows, inner, columns) in [
            (1, 1, 1),
            (6, 16, 16),
            (13, 300, 33),
            (50, 257, 72),
            (300, 20, 150),
            (2, 600, 5),
            (3, 0, 4),
        ] {
            let (x, w) = (values(rows * inner, 1), values(inner * columns, 2));
            let mut packed = vec![0.0; PackedColumns::length(inner, columns)];
            for (panel, values) in packed.chunks_exact_mut((inner * PANEL).max(1)).enumerate() {
                pack_panel(&w, columns, panel * PANEL, values);
            }
            let w_panels = PackedColumns::new(&packed, inner, columns);
            let y = product(&x, &w_panels, rows, &threads);
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
        let rows = PackedRows::pack(&[1.0, 2.0], 2, 1, &mut rows, &Threads::new(1).unwrap());
        // SAFETY: the only tile.
        unsafe { tiles.tile(1..3, 1..2) }.assign_product(rows, &three, 0, |_, _, _| ());
        assert_eq!(values, [9.0, 9.0, 9.0, 9.0, 3.0, 9.0, 9.0, 6.0, 9.0]);
    }
}
