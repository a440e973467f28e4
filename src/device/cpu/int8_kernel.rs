//! The kernels of products with int8 weights, in integers: two or four products and their sum are one instruction or two.
//!
//! Sums over a block of the inner dimension are exact: they fit into 32 bits, as [`fits`] says.

use std::ops::Range;

use pulp::bytemuck::cast_slice;

use super::panels::{Pack, part_of_panel, quantise};
use super::prefetch::Prefetch;
use super::product::{Multiplier, PANEL};
use super::quantised_rows::{Integers, QuantisedRows, Rounding};
use super::stored::Stored;
use super::threads::Threads;
use crate::device::Result;

/// Whether the sum over a block of the largest products fits into 32 bits.
pub(super) const fn fits(rounding: &Rounding) -> bool {
    let largest_weight = (i8::MAX as i32 + rounding.integers.weight_offset()) as i64;
    rounding.block as i64 * rounding.integers.largest() as i64 * largest_weight <= i32::MAX as i64
}

/// A kernel, for which activations and weights are laid out.
#[derive(Debug)]
pub(super) struct Kernel {
    pub name: &'static str,
    pub rounding: Rounding,
    /// # Safety
    /// The machine has the kernel's instructions, and the part's shapes are those of its product.
    pub multiply: unsafe fn(Part),
}

impl Kernel {
    /// The fastest one for this machine, if it has any. Where it has none, weights are widened to f32.
    pub fn fastest() -> Option<&'static Self> {
        available().next()
    }

    /// Weights of a panel that are multiplied at once for each output.
    const fn weights_at_once(&self) -> usize {
        self.rounding.integers.group() * self.rounding.order.run
    }
}

/// The kernels that this machine can run, the fastest first.
#[cfg(target_arch = "x86_64")]
fn available() -> impl Iterator<Item = &'static Kernel> {
    super::int8_vectors::available()
}

/// The kernels that this machine can run, the fastest first.
#[cfg(not(target_arch = "x86_64"))]
fn available() -> impl Iterator<Item = &'static Kernel> {
    std::iter::empty()
}

/// A linear layer's weight, transposed and rounded: `[panels, inputs / group, PANEL, group]`, filled up behind the last input.
pub(super) struct Int8Panels {
    kernel: &'static Kernel,
    values: Stored<i8>,
    /// Of each output, filled up to whole panels.
    scales: Vec<f32>,
    inputs: usize,
    outputs: usize,
}

impl Int8Panels {
    /// # Errors
    /// When there is no memory for it.
    pub fn new(
        kernel: &'static Kernel,
        pack: &Pack<impl Fn(usize, usize, &mut [f32]) + Sync>,
    ) -> Result<Self> {
        let scales = pack.int8_scales();
        let offset = kernel.rounding.integers.weight_offset() as i8;
        let convert = |output: usize, values: &[f32], rounded: &mut [i8]| {
            quantise(values, scales[output], rounded);
            for value in rounded {
                // As bits; what is 128 or more has no sign.
                *value = value.wrapping_add(offset);
            }
        };
        let values = match kernel.rounding.integers {
            Integers::Bits16 => pack.transposed::<_, 2>(kernel.weights_at_once(), convert),
            Integers::Bits8 => pack.transposed::<_, 4>(kernel.weights_at_once(), convert),
        }?;
        Ok(Self {
            kernel,
            values,
            scales,
            inputs: pack.inputs,
            outputs: pack.outputs,
        })
    }

    /// A part of the inner dimension of a panel, filled up to what is multiplied at once.
    fn part(&self, panel: usize, inner: Range<usize>) -> &[i8] {
        &self.values[part_of_panel(self.inputs, self.kernel.weights_at_once(), panel, inner)]
    }
}

impl Multiplier for Int8Panels {
    type PackedRows<'x> = QuantisedRows<'x>;

    fn inner(&self) -> usize {
        self.inputs
    }

    fn columns(&self) -> usize {
        self.outputs
    }

    fn inner_block(&self) -> usize {
        self.kernel.rounding.block
    }

    fn tile_rows(&self) -> usize {
        self.kernel.rounding.order.tile_rows
    }

    fn packed_length(&self, rows: usize) -> usize {
        QuantisedRows::length(self.kernel.rounding, rows, self.inputs)
    }

    fn pack<'x>(
        &self,
        matrix: &[f32],
        rows: usize,
        memory: &'x mut [f32],
        threads: &Threads,
    ) -> QuantisedRows<'x> {
        QuantisedRows::quantise(self.kernel.rounding, (matrix, rows, self.inputs), memory, threads)
    }

    fn stored(&self, panel: usize, inner: Range<usize>) -> &[u8] {
        cast_slice(self.part(panel, inner))
    }

    fn add_product(
        &self,
        x: QuantisedRows,
        rows: Range<usize>,
        panel: usize,
        inner: Range<usize>,
        sums: &mut [f32],
        next: &[u8],
    ) {
        let tile_rows = self.tile_rows();
        assert!(
            x.inner() == self.inputs
                && inner.end <= x.inner()
                && inner.start.is_multiple_of(self.inner_block()),
            "inner dimension of a product"
        );
        assert!(
            rows.start.is_multiple_of(tile_rows) && rows.end <= x.rows() && rows.len() * PANEL <= sums.len(),
            "rows of a product"
        );
        let part = Part {
            x,
            block: inner.start / self.inner_block(),
            prefetch: Prefetch::new(next, rows.len().div_ceil(tile_rows)),
            rows,
            scales: self.scales[panel * PANEL..]
                .first_chunk()
                .expect("scales of whole panels"),
            weights: self.part(panel, inner),
            sums,
        };
        // SAFETY: the kernel is one that this machine can run, and the shapes were checked above.
        unsafe { (self.kernel.multiply)(part) };
    }
}

