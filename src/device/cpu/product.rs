//! Matrix products, by the `gemm` crate.

use std::marker::PhantomData;

/// A row-major matrix whose rows lie `row_stride` values apart.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows without gaps.
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert!(rows * columns <= values.len(), "matrix larger than its values");
        Self {
            values,
            rows,
            columns,
            row_stride: columns,
        }
    }
}

/// A matrix to write, alone.
pub(super) struct MatrixMut<'a> {
    values: *mut f32,
    rows: usize,
    columns: usize,
    row_stride: usize,
    marker: PhantomData<&'a mut [f32]>,
}

/// A matrix whose columns several threads fill side by side.
pub(super) struct Columns<'a>(MatrixMut<'a>);

// SAFETY: the matrix is written only through `block`, whose callers promise that no two threads hold the same columns.
unsafe impl Sync for Columns<'_> {}

impl<'a> Columns<'a> {
    /// Rows without gaps.
    pub fn new(values: &'a mut [f32], rows: usize, columns: usize) -> Self {
        Self(MatrixMut::new(values, rows, columns))
    }

    /// The columns from `start` on, `columns` wide, for writing.
    ///
    /// # Safety
    /// While the block is in use nothing else reads or writes these columns.
    pub unsafe fn block(&self, start: usize, columns: usize) -> MatrixMut<'_> {
        let whole = &self.0;
        assert!(start + columns <= whole.columns, "block beyond the last column");
        MatrixMut {
            // SAFETY: `start` is at most the width of the first row, which is inside the values or one past them.
            values: unsafe { whole.values.add(start) },
            columns,
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

    /// `self = scale · lhs · rhsᵀ`: `[m, k]` and `[n, k]` to `[m, n]`.
    pub fn assign_product_transposed(&mut self, lhs: Matrix, rhs: Matrix, scale: f32) {
        assert_eq!(
            (lhs.rows, rhs.rows, lhs.columns),
            (self.rows, self.columns, rhs.columns),
            "shapes of a product"
        );
        self.assign(lhs, rhs, (1, rhs.row_stride as isize), scale);
    }

    /// `self = lhs · rhs`: `[m, k]` and `[k, n]` to `[m, n]`.
    pub fn assign_product(&mut self, lhs: Matrix, rhs: Matrix) {
        assert_eq!(
            (lhs.rows, rhs.columns, lhs.columns),
            (self.rows, self.columns, rhs.rows),
            "shapes of a product"
        );
        self.assign(lhs, rhs, (rhs.row_stride as isize, 1), 1.0);
    }

    /// `rhs_strides`: of the inner dimension and of the output's columns.
    fn assign(&mut self, lhs: Matrix, rhs: Matrix, rhs_strides: (isize, isize), scale: f32) {
        // SAFETY: all three matrices are inside their values (checked where they are made), the shapes fit
        // (checked by the callers), and the destination is ours alone.
        unsafe {
            gemm::gemm(
                self.rows,
                self.columns,
                lhs.columns,
                self.values,
                1,
                self.row_stride as isize,
                false,
                lhs.values.as_ptr(),
                1,
                lhs.row_stride as isize,
                rhs.values.as_ptr(),
                rhs_strides.1,
                rhs_strides.0,
                0.0,
                scale,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_agree_with_hand_computed_ones() {
        let lhs = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let rhs = [1.0, 0.0, -1.0, 2.0, 1.0, 0.5];
        let mut product = [0.0; 4];
        MatrixMut::new(&mut product, 2, 2).assign_product_transposed(
            Matrix::new(&lhs, 2, 3),
            Matrix::new(&rhs, 2, 3),
            2.0,
        );
        assert_eq!(product, [-4.0, 11.0, -4.0, 32.0]);
        let mut product = [0.0; 4];
        MatrixMut::new(&mut product, 2, 2).assign_product(Matrix::new(&lhs, 2, 3), Matrix::new(&rhs, 3, 2));
        assert_eq!(product, [2.0, 5.5, 5.0, 13.0]);
    }

    #[test]
    fn a_block_of_columns_leaves_the_others_alone() {
        let mut values = [9.0; 6];
        let columns = Columns::new(&mut values, 2, 3);
        // SAFETY: the only block.
        unsafe { columns.block(1, 1) }.assign_product_transposed(
            Matrix::new(&[1.0, 2.0], 2, 1),
            Matrix::new(&[3.0], 1, 1),
            1.0,
        );
        assert_eq!(values, [9.0, 3.0, 9.0, 9.0, 6.0, 9.0]);
    }
}
