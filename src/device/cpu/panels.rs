//! Matrices laid out in panels of columns: weights in the type they are stored in, and keys and values of
//! attention.
//!
//! A panel has 16 columns. The values along the inner dimension that one instruction multiplies for a column lie
//! side by side, for 8-bit integers four (`vpdpbusd`), for bf16 two (`vdpbf16ps`):
//!
//! ```text
//!               column 0        column 1              column 15
//! inner 0 – 3   w₀ w₁ w₂ w₃     w₀ w₁ w₂ w₃     …     w₀ w₁ w₂ w₃     64 bytes, one register of AVX-512
//! inner 4 – 7   w₄ w₅ w₆ w₇     w₄ w₅ w₆ w₇     …     w₄ w₅ w₆ w₇
//! ```

use std::cell::RefCell;
use std::ops::Range;

use bytemuck::{Pod, cast_slice, cast_slice_mut};

use super::kernel::{Kernel, MOST_PANELS_AT_ONCE, Operands, PANEL};
use super::math::{largest_magnitude, nearest_integer, to_bf16};
use super::precision::Precision;
use super::row_order::RowOrder;
use super::stored::Stored;
use super::tensor::{with_memory, with_scratch};
use super::threads::Threads;
use crate::device::Result;
use crate::device::vectorised::vectorised;

/// Elementary operations that reading, rounding and storing a weight take; more where its page is read first.
pub(super) const OPERATIONS_A_VALUE: usize = 8;

/// Inputs of a panel that are converted at once.
const CONVERTED_AT_ONCE: usize = 256;

/// Matrix `w` of a product, `[inner, columns]`, in panels of columns as a kernel reads them.
pub(super) trait Panels: Sync {
    fn kernel(&self) -> &'static Kernel;

    fn inner(&self) -> usize;

    fn columns(&self) -> usize;

    /// Memory of a part of the inner dimension of a panel.
    fn stored(&self, panel: usize, inner: Range<usize>) -> &[u8];

    /// Calls `work` with a part of the inner dimension of one panel or two, `[inner / group, PANEL, group]`
    /// each.
    fn with_parts(&self, panels: &[usize], inner: Range<usize>, work: impl FnOnce(&[&[u8]])) {
        with_stored(self, panels, inner, work);
    }

    /// Quantisation steps of a panel's columns, where they are integers.
    fn column_steps(&self, _panel: usize) -> Option<&[f32; PANEL]> {
        None
    }
}

/// Calls `work` with parts of panels as they are stored.
fn with_stored(
    w: &(impl Panels + ?Sized),
    panels: &[usize],
    inner: Range<usize>,
    work: impl FnOnce(&[&[u8]]),
) {
    let mut parts: [&[u8]; MOST_PANELS_AT_ONCE] = [&[]; MOST_PANELS_AT_ONCE];
    for (part, panel) in parts.iter_mut().zip(panels) {
        *part = w.stored(*panel, inner.clone());
    }
    work(&parts[..panels.len()]);
}

/// A matrix `[inner, columns]` of activations in f32 or bf16, in memory that its maker lends.
pub(super) struct PackedColumns<'a> {
    kernel: &'static Kernel,
    /// `[panels, inner / group, PANEL]`, zeros behind the last column and, up to a run of words, behind the
    /// last row.
    words: &'a [u32],
    inner: usize,
    columns: usize,
}

impl<'a> PackedColumns<'a> {
    /// Memory for such a matrix, in values of f32.
    pub fn length(kernel: &Kernel, inner: usize, columns: usize) -> usize {
        columns.div_ceil(PANEL) * Self::panel_length(kernel, inner)
    }

    /// Memory for a panel, in values of f32.
    pub fn panel_length(kernel: &Kernel, inner: usize) -> usize {
        kernel.order.words(inner, kernel.operands.group()) * PANEL
    }

    /// Wraps panels that were filled by [`pack_panel`] or [`pack_transposed_panel`].
    pub fn new(kernel: &'static Kernel, panels: &'a [f32], inner: usize, columns: usize) -> Self {
        assert_eq!(
            panels.len(),
            Self::length(kernel, inner, columns),
            "values of panels"
        );
        Self {
            kernel,
            words: cast_slice(panels),
            inner,
            columns,
        }
    }
}

