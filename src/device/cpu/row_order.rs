//! Order in which kernels read the rows of a matrix.

use crate::device::vectorised::vectorised;
use bytemuck::{Pod, cast_slice};

/// Values that are converted at once.
const AT_ONCE: usize = 64;

/// A matrix `[rows, inner]` as words of 32 bits, each of one, two or four values along the inner dimension,
/// which are multiplied at once: a tile of rows after the other, in each some words of its first row, as many
/// of its second one, and so on: `[rows / tile_rows, words / run, tile_rows, run]`, with zeros behind a row's
/// last value.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowOrder {
    pub tile_rows: usize,
    /// Words of one row that lie side by side: 1, 4 or 16.
    pub run: usize,
}

impl RowOrder {
    /// Words of a row, with GROUP values in each.
    pub const fn words(&self, inner: usize, values_a_word: usize) -> usize {
        inner.div_ceil(values_a_word).next_multiple_of(self.run)
    }

    /// Writes a row of a tile, from a word on that is a multiple of 16; `convert` makes 32 bits / GROUP of
    /// each value.
    #[inline(always)]
    pub fn place<T: Pod, const GROUP: usize>(
        &self,
        values: &[f32],
        row: usize,
        first_word: usize,
        tile: &mut [u32],
        convert: impl FnMut(f32) -> T,
    ) {
        let tile = &mut tile[first_word * self.tile_rows..];
        match self.run {
            1 => place_runs::<T, GROUP, 1>(values, row, self.tile_rows, tile, convert),
            4 => place_runs::<T, GROUP, 4>(values, row, self.tile_rows, tile, convert),
            16 => place_runs::<T, GROUP, 16>(values, row, self.tile_rows, tile, convert),
            run => unreachable!("runs of {run} words"),
        }
    }

    /// Writes a row of a tile from its first word on.
    #[expect(
        clippy::redundant_closure,
        reason = "a call through a reference is not always inlined"
    )]
    pub fn place_row<T: Pod, const GROUP: usize>(
        &self,
        values: &[f32],
        row: usize,
        tile: &mut [u32],
        convert: impl Fn(f32) -> T,
    ) {
        vectorised!({
            self.place::<T, GROUP>(
                values,
                row,
                0,
                tile,
                #[inline(always)]
                |value| convert(value),
            );
        });
    }
}

#[inline(always)]
fn place_runs<T: Pod, const GROUP: usize, const RUN: usize>(
    values: &[f32],
    row: usize,
    tile_rows: usize,
    tile: &mut [u32],
    mut convert: impl FnMut(f32) -> T,
) {
    let (places, _) = tile.as_chunks_mut::<RUN>();
    let mut places = places.iter_mut().skip(row).step_by(tile_rows);
    let (whole, rest) = values.as_chunks::<AT_ONCE>();
    let mut converted = [T::zeroed(); AT_ONCE];
    for values in whole {
        for (converted, value) in converted.iter_mut().zip(values) {
            *converted = convert(*value);
        }
        let (runs, _) = cast_slice(&converted).as_chunks::<RUN>();
        for (run, place) in runs.iter().zip(&mut places) {
            *place = *run;
        }
    }
    if !rest.is_empty() {
        converted = [T::zeroed(); AT_ONCE];
        for (converted, value) in converted.iter_mut().zip(rest) {
            *converted = convert(*value);
        }
        let (runs, _) = cast_slice(&converted).as_chunks::<RUN>();
        for (run, place) in runs
            .iter()
            .zip(&mut places)
            .take(rest.len().div_ceil(GROUP * RUN))
        {
            *place = *run;
        }
    }
}
