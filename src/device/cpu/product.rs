//! Matrix products: `y = x · w`, cut into blocks that stay in the caches, each done by a kernel.
//!
//! Rows of `x` are packed for the kernel that reads them, `w` lies in panels of columns. A kernel holds a
//! tile of `y` in registers and goes along the inner dimension once. The part of `w` that all rows of a block
//! are multiplied by stays in the nearest cache, and the block's rows in the second one (Goto and van de
//! Geijn 2008).

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;

use super::kernel::{MOST_PANELS_AT_ONCE, PANEL};
use super::packed_rows::PackedRows;
use super::panels::Panels;
use super::part::Part;
use super::prefetch::{Prefetch, ask_for_all};
use super::tensor::with_memory;
use crate::device::vectorised::vectorised;

/// Columns of a block at most, of all sets together.
const MOST_COLUMNS: usize = 256;

/// A matrix that one thread writes; its rows lie `row_stride` values apart.
pub(super) struct MatrixMut<'a> {
    values: *mut f32,
    rows: usize,
    columns: usize,
    row_stride: usize,
    marker: PhantomData<&'a mut [f32]>,
}

/// A matrix whose parts several threads fill side by side.
pub(super) struct SharedMatrix<'a>(MatrixMut<'a>);

// SAFETY: the matrix is written only through `part`, whose callers promise that no two threads hold the same
// values.
unsafe impl Sync for SharedMatrix<'_> {}

impl<'a> SharedMatrix<'a> {
    /// A matrix whose rows have no gaps.
    pub fn new(values: &'a mut [f32], rows: usize, columns: usize) -> Self {
        Self(MatrixMut::new(values, rows, columns))
    }

    /// Borrows a range of rows and columns for writing.
    ///
    /// # Safety
    /// While the part is in use nothing else reads or writes its values.
    pub unsafe fn part(&self, rows: Range<usize>, columns: Range<usize>) -> MatrixMut<'_> {
        let whole = &self.0;
        assert!(
            rows.end <= whole.rows && columns.end <= whole.columns,
            "part beyond the matrix"
        );
        MatrixMut {
            // SAFETY: the part's first value is inside the matrix, or one past the end of an empty part.
            values: unsafe { whole.values.add(rows.start * whole.row_stride + columns.start) },
            rows: rows.len(),
            columns: columns.len(),
            ..*whole
        }
    }
}

impl<'a> MatrixMut<'a> {
    /// A matrix whose rows have no gaps.
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

    fn rows(&mut self) -> impl Iterator<Item = &mut [f32]> {
        let (values, columns, row_stride) = (self.values, self.columns, self.row_stride);
        (0..self.rows).map(move |row| {
            // SAFETY: every row is inside the values, rows do not overlap, and the borrow of self keeps them
            // ours.
            unsafe { std::slice::from_raw_parts_mut(values.add(row * row_stride), columns) }
        })
    }
}

/// `x · w` with an epilogue: `finish` writes some columns of a row, of which it gets the values to write, the
/// products with each of SETS sets of columns of `w`, the row and the first column.
pub(super) struct Product<'a, W, F, const SETS: usize> {
    x: PackedRows<'a>,
    w: &'a W,
    finish: F,
}

