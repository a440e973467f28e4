//! Matrices laid out in panels: weights in the type they are stored in, and keys and values packed when they are met.

use std::cell::RefCell;
use std::ops::Range;

use pulp::Arch;
use pulp::bytemuck::{Pod, cast_slice};

use super::f32_kernel::{INNER_BLOCK, Panels};
use super::math::{largest_magnitude, nearest_integer};
use super::product::PANEL;
use super::stored::Stored;
use super::tensor::with_scratch;
use super::threads::Threads;
use crate::device::Result;

/// A matrix `[inner, columns]` in f32 panels, in memory that its maker lends.
pub(super) struct PackedColumns<'a> {
    panels: &'a [f32],
    inner: usize,
    columns: usize,
}

/// A linear layer's weight `[outputs, inputs]`, transposed: a panel holds PANEL outputs. It is widened to f32 when it is met.
pub(super) struct WeightPanels {
    values: Values,
    outputs: usize,
    inputs: usize,
}

/// Weights as they are stored.
pub(super) enum Values {
    F32(Stored<f32>),
    /// As bits.
    Bf16(Stored<u16>),
    /// A scale for each output of a layer, filled up to whole panels, or for each row of a table.
    Int8 {
        values: Stored<i8>,
        scales: Vec<f32>,
    },
}

/// Elementary operations that reading, rounding and placing a weight take; more where its page is met first.
pub(super) const OPERATIONS_A_VALUE: usize = 8;

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    F32,
    /// Half the memory; weights are rounded to 8 bits of mantissa.
    Bf16,
    /// A quarter of the memory; the weights of each output are rounded to 255 steps.
    Int8,
}

impl<'a> PackedColumns<'a> {
    /// Values that the panels of such a matrix take.
    pub fn length(inner: usize, columns: usize) -> usize {
        columns.div_ceil(PANEL) * inner * PANEL
    }

    /// Of panels that were filled by [`pack_panel`] or [`pack_transposed_panel`].
    pub fn new(panels: &'a [f32], inner: usize, columns: usize) -> Self {
        assert_eq!(panels.len(), Self::length(inner, columns), "values of panels");
        Self {
            panels,
            inner,
            columns,
        }
    }

    fn rows(&self, panel: usize, rows: Range<usize>) -> &[f32] {
        let start = (panel * self.inner + rows.start) * PANEL;
        &self.panels[start..][..rows.len() * PANEL]
    }
}

/// Fills a panel `[inner, PANEL]` from the columns, `start` and on, of a row-major matrix `[inner, columns]`.
pub(super) fn pack_panel(matrix: &[f32], columns: usize, start: usize, panel: &mut [f32]) {
    let count = PANEL.min(columns - start);
    for (row, values) in panel.chunks_exact_mut(PANEL).enumerate() {
        values[..count].copy_from_slice(&matrix[row * columns + start..][..count]);
        values[count..].fill(0.0);
    }
}

/// Fills a panel `[inner, PANEL]` from the rows, `start` and on, of a row-major matrix `[columns, inner]`.
pub(super) fn pack_transposed_panel(matrix: &[f32], inner: usize, start: usize, panel: &mut [f32]) {
    let rows = &matrix[start * inner..];
    let count = PANEL.min(rows.len() / inner.max(1));
    for (k, values) in panel.chunks_exact_mut(PANEL).enumerate() {
        for (column, value) in values[..count].iter_mut().enumerate() {
            *value = rows[column * inner + k];
        }
        values[count..].fill(0.0);
    }
}

impl Panels for PackedColumns<'_> {
    fn inner(&self) -> usize {
        self.inner
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn stored(&self, panel: usize, rows: Range<usize>) -> &[u8] {
        cast_slice(self.rows(panel, rows))
    }

    fn with_rows(&self, panel: usize, rows: Range<usize>, work: impl FnOnce(&[f32])) {
        work(self.rows(panel, rows));
    }
}

