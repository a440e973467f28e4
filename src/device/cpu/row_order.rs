//! The order in which the kernels of bf16 and int8 read the rows of a matrix.

use pulp::bytemuck::{Pod, cast_slice};

/// Words of 32 bits that are converted at once.
const WORDS: usize = 16;

/// A matrix `[rows, inner]` as words of 32 bits, each of two or four values along the inner dimension, which are multiplied at
/// once: a tile of rows after the other, in each some words of its first row, as many of its second one, and so on:
/// `[rows / tile_rows, words / run, tile_rows, run]`, with zeros behind a row's last value.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowOrder {
    pub tile_rows: usize,
    /// Words of one row that lie side by side: 1, or 16.
    pub run: usize,
}

impl RowOrder {
    /// Words that a row takes, with so many values in each.
    pub fn words(&self, inner: usize, values_a_word: usize) -> usize {
        inner.div_ceil(values_a_word).next_multiple_of(self.run)
    }

    /// Writes a row of a tile, from a word on that is a multiple of 16; `convert` makes zeros or values of 32 bits / GROUP of
    /// each of the row's.
    #[inline(always)]
    pub fn place<T: Pod, const GROUP: usize>(
        &self,
        values: &[f32],
        row: usize,
        first_word: usize,
        tile: &mut [u32],
        mut convert: impl FnMut(&[f32], &mut [T]),
    ) {
        let mut tile = &mut tile[first_word * self.tile_rows..];
        for values in values.chunks(WORDS * GROUP) {
            let mut converted = [[T::zeroed(); GROUP]; WORDS];
            convert(values, &mut converted.as_flattened_mut()[..values.len()]);
            let words = self.words(values.len(), GROUP);
            let words: &[u32] = &cast_slice(converted.as_flattened())[..words];
            let (here, rest) = tile.split_at_mut(words.len() * self.tile_rows);
            if self.run == 1 {
                for (place, word) in here.iter_mut().skip(row).step_by(self.tile_rows).zip(words) {
                    *place = *word;
                }
            } else {
                for (place, words) in here
                    .chunks_exact_mut(self.run)
                    .skip(row)
                    .step_by(self.tile_rows)
                    .zip(words.chunks_exact(self.run))
                {
                    place.copy_from_slice(words);
                }
            }
            tile = rest;
        }
    }
}