impl<'a, W: Panels, F: Fn(&mut [f32], [&[f32]; SETS], usize, usize), const SETS: usize>
    Product<'a, W, F, SETS>
{
    /// The columns of `w` are SETS sets of equally many; those of several sets fill whole panels.
    pub fn new(x: PackedRows<'a>, w: &'a W, finish: F) -> Self {
        assert!(
            SETS == 1 || w.columns().is_multiple_of(SETS * PANEL),
            "sets of whole panels"
        );
        Self { x, w, finish }
    }

    /// Columns of a set.
    pub fn columns(&self) -> usize {
        self.w.columns() / SETS
    }

    /// Fills a part of the result that begins with these rows and columns; the first column is a panel's.
    pub fn fill(&self, mut y: MatrixMut, first_row: usize, first_column: usize) {
        assert!(
            first_column.is_multiple_of(PANEL) && first_column + y.columns <= self.columns(),
            "columns of a product"
        );
        let kernel = self.w.kernel();
        let blocks = y.rows.div_ceil(kernel.row_block).max(1);
        let row_block = y.rows.div_ceil(blocks).next_multiple_of(kernel.order.tile_rows);
        assert!(kernel.column_block <= MOST_COLUMNS, "columns of a block");
        let column_block = kernel.column_block / SETS;
        with_memory(&SUMS, row_block * kernel.column_block, |sums| {
            for column in (0..y.columns).step_by(column_block) {
                for row in (0..y.rows).step_by(row_block.max(1)) {
                    let rows = row..y.rows.min(row + row_block);
                    let packed_rows = first_row + rows.start..first_row + rows.end;
                    let columns = column..y.columns.min(column + column_block);
                    let panels =
                        (first_column + column) / PANEL..(first_column + columns.end).div_ceil(PANEL);
                    let sums = &mut sums[..SETS * panels.len() * rows.len() * PANEL];
                    let mut written = y.rows().skip(rows.start).take(rows.len());
                    self.sum_block(packed_rows.clone(), panels.clone(), sums, |share| {
                        for y in written.by_ref().take(share) {
                            ask_for_all(&y[columns.clone()]);
                        }
                    });
                    drop(written);
                    self.write_block(&mut y, (rows.clone(), columns), packed_rows.start, panels, sums);
                }
            }
        });
    }

    /// Panel of each index of a block's accumulators: one of every set, then the next of each.
    fn panel(&self, first_panel: usize, index: usize) -> usize {
        first_panel + index / SETS + index % SETS * (self.columns() / PANEL)
    }

    /// `x · w` for some rows and some panels of every set: `[panels, sets, rows, PANEL]`. Meanwhile `ask` is
    /// called again and again to prefetch a share of the rows that the results will be written to.
    fn sum_block(
        &self,
        rows: Range<usize>,
        panels: Range<usize>,
        sums: &mut [f32],
        mut ask: impl FnMut(usize),
    ) {
        let kernel = self.w.kernel();
        let (count, at_once) = (SETS * panels.len(), kernel.panels_at_once);
        let parts = count.div_ceil(at_once) * self.w.inner().div_ceil(kernel.inner_block).max(1);
        let rows_a_part = rows.len().div_ceil(parts);
        let part = |start: usize| start..self.w.inner().min(start + kernel.inner_block);
        let mut indices = [0; MOST_PANELS_AT_ONCE];
        // A product over nothing is zero, so there is always a first part.
        for start in (0..self.w.inner().max(1)).step_by(kernel.inner_block) {
            let inner = part(start);
            for (index, sums) in (0..count)
                .step_by(at_once)
                .zip(sums.chunks_mut(at_once * rows.len() * PANEL))
            {
                let indices = &mut indices[..at_once.min(count - index)];
                for (offset, panel) in indices.iter_mut().enumerate() {
                    *panel = self.panel(panels.start, index + offset);
                }
                let (next_index, next_inner) = match index + at_once < count {
                    true => (index + at_once, inner.clone()),
                    false => (0, part(inner.end)),
                };
                let mut next: [&[u8]; MOST_PANELS_AT_ONCE] = [&[]; MOST_PANELS_AT_ONCE];
                for (offset, next) in next.iter_mut().take(at_once.min(count - next_index)).enumerate() {
                    if !next_inner.is_empty() {
                        *next = self
                            .w
                            .stored(self.panel(panels.start, next_index + offset), next_inner.clone());
                    }
                }
                self.w.with_parts(indices, inner.clone(), |weights| {
                    kernel.add_product(Part {
                        x: self.x,
                        rows: rows.clone(),
                        inner: inner.clone(),
                        weights,
                        sums,
                        prefetch: Prefetch::new(next, rows.len().div_ceil(kernel.order.tile_rows)),
                    });
                });
                ask(rows_a_part);
            }
        }
    }

    /// Copies the accumulators of a block to their rows and columns of `y`.
    fn write_block(
        &self,
        y: &mut MatrixMut,
        (rows, columns): (Range<usize>, Range<usize>),
        first_row: usize,
        panels: Range<usize>,
        sums: &[f32],
    ) {
        let (sums, _) = sums.as_chunks::<PANEL>();
        let panel = |index: usize, set: usize| self.panel(panels.start, index * SETS + set);
        let steps = self.w.column_steps(panels.start).is_some().then(|| {
            let mut steps = [[0.0; MOST_COLUMNS]; SETS];
            for (set, steps) in steps.iter_mut().enumerate() {
                for (index, steps) in (0..panels.len()).zip(steps.as_chunks_mut().0) {
                    *steps = *self
                        .w
                        .column_steps(panel(index, set))
                        .expect("steps of every panel");
                }
            }
            steps
        });
        let mut gathered = [[0.0; MOST_COLUMNS]; SETS];
        vectorised!({
            for (offset, y) in y.rows().skip(rows.start).take(rows.len()).enumerate() {
                for (set, gathered) in gathered.iter_mut().enumerate() {
                    let sums = sums
                        .iter()
                        .skip(set * rows.len() + offset)
                        .step_by(SETS * rows.len());
                    for (gathered, sums) in gathered.chunks_exact_mut(PANEL).zip(sums) {
                        gathered.copy_from_slice(sums);
                    }
                    if let Some(steps) = &steps {
                        for (value, step) in gathered[..columns.len()].iter_mut().zip(&steps[set]) {
                            *value *= step;
                        }
                    }
                }
                let sums = gathered.each_ref().map(|gathered| &gathered[..columns.len()]);
                (self.finish)(
                    &mut y[columns.clone()],
                    sums,
                    first_row + offset,
                    panels.start * PANEL,
                );
            }
        });
    }
}