/// How the weights of a linear layer become panels.
pub(super) struct Pack<'a, R> {
    pub outputs: usize,
    pub inputs: usize,
    pub threads: &'a Threads,
    /// Writes the values of an output from an input on, as many as there is room for.
    pub read_row: R,
}

impl<R: Fn(usize, usize, &mut [f32]) + Sync> Pack<'_, R> {
    /// All panels, `[panels, inputs / GROUP, PANEL, GROUP]` with zeros behind the last input up to a multiple of `at_once`.
    /// `convert` gets an output and some of its values.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub fn transposed<T: Pod + Send, const GROUP: usize>(
        &self,
        at_once: usize,
        convert: impl Fn(usize, &[f32], &mut [T]) + Sync,
    ) -> Result<Stored<T>> {
        assert!(
            at_once.is_multiple_of(GROUP) && INNER_BLOCK.is_multiple_of(at_once),
            "whole groups"
        );
        let length = self.inputs.next_multiple_of(at_once) * PANEL;
        let mut values = Stored::zeros(self.outputs.div_ceil(PANEL) * length)?;
        let operations = OPERATIONS_A_VALUE * values.len();
        self.threads
            .for_each_chunk(&mut values, length.max(1), operations, |panel, values| {
                for (block, values) in values.chunks_mut(INNER_BLOCK * PANEL).enumerate() {
                    let first_input = block * INNER_BLOCK;
                    let count = INNER_BLOCK.min(self.inputs - first_input);
                    let mut row = [0.0; INNER_BLOCK];
                    let mut rows = [[T::zeroed(); INNER_BLOCK]; PANEL];
                    for (column, rows) in rows.iter_mut().enumerate() {
                        let output = panel * PANEL + column;
                        self.read_row(output, first_input, &mut row[..count]);
                        convert(output, &row[..count], &mut rows[..count]);
                    }
                    let (groups, _) = values.as_chunks_mut::<GROUP>();
                    for (index, groups) in groups.chunks_exact_mut(PANEL).enumerate() {
                        for (group, row) in groups.iter_mut().zip(&rows) {
                            *group = row.as_chunks().0[index];
                        }
                    }
                }
            });
        Ok(values)
    }

    /// The [`int8_scale`] of every output, filled up to whole panels.
    pub fn int8_scales(&self) -> Vec<f32> {
        let outputs = self.outputs.next_multiple_of(PANEL);
        int8_scales(outputs, self.inputs, self.threads, |output, row| {
            self.read_row(output, 0, row);
        })
    }

    /// Whole panels have outputs that are not there.
    fn read_row(&self, output: usize, first_input: usize, row: &mut [f32]) {
        match output < self.outputs {
            true => (self.read_row)(output, first_input, row),
            false => row.fill(0.0),
        }
    }
}

/// Where a part of the inner dimension of a panel lies, of what [`Pack::transposed`] makes; it begins at a multiple of `at_once`,
/// and what is behind the last input up to the next one belongs to it.
pub(super) fn part_of_panel(
    inputs: usize,
    at_once: usize,
    panel: usize,
    inner: Range<usize>,
) -> Range<usize> {
    let start = (panel * inputs.next_multiple_of(at_once) + inner.start) * PANEL;
    start..start + inner.len().next_multiple_of(at_once) * PANEL
}

impl WeightPanels {
    /// # Errors
    /// When there is no memory for it.
    pub fn new(precision: Precision, pack: &Pack<impl Fn(usize, usize, &mut [f32]) + Sync>) -> Result<Self> {
        let values = match precision {
            Precision::F32 => {
                Values::F32(pack.transposed::<_, 1>(1, |_, values, same| same.copy_from_slice(values))?)
            }
            Precision::Bf16 => {
                Values::Bf16(pack.transposed::<_, 1>(1, |_, values, rounded| narrow(values, rounded))?)
            }
            Precision::Int8 => {
                let scales = pack.int8_scales();
                let values = pack.transposed::<_, 1>(1, |output, values, rounded| {
                    quantise(values, scales[output], rounded);
                })?;
                Values::Int8 { values, scales }
            }
        };
        Ok(Self {
            values,
            outputs: pack.outputs,
            inputs: pack.inputs,
        })
    }

