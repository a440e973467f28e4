//! Activations of a product with int8 weights: rounded to 16 bits, each row in steps of its own largest value, which adds
//! nothing to the error of the weights.

use pulp::Arch;
use pulp::bytemuck::{cast_slice, cast_slice_mut};

use super::math::{largest_magnitude, nearest_integer};
use super::product::{PANEL, tile_rows};
use super::threads::Threads;

/// Weights and activations lie in pairs along the inner dimension, 32 bits of activations together.
pub(super) const PAIR: usize = 2;

/// What the largest activation of a row becomes.
pub(super) const LARGEST: i16 = i16::MAX;

/// Activations `[rows, inner]` as integers, in the order in which the kernel reads them: a tile of rows after the other,
/// first what each row is counted in, then the rows' pairs, `[inner / 2, tile, 2]`, with a zero behind an odd last one.
///
/// A row with a value that is not finite is counted in NaN, so that its products are NaN.
#[derive(Clone, Copy)]
pub(super) struct QuantisedRows<'a> {
    /// Steps as they are, each pair as the bits of one value.
    tiles: &'a [f32],
    tile_rows: usize,
    rows: usize,
    inner: usize,
}

impl<'a> QuantisedRows<'a> {
    /// Values of f32 that such a matrix takes.
    pub fn length(rows: usize, inner: usize) -> usize {
        let tile_rows = tile_rows();
        rows.div_ceil(tile_rows) * tile_length(tile_rows, inner)
    }

    /// Of a row-major matrix `[rows, inner]`, in the first values of `memory`.
    pub fn quantise(
        matrix: &[f32],
        rows: usize,
        inner: usize,
        memory: &'a mut [f32],
        threads: &Threads,
    ) -> Self {
        assert!(rows * inner <= matrix.len(), "matrix larger than its values");
        let tile_rows = tile_rows();
        let tiles = &mut memory[..Self::length(rows, inner)];
        threads.for_each_chunk(
            tiles,
            tile_length(tile_rows, inner),
            8 * rows * inner,
            |index, tile| {
                let first = index * tile_rows;
                let (steps, pairs) = tile.split_at_mut(tile_rows);
                let pairs: &mut [[i16; PAIR]] = cast_slice_mut(pairs);
                for (row, step) in (first..rows).zip(steps) {
                    let values = &matrix[row * inner..][..inner];
                    *step = largest_magnitude(values) / f32::from(LARGEST);
                    quantise_row(
                        values,
                        *step,
                        pairs.iter_mut().skip(row - first).step_by(tile_rows),
                    );
                }
            },
        );
        Self {
            tiles,
            tile_rows,
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

    /// The steps and the pairs of a tile.
    pub fn tile(&self, index: usize) -> (&[f32], &[[i16; PAIR]]) {
        let length = tile_length(self.tile_rows, self.inner);
        let (steps, pairs) = self.tiles[index * length..][..length].split_at(self.tile_rows);
        (steps, cast_slice(pairs))
    }
}

/// Values of f32 that a tile takes.
fn tile_length(tile_rows: usize, inner: usize) -> usize {
    tile_rows * (1 + inner.div_ceil(PAIR))
}

fn quantise_row<'a>(values: &[f32], step: f32, mut pairs: impl Iterator<Item = &'a mut [i16; PAIR]>) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            let steps_a_unit = if step == 0.0 { 0.0 } else { step.recip() };
            for values in values.chunks(PANEL) {
                let mut quantised = [0; PANEL];
                for (quantised, value) in quantised.iter_mut().zip(values) {
                    *quantised = nearest_integer(value * steps_a_unit) as i16;
                }
                let (quantised, _) = quantised[..values.len().next_multiple_of(PAIR)].as_chunks();
                // The quantised first: a pair that is taken and not filled would be lost.
                for (quantised, pair) in quantised.iter().zip(pairs.by_ref()) {
                    *pair = *quantised;
                }
            }
        },
    );
}