thread_local! {
    /// Accumulators of a block.
    static SUMS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

#[cfg(test)]
mod tests {
    use super::super::kernel::Kernel;
    use super::super::kernel_level::KernelLevel;
    use super::super::panels::{PackedColumns, pack_panel};
    use super::super::precision::Precision;
    use super::super::threads::Threads;
    use super::*;

    /// `count` values from −1 to 1 without a pattern that a product could hide; others for every `seed`.
    fn values(count: usize, seed: usize) -> Vec<f32> {
        let value = |index: usize| ((index * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0;
        (0..count).map(value).collect()
    }

    fn copied(y: &mut [f32], [products]: [&[f32]; 1], _: usize, _: usize) {
        y.copy_from_slice(products);
    }

    fn packed_columns(kernel: &'static Kernel, w: &[f32], inner: usize, columns: usize) -> Vec<f32> {
        let mut packed = vec![f32::NAN; PackedColumns::length(kernel, inner, columns)];
        let panel_length = PackedColumns::panel_length(kernel, inner).max(1);
        for (panel, packed) in packed.chunks_exact_mut(panel_length).enumerate() {
            pack_panel(kernel, w, columns, panel * PANEL, packed);
        }
        packed
    }

    #[test]
    fn parts_that_begin_anywhere_are_those_of_the_whole_product() {
        let threads = Threads::new(1).unwrap();
        let (rows, inner, columns) = (61, 530, 100);
        let (x, w) = (values(rows * inner, 1), values(inner * columns, 2));
        for level in KernelLevel::available() {
            let kernel = level.kernel(Precision::F32);
            let packed = packed_columns(kernel, &w, inner, columns);
            let w = PackedColumns::new(kernel, &packed, inner, columns);
            let mut memory = vec![f32::NAN; PackedRows::length(kernel, rows, inner)];
            let x = PackedRows::pack(kernel, (&x, rows, inner), &mut memory, &threads);
            let product = Product::new(x, &w, copied);
            let mut whole = vec![9.0; rows * columns];
            product.fill(MatrixMut::new(&mut whole, rows, columns), 0, 0);
            for first_row in (0..rows).step_by(kernel.row_unit) {
                for (first_column, width) in [(0, 16), (16, 48), (32, 68), (96, 4)] {
                    let mut values = vec![9.0; rows * columns];
                    let shared = SharedMatrix::new(&mut values, rows, columns);
                    let count = 13.min(rows - first_row);
                    // SAFETY: the only part.
                    let part = unsafe {
                        shared.part(first_row..first_row + count, first_column..first_column + width)
                    };
                    product.fill(part, first_row, first_column);
                    for (index, value) in values.iter().enumerate() {
                        let (row, column) = (index / columns, index % columns);
                        let is_in_part = (first_row..first_row + count).contains(&row)
                            && (first_column..first_column + width).contains(&column);
                        let expected = if is_in_part { whole[index] } else { 9.0 };
                        assert_eq!(*value, expected, "{level}, row {row}, column {column}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_product_over_nothing_is_zero() {
        let threads = Threads::new(1).unwrap();
        let kernel = KernelLevel::fastest().kernel(Precision::F32);
        let w = PackedColumns::new(kernel, &[], 0, 4);
        let x = PackedRows::pack(kernel, (&[], 3, 0), &mut [], &threads);
        let mut y = [9.0; 12];
        Product::new(x, &w, copied).fill(MatrixMut::new(&mut y, 3, 4), 0, 0);
        assert_eq!(y, [0.0; 12]);
    }
}