    fn range(&self, panel: usize, rows: Range<usize>) -> Range<usize> {
        part_of_panel(self.inputs, 1, panel, rows)
    }
}

impl Panels for WeightPanels {
    fn inner(&self) -> usize {
        self.inputs
    }

    fn columns(&self) -> usize {
        self.outputs
    }

    fn stored(&self, panel: usize, rows: Range<usize>) -> &[u8] {
        match &self.values {
            Values::F32(values) => cast_slice(&values[self.range(panel, rows)]),
            Values::Bf16(values) => cast_slice(&values[self.range(panel, rows)]),
            Values::Int8 { values, .. } => cast_slice(&values[self.range(panel, rows)]),
        }
    }

    fn with_rows(&self, panel: usize, rows: Range<usize>, work: impl FnOnce(&[f32])) {
        let length = rows.len() * PANEL;
        match &self.values {
            Values::F32(values) => work(&values[self.range(panel, rows)]),
            Values::Bf16(values) => with_part(length, |part| {
                widen(&values[self.range(panel, rows)], part);
                work(part);
            }),
            Values::Int8 { values, scales } => with_part(length, |part| {
                let scales = &scales[panel * PANEL..][..PANEL];
                scale_rows(&values[self.range(panel, rows)], scales, part);
                work(part);
            }),
        }
    }
}

/// Calls `work` with this thread's own memory for a part of a panel that has to be made first.
fn with_part(length: usize, work: impl FnOnce(&mut [f32])) {
    thread_local! {
        static PART: RefCell<[f32; INNER_BLOCK * PANEL]> = const { RefCell::new([0.0; INNER_BLOCK * PANEL]) };
    }
    PART.with_borrow_mut(|part| work(&mut part[..length]));
}

/// What a row's values are counted in, so that the largest is 127; NaN when one is not finite, so that every product
/// with the row is NaN.
fn int8_scale(row: &[f32]) -> f32 {
    largest_magnitude(row) / 127.0
}

/// The [`int8_scale`] of every row of a matrix `[rows, width]`, of which `read_row` writes one.
pub(super) fn int8_scales(
    rows: usize,
    width: usize,
    threads: &Threads,
    read_row: impl Fn(usize, &mut [f32]) + Sync,
) -> Vec<f32> {
    let mut scales = vec![0.0; rows];
    threads.for_each_chunk(&mut scales, 1, OPERATIONS_A_VALUE * rows * width, |row, scale| {
        with_scratch(width, |values| {
            read_row(row, values);
            scale[0] = int8_scale(values);
        });
    });
    scales
}

/// Values in steps of `scale`.
pub(super) fn quantise(values: &[f32], scale: f32, quantised: &mut [i8]) {
    let steps_a_unit = if scale > 0.0 { scale.recip() } else { 0.0 };
    Arch::new().dispatch(|| {
        for (quantised, value) in quantised.iter_mut().zip(values) {
            *quantised = nearest_integer(value * steps_a_unit) as i8;
        }
    });
}

/// Bits of the nearest bf16, ties to even.
pub(super) fn narrow(values: &[f32], bits: &mut [u16]) {
    Arch::new().dispatch(|| {
        for (bits, value) in bits.iter_mut().zip(values) {
            let exact = value.to_bits();
            let rounded = exact.wrapping_add(0x7fff + (exact >> 16 & 1)) >> 16;
            // Rounding could make an infinity of a NaN.
            let quiet_nan = exact >> 16 | 0x40;
            *bits = if value.is_nan() { quiet_nan } else { rounded } as u16;
        }
    });
}

/// From the bits of bf16.
fn widen(bits: &[u16], widened: &mut [f32]) {
    Arch::new().dispatch(|| {
        for (widened, bits) in widened.iter_mut().zip(bits) {
            *widened = f32::from_bits(u32::from(*bits) << 16);
        }
    });
}

