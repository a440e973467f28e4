//! Activations as a kernel reads them: in tiles of rows, converted to the kernel's operands.

use bytemuck::{Pod, cast_slice, cast_slice_mut};

use super::kernel::{Kernel, Operands};
use super::math::{largest_magnitude, nearest_integer, to_bf16};
use super::prefetch::ask_for_all;
use super::threads::Threads;
use crate::device::vectorised::vectorised;

/// Elementary operations that reading, converting and storing an activation take: it comes from another
/// core's cache.
const OPERATIONS_A_VALUE: usize = 64;

/// Activations `[rows, inner]` in a kernel's [`RowOrder`], tile by tile.
///
/// Where they are integers, every tile begins with the quantisation steps of each block of its rows, and with
/// the values that the accumulators begin with: `[blocks, 2, tile_rows]`. The step of a block with a value
/// that is not finite is NaN, so that its products are NaN.
#[derive(Clone, Copy)]
pub(super) struct PackedRows<'a> {
    /// Steps and f32 as such, everything else as bits.
    tiles: &'a [f32],
    kernel: &'static Kernel,
    rows: usize,
    inner: usize,
    /// Words of a tile before its activations.
    header_length: usize,
    tile_length: usize,
}

/// A tile of rows.
#[derive(Clone, Copy)]
pub(super) struct Tile<'a> {
    header: &'a [f32],
    /// `[words / run, tile_rows, run]`
    pub words: &'a [u32],
}

impl<'a> Tile<'a> {
    /// Steps and initial accumulators of a block, each `[tile_rows]`.
    #[inline]
    pub fn quantisation(&self, block: usize, tile_rows: usize) -> (&'a [f32], &'a [i32]) {
        let (steps, first_sums) = self.header[2 * block * tile_rows..][..2 * tile_rows].split_at(tile_rows);
        (steps, cast_slice(first_sums))
    }
}

impl<'a> PackedRows<'a> {
    /// Memory for such a matrix, in values of f32.
    pub fn length(kernel: &Kernel, rows: usize, inner: usize) -> usize {
        rows.div_ceil(kernel.order.tile_rows) * tile_length(kernel, inner)
    }

    /// Packs a row-major matrix `[rows, inner]` into the first values of `memory`.
    pub fn pack(
        kernel: &'static Kernel,
        (matrix, rows, inner): (&[f32], usize, usize),
        memory: &'a mut [f32],
        threads: &Threads,
    ) -> Self {
        assert!(rows * inner <= matrix.len(), "matrix larger than its values");
        let tiles = &mut memory[..Self::length(kernel, rows, inner)];
        let tile_rows = kernel.order.tile_rows;
        let tile_length = tile_length(kernel, inner);
        let operations = OPERATIONS_A_VALUE * rows * inner;
        threads.for_each_chunk(tiles, tile_length.max(1), operations, |index, tile| {
            let first = index * tile_rows;
            let tile = cast_slice_mut(tile);
            for row in first..rows.min(first + tile_rows) {
                let values = &matrix[row * inner..][..inner];
                match kernel.operands {
                    Operands::F32 => {
                        kernel
                            .order
                            .place_row::<u32, 1>(values, row - first, tile, f32::to_bits)
                    }
                    Operands::Bf16 => kernel
                        .order
                        .place_row::<u16, 2>(values, row - first, tile, to_bf16),
                    Operands::Int16 => {
                        quantise::<i16, 2>(kernel, values, row - first, tile, |value| value as i16)
                    }
                    Operands::Int8 => {
                        quantise::<i8, 4>(kernel, values, row - first, tile, |value| value as i8)
                    }
                }
            }
        });
        Self {
            tiles,
            kernel,
            rows,
            inner,
            header_length: header_length(kernel, inner),
            tile_length,
        }
    }

    pub fn kernel(&self) -> &'static Kernel {
        self.kernel
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn inner(&self) -> usize {
        self.inner
    }

    #[inline]
    pub fn tile(&self, index: usize) -> Tile<'a> {
        let tile = &self.tiles[index * self.tile_length..][..self.tile_length];
        let (header, words) = tile.split_at(self.header_length);
        Tile {
            header,
            words: cast_slice(words),
        }
    }
}

/// Words of a tile before its activations.
fn header_length(kernel: &Kernel, inner: usize) -> usize {
    match kernel.operands.is_quantised() {
        // A product over nothing has a block too.
        true => 2 * kernel.order.tile_rows * inner.div_ceil(kernel.quantisation_block).max(1),
        false => 0,
    }
}

fn tile_length(kernel: &Kernel, inner: usize) -> usize {
    let words = kernel.order.words(inner, kernel.operands.group());
    header_length(kernel, inner) + kernel.order.tile_rows * words
}

/// Writes a row of a tile, each block of its values quantised with a step of its own.
fn quantise<T: Pod, const GROUP: usize>(
    kernel: &Kernel,
    values: &[f32],
    row: usize,
    tile: &mut [u32],
    integer: impl Fn(i32) -> T,
) {
    let Kernel {
        operands,
        quantisation_block,
        order,
        ..
    } = *kernel;
    let tile_rows = order.tile_rows;
    let (header, words) = tile.split_at_mut(header_length(kernel, values.len()));
    header
        .iter_mut()
        .skip(row)
        .step_by(tile_rows)
        .for_each(|word| *word = 0);
    for (block, start) in (0..values.len()).step_by(quantisation_block).enumerate() {
        let (values, behind) = values[start..].split_at(quantisation_block.min(values.len() - start));
        ask_for_all(&behind[..quantisation_block.min(behind.len())]);
        let step = largest_magnitude(values) / operands.largest() as f32;
        let steps_a_unit = if step == 0.0 { 0.0 } else { step.recip() };
        let mut sum = 0i32;
        vectorised!({
            order.place::<T, GROUP>(
                values,
                row,
                start / GROUP,
                words,
                #[inline(always)]
                |value| {
                    let nearest = nearest_integer(value * steps_a_unit);
                    // Of a value that is not finite it is anything.
                    sum = sum.wrapping_add(nearest);
                    integer(nearest)
                },
            );
        });
        let header = &mut header[2 * block * tile_rows..];
        header[row] = step.to_bits();
        header[tile_rows + row] = sum.wrapping_mul(-operands.weight_offset()).cast_unsigned();
    }
}
