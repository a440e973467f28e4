//! Products and their values, for the tests of this folder.

use super::panels::Pack;
use super::product::{MatrixMut, Multiplier};
use super::threads::Threads;

/// `count` values from −1 to 1 without a pattern that a product could hide; others for every `seed`.
pub(super) fn values(count: usize, seed: usize) -> Vec<f32> {
    let value = |index: usize| ((index * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0;
    (0..count).map(value).collect()
}

/// A weight `[outputs, inputs]`, to be made panels of.
pub(super) fn pack<'a>(
    weight: &[f32],
    outputs: usize,
    inputs: usize,
    threads: &'a Threads,
) -> Pack<'a, impl Fn(usize, usize, &mut [f32]) + Sync> {
    Pack {
        outputs,
        inputs,
        threads,
        read_row: move |output, first_input, row: &mut [f32]| {
            row.copy_from_slice(&weight[output * inputs + first_input..][..row.len()]);
        },
    }
}

/// `x · w`, of memory that holds other values before.
pub(super) fn product<W: Multiplier>(x: &[f32], w: &W, rows: usize, threads: &Threads) -> Vec<f32> {
    let mut memory = vec![f32::NAN; w.packed_length(rows)];
    let x = w.pack(x, rows, &mut memory, threads);
    let mut y = vec![9.0; rows * w.columns()];
    MatrixMut::new(&mut y, rows, w.columns()).assign_product(x, w, 0, |_, _, _| ());
    y
}