impl Panels for PackedColumns<'_> {
    fn kernel(&self) -> &'static Kernel {
        self.kernel
    }

    fn inner(&self) -> usize {
        self.inner
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn stored(&self, panel: usize, inner: Range<usize>) -> &[u8] {
        let group = self.kernel.operands.group();
        let start = panel * Self::panel_length(self.kernel, self.inner) + inner.start / group * PANEL;
        cast_slice(&self.words[start..][..self.kernel.order.words(inner.len(), group) * PANEL])
    }
}

/// Fills a panel from the columns, `start` and on, of a row-major matrix `[inner, columns]`.
pub(super) fn pack_panel(kernel: &Kernel, matrix: &[f32], columns: usize, start: usize, panel: &mut [f32]) {
    let count = PANEL.min(columns - start);
    let (panel, _) = panel.as_chunks_mut::<PANEL>();
    let filled = (matrix.len() / columns).div_ceil(kernel.operands.group());
    let (panel, behind) = panel.split_at_mut(filled);
    behind.as_flattened_mut().fill(0.0);
    match kernel.operands {
        Operands::Bf16 => vectorised!({
            for (words, rows) in panel.iter_mut().zip(matrix.chunks(2 * columns)) {
                let (low, high) = rows.split_at(columns);
                let mut pair = [[0.0; PANEL]; 2];
                pair[0][..count].copy_from_slice(&low[start..][..count]);
                // Behind an odd last row there is none.
                if let Some(high) = high.get(start..start + count) {
                    pair[1][..count].copy_from_slice(high);
                }
                for ((word, low), high) in words.iter_mut().zip(pair[0]).zip(pair[1]) {
                    *word = f32::from_bits(u32::from(to_bf16(low)) | u32::from(to_bf16(high)) << 16);
                }
            }
        }),
        _ => {
            for (words, row) in panel.iter_mut().zip(matrix.chunks_exact(columns)) {
                words[..count].copy_from_slice(&row[start..][..count]);
                words[count..].fill(0.0);
            }
        }
    }
}

/// Fills a panel from the rows, `start` and on, of a row-major matrix `[columns, inner]`.
pub(super) fn pack_transposed_panel(
    kernel: &Kernel,
    matrix: &[f32],
    inner: usize,
    start: usize,
    panel: &mut [f32],
) {
    // The panel's columns are the rows of a tile, a word of each behind the other's.
    const ORDER: RowOrder = RowOrder {
        tile_rows: PANEL,
        run: 1,
    };
    let panel: &mut [u32] = cast_slice_mut(panel);
    let rows = matrix[start * inner..].chunks_exact(inner.max(1)).take(PANEL);
    let filled = ORDER.words(inner, kernel.operands.group()) * PANEL;
    match rows.len() < PANEL {
        true => panel.fill(0),
        false => panel[filled..].fill(0),
    }
    for (column, values) in rows.enumerate() {
        match kernel.operands {
            Operands::Bf16 => ORDER.place_row::<u16, 2>(values, column, panel, to_bf16),
            _ => ORDER.place_row::<u32, 1>(values, column, panel, f32::to_bits),
        }
    }
}

/// Weight of a linear layer, `[outputs, inputs]`, transposed: a panel holds PANEL outputs.
pub(super) struct WeightPanels {
    kernel: &'static Kernel,
    values: Values,
    outputs: usize,
    inputs: usize,
}

/// Weights as they are stored. Where the kernel's operands are f32, others are upcast just before they are
/// multiplied.
pub(super) enum Values {
    F32(Stored<f32>),
    /// bf16, as bits.
    Bf16(Stored<u16>),
    /// int8 plus the kernel's zero point, as bits.
    Int8 {
        values: Stored<i8>,
        /// Quantisation step of each output of a layer, padded to whole panels, or of each row of a table.
        steps: Vec<f32>,
    },
}

