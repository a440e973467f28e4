//! Operands of one call of a kernel.

use std::ops::Range;

use super::packed_rows::PackedRows;
use super::prefetch::Prefetch;

/// `sums (+)= x · weights` for some rows, one panel or two, and a part of the inner dimension.
pub(super) struct Part<'a> {
    pub x: PackedRows<'a>,
    pub rows: Range<usize>,
    /// Part of the inner dimension, which begins at a multiple of the kernel's `inner_block`.
    pub inner: Range<usize>,
    /// Weights of each panel, `[inner / group, PANEL, group]`.
    pub weights: &'a [&'a [u8]],
    /// `[panels, rows, PANEL]`; overwritten by the first part of the inner dimension.
    pub sums: &'a mut [f32],
    pub prefetch: Prefetch<'a>,
}
