//! Activations of a product with int8 weights, rounded to integers in steps of their own.

use pulp::Arch;
use pulp::bytemuck::{Pod, cast_slice, cast_slice_mut};

use super::math::{largest_magnitude, nearest_integer};
use super::row_order::RowOrder;
use super::threads::Threads;

/// Integers that activations are rounded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Integers {
    /// In pairs: rounding adds nothing to the error of the weights.
    Bits16,
    /// In quads, multiplied by weights to which 128 was added, as the instruction takes one of both without a sign.
    Bits8,
}

impl Integers {
    /// Of which so many make 32 bits.
    pub const fn group(self) -> usize {
        match self {
            Self::Bits16 => 2,
            Self::Bits8 => 4,
        }
    }

    /// What the largest activation of a block becomes.
    pub const fn largest(self) -> i32 {
        match self {
            Self::Bits16 => i16::MAX as i32,
            Self::Bits8 => i8::MAX as i32,
        }
    }

    /// What is added to weights.
    pub const fn weight_offset(self) -> i32 {
        match self {
            Self::Bits16 => 0,
            Self::Bits8 => 128,
        }
    }
}

/// How a kernel wants activations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rounding {
    pub integers: Integers,
    /// Values of a row that are counted in the same steps: the fewer, the less does a large one spoil others.
    pub block: usize,
    pub order: RowOrder,
}

/// Activations `[rows, inner]` as integers, in a kernel's [`RowOrder`]. Before the words of a tile come, for every block of the
/// inner dimension, the steps in which its rows are counted and what their sums of products begin with: `[blocks, 2, tile_rows]`.
///
/// A block with a value that is not finite is counted in NaN, so that its products are NaN.
#[derive(Clone, Copy)]
pub(super) struct QuantisedRows<'a> {
    /// Steps as they are, all else as bits.
    tiles: &'a [f32],
    rounding: Rounding,
    rows: usize,
    inner: usize,
}

/// What a kernel reads of a tile's rows in a block of the inner dimension.
pub(super) struct TileBlock<'a> {
    /// `[tile_rows]`
    pub steps: &'a [f32],
    /// `[tile_rows]`
    pub first_sums: &'a [i32],
    /// From the block's first word on.
    pub words: &'a [u32],
}

impl<'a> QuantisedRows<'a> {
    /// Values of f32 that such a matrix takes.
    pub fn length(rounding: Rounding, rows: usize, inner: usize) -> usize {
        rows.div_ceil(rounding.order.tile_rows) * rounding.tile_length(inner)
    }

    /// Of a row-major matrix `[rows, inner]`, in the first values of `memory`.
    pub fn quantise(
        rounding: Rounding,
        (matrix, rows, inner): (&[f32], usize, usize),
        memory: &'a mut [f32],
        threads: &Threads,
    ) -> Self {
        assert!(rows * inner <= matrix.len(), "matrix larger than its values");
        let tiles = &mut memory[..Self::length(rounding, rows, inner)];
        let tile_length = rounding.tile_length(inner).max(1);
        let tile_rows = rounding.order.tile_rows;
        threads.for_each_chunk(tiles, tile_length, 8 * rows * inner, |index, tile| {
            let first = index * tile_rows;
            let tile = cast_slice_mut(tile);
            for row in first..rows.min(first + tile_rows) {
                let values = &matrix[row * inner..][..inner];
                match rounding.integers {
                    Integers::Bits16 => {
                        rounding.quantise::<_, 2>(values, row - first, tile, |integer| integer as i16);
                    }
                    Integers::Bits8 => {
                        rounding.quantise::<_, 4>(values, row - first, tile, |integer| integer as i8);
                    }
                }
            }
        });
        Self {
            tiles,
            rounding,
            rows,
            inner,
        }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn inner(&self) -> usize {
        self.inner
    }

    pub fn tile(&self, index: usize, block: usize) -> TileBlock<'a> {
        let Rounding {
            integers,
            block: block_length,
            order: RowOrder { tile_rows, .. },
        } = self.rounding;
        let length = self.rounding.tile_length(self.inner);
        let header_length = 2 * self.rounding.blocks(self.inner) * tile_rows;
        let (header, words) = self.tiles[index * length..][..length].split_at(header_length);
        let (steps, first_sums) = header[2 * block * tile_rows..][..2 * tile_rows].split_at(tile_rows);
        TileBlock {
            steps,
            first_sums: cast_slice(first_sums),
            words: cast_slice(&words[block * block_length / integers.group() * tile_rows..]),
        }
    }
}

impl Rounding {
    /// A product over nothing has a block too.
    fn blocks(&self, inner: usize) -> usize {
        inner.div_ceil(self.block).max(1)
    }

    /// Words that a tile takes.
    fn tile_length(&self, inner: usize) -> usize {
        self.order.tile_rows * (2 * self.blocks(inner) + self.order.words(inner, self.integers.group()))
    }

    /// Writes a row of a tile.
    fn quantise<T: Pod, const GROUP: usize>(
        &self,
        values: &[f32],
        row: usize,
        tile: &mut [u32],
        integer: impl Fn(i32) -> T,
    ) {
        let tile_rows = self.order.tile_rows;
        let (header, words) = tile.split_at_mut(2 * self.blocks(values.len()) * tile_rows);
        header
            .iter_mut()
            .skip(row)
            .step_by(tile_rows)
            .for_each(|place| *place = 0);
        for (block, values) in values.chunks(self.block).enumerate() {
            let step = largest_magnitude(values) / self.integers.largest() as f32;
            let steps_a_unit = if step == 0.0 { 0.0 } else { step.recip() };
            let mut sum = 0i32;
            Arch::new().dispatch(
                #[inline(always)]
                || {
                    self.order.place::<T, GROUP>(
                        values,
                        row,
                        block * self.block / GROUP,
                        words,
                        #[inline(always)]
                        |values, quantised| {
                            for (quantised, value) in quantised.iter_mut().zip(values) {
                                let nearest = nearest_integer(value * steps_a_unit);
                                // Of a value that is not finite it is anything.
                                sum = sum.wrapping_add(nearest);
                                *quantised = integer(nearest);
                            }
                        },
                    );
                },
            );
            let header = &mut header[2 * block * tile_rows..];
            header[row] = step.to_bits();
            header[tile_rows + row] = sum.wrapping_mul(-self.integers.weight_offset()).cast_unsigned();
        }
    }
}