/// Conversion of a linear layer's weights to panels.
pub(super) struct Pack<'a, R> {
    pub outputs: usize,
    pub inputs: usize,
    pub threads: &'a Threads,
    /// Writes the values of an output from an input on, until the slice is full.
    pub read_row: R,
}

impl<R: Fn(usize, usize, &mut [f32]) + Sync> Pack<'_, R> {
    /// All panels, `[panels, inputs / GROUP, PANEL, GROUP]` with zeros behind the last input up to a multiple
    /// of `at_once`. `convert` gets an output and some of its values.
    fn transposed<T: Pod + Send, const GROUP: usize>(
        &self,
        at_once: usize,
        convert: impl Fn(usize, &[f32], &mut [T]) + Sync,
    ) -> Result<Stored<T>> {
        assert!(
            at_once.is_multiple_of(GROUP) && CONVERTED_AT_ONCE.is_multiple_of(at_once),
            "whole groups"
        );
        let length = self.inputs.next_multiple_of(at_once) * PANEL;
        let mut values = Stored::zeros(self.outputs.div_ceil(PANEL) * length)?;
        let operations = OPERATIONS_A_VALUE * values.len();
        self.threads
            .for_each_chunk(&mut values, length.max(1), operations, |panel, values| {
                for (block, values) in values.chunks_mut(CONVERTED_AT_ONCE * PANEL).enumerate() {
                    let first_input = block * CONVERTED_AT_ONCE;
                    let count = CONVERTED_AT_ONCE.min(self.inputs - first_input);
                    let mut row = [0.0; CONVERTED_AT_ONCE];
                    let mut rows = [[T::zeroed(); CONVERTED_AT_ONCE]; PANEL];
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

    /// Computes the [`int8_step`] of every output, padded to whole panels.
    fn int8_steps(&self) -> Vec<f32> {
        let outputs = self.outputs.next_multiple_of(PANEL);
        int8_steps(outputs, self.inputs, self.threads, |output, row| {
            self.read_row(output, 0, row);
        })
    }

    /// Number of outputs of whole panels, which is that of the layer or more.
    fn read_row(&self, output: usize, first_input: usize, row: &mut [f32]) {
        match output < self.outputs {
            true => (self.read_row)(output, first_input, row),
            false => row.fill(0.0),
        }
    }
}

impl WeightPanels {
    /// Packs weights of a precision, for a kernel that multiplies them or upcasts them to f32.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(
        kernel: &'static Kernel,
        precision: Precision,
        pack: &Pack<impl Fn(usize, usize, &mut [f32]) + Sync>,
    ) -> Result<Self> {
        let at_once = kernel.weights_at_once();
        let values = match precision {
            Precision::F32 => Values::F32(pack.transposed::<_, 1>(at_once, |_, values, same| {
                same.copy_from_slice(values);
            })?),
            Precision::Bf16 => {
                let convert = |_: usize, values: &[f32], rounded: &mut [u16]| downcast(values, rounded);
                Values::Bf16(match kernel.operands {
                    Operands::Bf16 => pack.transposed::<_, 2>(at_once, convert)?,
                    _ => pack.transposed::<_, 1>(at_once, convert)?,
                })
            }
            Precision::Int8 => {
                let steps = pack.int8_steps();
                let offset = kernel.operands.weight_offset() as i8;
                let convert = |output: usize, values: &[f32], rounded: &mut [i8]| {
                    quantise(values, steps[output], rounded);
                    for value in rounded {
                        // As bits; what is 128 or more has no sign.
                        *value = value.wrapping_add(offset);
                    }
                };
                let values = match kernel.operands {
                    Operands::Int8 => pack.transposed::<_, 4>(at_once, convert)?,
                    Operands::Int16 => pack.transposed::<_, 2>(at_once, convert)?,
                    _ => pack.transposed::<_, 1>(at_once, convert)?,
                };
                Values::Int8 { values, steps }
            }
        };
        Ok(Self {
            kernel,
            values,
            outputs: pack.outputs,
            inputs: pack.inputs,
        })
    }

    /// Range of a part of the inner dimension of a panel; the padding behind the last input up to what is
    /// multiplied at once belongs to it.
    fn range(&self, panel: usize, inner: Range<usize>) -> Range<usize> {
        let at_once = self.kernel.weights_at_once();
        let start = (panel * self.inputs.next_multiple_of(at_once) + inner.start) * PANEL;
        start..start + inner.len().next_multiple_of(at_once) * PANEL
    }

    fn panel_steps<'a>(&self, steps: &'a [f32], panel: usize) -> &'a [f32; PANEL] {
        steps[panel * PANEL..]
            .first_chunk()
            .expect("steps of whole panels")
    }
}