/// Rows of a panel, `[rows, PANEL]`.
fn scale_rows(values: &[i8], scales: &[f32], scaled: &mut [f32]) {
    Arch::new().dispatch(|| {
        for (scaled, values) in scaled.chunks_exact_mut(PANEL).zip(values.chunks_exact(PANEL)) {
            for ((scaled, value), scale) in scaled.iter_mut().zip(values).zip(scales) {
                *scaled = f32::from(*value) * scale;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::super::test_products::{pack, values};
    use super::*;

    const INPUTS: usize = 301;
    const OUTPUTS: usize = 20;

    fn weight() -> Vec<f32> {
        values(INPUTS * OUTPUTS, 0)
    }

    fn panels(precision: Precision) -> WeightPanels {
        let (weight, threads) = (weight(), Threads::new(2).unwrap());
        WeightPanels::new(precision, &pack(&weight, OUTPUTS, INPUTS, &threads)).unwrap()
    }

    #[test]
    fn a_stored_weight_differs_by_its_precision_s_rounding_at_most() {
        for (precision, tolerance) in [
            (Precision::F32, 0.0),
            (Precision::Bf16, 1.0 / 256.0),
            (Precision::Int8, 0.5 / 127.0 + 1e-6),
        ] {
            let (panels, weight) = (panels(precision), weight());
            panels.with_rows(1, 256..301, |rows| {
                for (row, values) in rows.chunks_exact(PANEL).enumerate() {
                    for (column, value) in values.iter().enumerate() {
                        let expected = match PANEL + column < OUTPUTS {
                            true => weight[(PANEL + column) * INPUTS + 256 + row],
                            false => 0.0,
                        };
                        assert!((value - expected).abs() <= tolerance, "{precision:?}");
                    }
                }
            });
        }
    }

    #[test]
    fn a_row_of_zeros_is_quantised_to_zeros() {
        assert_eq!(int8_scale(&[0.0; 3]), 0.0);
        let mut quantised = [9; 3];
        quantise(&[0.0; 3], 0.0, &mut quantised);
        assert_eq!(quantised, [0; 3]);
    }

    #[test]
    fn a_weight_that_is_not_finite_spoils_its_output_in_every_precision() {
        let pack = Pack {
            outputs: 2,
            inputs: 3,
            threads: &Threads::new(1).unwrap(),
            read_row: |output: usize, _: usize, row: &mut [f32]| {
                row.copy_from_slice(&[1.0, if output == 1 { f32::NAN } else { 2.0 }, 0.0]);
            },
        };
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            let panels = WeightPanels::new(precision, &pack);
            panels.unwrap().with_rows(0, 0..3, |rows| {
                let sum = |column: usize| rows.iter().skip(column).step_by(PANEL).sum::<f32>();
                assert!((sum(0) - 3.0).abs() < 0.02 && sum(1).is_nan(), "{precision:?}");
            });
        }
    }

    #[test]
    fn narrowing_rounds_as_half_does() {
        let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -0.0, 1e-40];
        let tie = |bits: u32| f32::from_bits(bits << 16 | 0x8000);
        let values: Vec<f32> = weight()
            .into_iter()
            .chain(special)
            .chain([tie(0x3f80), tie(0x3f81)])
            .collect();
        let mut bits = vec![0; values.len()];
        narrow(&values, &mut bits);
        for (value, bits) in values.iter().zip(bits) {
            assert_eq!(bits, bf16::from_f32(*value).to_bits(), "{value}");
        }
    }

    #[test]
    fn transposed_packing_is_packing_of_the_transposed() {
        let weight = weight();
        let transposed: Vec<f32> = (0..INPUTS)
            .flat_map(|input| (0..OUTPUTS).map(move |output| (input, output)))
            .map(|(input, output)| weight[output * INPUTS + input])
            .collect();
        for start in [0, PANEL] {
            let (mut a, mut b) = ([9.0; INPUTS * PANEL], [9.0; INPUTS * PANEL]);
            pack_transposed_panel(&weight, INPUTS, start, &mut a);
            pack_panel(&transposed, OUTPUTS, start, &mut b);
            assert_eq!(a, b);
        }
    }
}