/// `sums (+)= x · weights` for some rows, one panel and a block of the inner dimension.
pub(super) struct Part<'a> {
    pub x: QuantisedRows<'a>,
    pub rows: Range<usize>,
    pub block: usize,
    /// `[groups, PANEL, group]`
    pub weights: &'a [i8],
    pub scales: &'a [f32; PANEL],
    /// `[rows, PANEL]`
    pub sums: &'a mut [f32],
    pub prefetch: Prefetch<'a>,
}

#[cfg(test)]
mod tests {
    use super::super::test_products::{pack, product, values};
    use super::*;

    /// Calls `test` with `x · weightᵀ` of every kernel that this machine can run, and what the kernel's activations are
    /// rounded by.
    fn each_product(
        x: &[f32],
        weight: &[f32],
        (rows, inner, outputs): (usize, usize, usize),
        mut test: impl FnMut(&'static str, Vec<f32>, Integers),
    ) {
        if Kernel::fastest().is_none() {
            eprintln!("not run: this machine has no such instructions, weights are widened to f32");
        }
        let threads = Threads::new(1).unwrap();
        for kernel in available() {
            let panels = Int8Panels::new(kernel, &pack(weight, outputs, inner, &threads)).unwrap();
            let y = product(x, &panels, rows, &threads);
            test(kernel.name, y, kernel.rounding.integers);
        }
    }

    #[test]
    fn products_of_every_shape_differ_by_the_rounding_of_weights_and_activations_at_most() {
        for shape @ (rows, inner, outputs) in [
            (1, 1, 1),
            (6, 16, 16),
            (13, 300, 33),
            (50, 257, 72),
            (300, 20, 150),
            (2, 601, 5),
            (67, 1100, 20),
            (3, 0, 4),
        ] {
            let (x, weight) = (values(rows * inner, 1), values(outputs * inner, 2));
            each_product(&x, &weight, shape, |kernel, y, integers| {
                // Half a step of each, and a little of 32 bits.
                let step_of_weight = 0.51 / 127.0;
                let step_of_x = 0.51 / integers.largest() as f64;
                for row in 0..rows {
                    for output in 0..outputs {
                        let (x, weight) = (&x[row * inner..][..inner], &weight[output * inner..][..inner]);
                        let pairs = || {
                            x.iter()
                                .map(|x| f64::from(*x))
                                .zip(weight.iter().map(|w| f64::from(*w)))
                        };
                        let exact: f64 = pairs().map(|(x, w)| x * w).sum();
                        let rounding: f64 = pairs()
                            .map(|(x, w)| x.abs() * step_of_weight + (w.abs() + step_of_weight) * step_of_x)
                            .sum();
                        let error = (f64::from(y[row * outputs + output]) - exact).abs();
                        assert!(
                            error <= rounding + 1e-6,
                            "{kernel}, {shape:?}: {error} beyond {rounding}"
                        );
                    }
                }
            });
        }
    }

    #[test]
    fn products_of_whole_numbers_of_steps_are_exact() {
        let shape @ (rows, inner, outputs) = (19, 1030, 21);
        const SMALLEST_BLOCK: usize = 128;
        // The largest of every row and block is 127, so that a step is 1.
        let whole = |count: usize, seed: usize| -> Vec<f32> {
            (0..count)
                .map(|index| match index % inner % SMALLEST_BLOCK {
                    0 => -127.0,
                    _ => ((index * 37 + seed) % 255) as f32 - 127.0,
                })
                .collect()
        };
        let (x, weight) = (whole(rows * inner, 5), whole(outputs * inner, 91));
        each_product(&x, &weight, shape, |kernel, y, integers| {
            for row in 0..rows {
                for output in 0..outputs {
                    let (x, weight) = (&x[row * inner..][..inner], &weight[output * inner..][..inner]);
                    let exact: f64 = x.iter().zip(weight).map(|(x, w)| f64::from(x * w)).sum();
                    let error = (f64::from(y[row * outputs + output]) - exact).abs();
                    // 16 bits count in 127 / 32767, which is not whole.
                    let tolerance = if integers == Integers::Bits8 {
                        1.0
                    } else {
                        0.51 * 127.0 / 32767.0 * 127.0 * inner as f64
                    };
                    assert!(error <= tolerance, "{kernel}, {row}, {output}: {error}");
                }
            }
        });
    }

    #[test]
    fn the_largest_values_do_not_overflow() {
        let (x, weight) = (vec![-1e30; 2 * 1024], vec![1e-3; 1024]);
        each_product(&x, &weight, (2, 1024, 1), |kernel, y, _| {
            for y in y {
                assert!((y / -1.024e30 - 1.0).abs() < 1e-5, "{kernel}: {y}");
            }
        });
    }

    #[test]
    fn a_value_that_is_not_finite_spoils_its_row_and_no_other() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = values(3 * 40, 1);
            x[45] = bad;
            each_product(&x, &values(2 * 40, 2), (3, 40, 2), |kernel, y, _| {
                assert!(y[2..4].iter().all(|y| y.is_nan()), "{kernel}: {y:?}");
                assert!(
                    y[..2].iter().chain(&y[4..]).all(|y| y.is_finite()),
                    "{kernel}: {y:?}"
                );
            });
        }
    }
}