impl Panels for WeightPanels {
    fn kernel(&self) -> &'static Kernel {
        self.kernel
    }

    fn inner(&self) -> usize {
        self.inputs
    }

    fn columns(&self) -> usize {
        self.outputs
    }

    fn stored(&self, panel: usize, inner: Range<usize>) -> &[u8] {
        let range = self.range(panel, inner);
        match &self.values {
            Values::F32(values) => cast_slice(&values[range]),
            Values::Bf16(values) => cast_slice(&values[range]),
            Values::Int8 { values, .. } => cast_slice(&values[range]),
        }
    }

    fn with_parts(&self, panels: &[usize], inner: Range<usize>, work: impl FnOnce(&[&[u8]])) {
        let upcast_panel = |panel: usize, part: &mut [f32]| {
            let range = self.range(panel, inner.clone());
            match &self.values {
                Values::F32(_) => unreachable!("nothing to upcast"),
                Values::Bf16(values) => upcast(&values[range], part),
                Values::Int8 { values, steps } => {
                    scale_rows(&values[range], self.panel_steps(steps, panel), part);
                }
            }
        };
        if self.kernel.operands != Operands::F32 || matches!(self.values, Values::F32(_)) {
            return with_stored(self, panels, inner, work);
        }
        thread_local! {
            static PARTS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
        }
        let length = self.range(0, inner.clone()).len();
        with_memory(&PARTS, panels.len() * length, |memory| {
            let mut parts: [&[u8]; MOST_PANELS_AT_ONCE] = [&[]; MOST_PANELS_AT_ONCE];
            let memory = memory.chunks_exact_mut(length.max(1));
            for ((part, panel), memory) in parts.iter_mut().zip(panels).zip(memory) {
                upcast_panel(*panel, memory);
                *part = cast_slice(memory);
            }
            work(&parts[..panels.len()]);
        });
    }

    fn column_steps(&self, panel: usize) -> Option<&[f32; PANEL]> {
        match &self.values {
            Values::Int8 { steps, .. } if self.kernel.operands.is_quantised() => {
                Some(self.panel_steps(steps, panel))
            }
            _ => None,
        }
    }
}

/// Quantisation step of a row, with which the largest value becomes 127; NaN when one is not finite, so that
/// every product with the row is NaN.
fn int8_step(row: &[f32]) -> f32 {
    largest_magnitude(row) / 127.0
}

/// Computes the [`int8_step`] of every row of a matrix `[rows, width]`, of which `read_row` writes one.
pub(super) fn int8_steps(
    rows: usize,
    width: usize,
    threads: &Threads,
    read_row: impl Fn(usize, &mut [f32]) + Sync,
) -> Vec<f32> {
    let mut steps = vec![0.0; rows];
    threads.for_each_chunk(&mut steps, 1, OPERATIONS_A_VALUE * rows * width, |row, step| {
        with_scratch(width, |values| {
            read_row(row, values);
            step[0] = int8_step(values);
        });
    });
    steps
}

/// Quantises values.
pub(super) fn quantise(values: &[f32], step: f32, quantised: &mut [i8]) {
    let steps_a_unit = if step > 0.0 { step.recip() } else { 0.0 };
    vectorised!({
        for (quantised, value) in quantised.iter_mut().zip(values) {
            *quantised = nearest_integer(value * steps_a_unit) as i8;
        }
    });
}

/// Bits of the nearest bf16, ties to even.
pub(super) fn downcast(values: &[f32], bits: &mut [u16]) {
    vectorised!({
        for (bits, value) in bits.iter_mut().zip(values) {
            *bits = to_bf16(*value);
        }
    });
}

/// Upcasts the bits of bf16.
fn upcast(bits: &[u16], values: &mut [f32]) {
    vectorised!({
        for (value, bits) in values.iter_mut().zip(bits) {
            *value = f32::from_bits(u32::from(*bits) << 16);
        }
    });
}

/// Rows of a panel, `[rows, PANEL]`.
fn scale_rows(values: &[i8], steps: &[f32; PANEL], scaled: &mut [f32]) {
    vectorised!({
        for (scaled, values) in scaled.chunks_exact_mut(PANEL).zip(values.chunks_exact(PANEL)) {
            for ((scaled, value), step) in scaled.iter_mut().zip(values).zip(steps) {
                *scaled = f32::from(*value) * step;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::super::kernel_level::KernelLevel;
    use super::*;

    const INPUTS: usize = 301;
    const OUTPUTS: usize = 20;

    fn weight() -> Vec<f32> {
        let value = |index: usize| ((index * 7919) % 1009) as f32 / 504.5 - 1.0;
        (0..INPUTS * OUTPUTS).map(value).collect()
    }

    fn pack<'a>(
        weight: &'a [f32],
        threads: &'a Threads,
    ) -> Pack<'a, impl Fn(usize, usize, &mut [f32]) + Sync + 'a> {
        Pack {
            outputs: OUTPUTS,
            inputs: INPUTS,
            threads,
            read_row: |output, first_input, row: &mut [f32]| {
                row.copy_from_slice(&weight[output * INPUTS + first_input..][..row.len()]);
            },
        }
    }

    #[test]
    fn an_upcast_weight_differs_by_its_precision_s_rounding_at_most() {
        let (weight, threads) = (weight(), Threads::new(2).unwrap());
        for level in KernelLevel::available() {
            for (precision, tolerance) in [
                (Precision::F32, 0.0),
                (Precision::Bf16, 1.0 / 256.0),
                (Precision::Int8, 0.5 / 127.0 + 1e-6),
            ] {
                let kernel = level.kernel(Precision::F32);
                let panels = WeightPanels::new(kernel, precision, &pack(&weight, &threads)).unwrap();
                panels.with_parts(&[1], 256..301, |parts| {
                    let rows: &[f32] = cast_slice(parts[0]);
                    for (row, values) in rows.chunks_exact(PANEL).enumerate() {
                        for (column, value) in values.iter().enumerate() {
                            let expected = match PANEL + column < OUTPUTS && 256 + row < INPUTS {
                                true => weight[(PANEL + column) * INPUTS + 256 + row],
                                false => 0.0,
                            };
                            assert!((value - expected).abs() <= tolerance, "{level}, {precision:?}");
                        }
                    }
                });
            }
        }
    }

    #[test]
    fn a_row_of_zeros_is_quantised_to_zeros() {
        assert_eq!(int8_step(&[0.0; 3]), 0.0);
        let mut quantised = [9; 3];
        quantise(&[0.0; 3], 0.0, &mut quantised);
        assert_eq!(quantised, [0; 3]);
    }

    #[test]
    fn a_downcast_rounds_as_half_does() {
        let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -0.0, 1e-40];
        let tie = |bits: u32| f32::from_bits(bits << 16 | 0x8000);
        let values: Vec<f32> = weight()
            .into_iter()
            .chain(special)
            .chain([tie(0x3f80), tie(0x3f81)])
            .collect();
        let mut bits = vec![0; values.len()];
        downcast(&values, &mut bits);
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
        for level in KernelLevel::available() {
            let kernel = level.attention_kernel(Precision::Bf16);
            for start in [0, PANEL] {
                let mut a = vec![f32::NAN; PackedColumns::panel_length(kernel, INPUTS)];
                let mut b = a.clone();
                pack_transposed_panel(kernel, &weight, INPUTS, start, &mut a);
                pack_panel(kernel, &transposed, OUTPUTS, start, &mut b);
                let bits = |panel: &[f32]| panel.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&a), bits(&b), "{level}");
            }
        }
    }
}
