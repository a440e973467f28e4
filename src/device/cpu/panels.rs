//! Matrices laid out in panels: weights in the type they are stored in, and keys and values packed when they are met.

use std::cell::RefCell;
use std::ops::Range;

use half::bf16;
use half::slice::HalfFloatSliceExt;
use pulp::Arch;

use super::f32_kernel::Panels;
use super::int8_kernel::{Int8Panels, PAIR};
use super::product::{INNER_BLOCK, PANEL};
use super::tensor::with_scratch;
use super::threads::Threads;

/// A matrix `[inner, columns]` in f32 panels, in memory that its maker lends.
pub(super) struct PackedColumns<'a> {
    panels: &'a [f32],
    inner: usize,
    columns: usize,
}

/// A linear layer's weight `[outputs, inputs]`, transposed: a panel holds PANEL outputs.
pub(super) struct WeightPanels {
    values: Values,
    outputs: usize,
    inputs: usize,
}

/// Weights as they are stored.
pub(super) enum Values {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
    /// A scale for each output of a layer, filled up to whole panels, or for each row of a table.
    Int8 {
        values: Vec<i8>,
        scales: Vec<f32>,
    },
}

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

    fn with_rows(&self, panel: usize, rows: Range<usize>, work: impl FnOnce(&[f32])) {
        let start = (panel * self.inner + rows.start) * PANEL;
        work(&self.panels[start..][..rows.len() * PANEL]);
    }
}

impl WeightPanels {
    /// Of a weight whose row of an output, `[inputs]`, is written by `read_row`.
    pub fn new(
        outputs: usize,
        inputs: usize,
        precision: Precision,
        threads: &Threads,
        read_row: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Self {
        let panels = outputs.div_ceil(PANEL);
        let read_panel = |panel: usize, work: &mut dyn FnMut(&[f32])| {
            with_scratch(PANEL * inputs, |rows| {
                for (column, row) in rows.chunks_exact_mut(inputs.max(1)).enumerate() {
                    match panel * PANEL + column {
                        output if output < outputs => read_row(output, row),
                        _ => row.fill(0.0),
                    }
                }
                work(rows);
            });
        };
        let values = match precision {
            Precision::F32 => Values::F32(transposed(panels, inputs, 1, threads, &read_panel, |_, value| {
                value
            })),
            Precision::Bf16 => {
                Values::Bf16(transposed(panels, inputs, 1, threads, &read_panel, |_, value| {
                    bf16::from_f32(value)
                }))
            }
            Precision::Int8 => {
                let mut scales = vec![0.0; panels * PANEL];
                threads.for_each_chunk(&mut scales, PANEL, outputs * inputs, |panel, scales| {
                    read_panel(panel, &mut |rows| {
                        for (scale, row) in scales.iter_mut().zip(rows.chunks_exact(inputs.max(1))) {
                            *scale = int8_scale(row);
                        }
                    });
                });
                let values = transposed(panels, inputs, PAIR, threads, &read_panel, |output, value| {
                    quantised(value, scales[output])
                });
                Values::Int8 { values, scales }
            }
        };
        Self {
            values,
            outputs,
            inputs,
        }
    }

    /// Integers for a product of integers; none when the weights are of another type.
    pub fn int8(&self) -> Option<Int8Panels<'_>> {
        match &self.values {
            Values::Int8 { values, scales } => {
                Some(Int8Panels::new(values, scales, self.inputs, self.outputs))
            }
            Values::F32(_) | Values::Bf16(_) => None,
        }
    }
}

/// All panels, `[panels, inputs / group, PANEL, group]` with zeros behind the last input; `convert` gets each value with
/// its output.
fn transposed<T: Copy + Default + Send>(
    panels: usize,
    inputs: usize,
    group: usize,
    threads: &Threads,
    read_panel: &(impl Fn(usize, &mut dyn FnMut(&[f32])) + Sync),
    convert: impl Fn(usize, f32) -> T + Sync,
) -> Vec<T> {
    let length = inputs.next_multiple_of(group) * PANEL;
    let mut values = vec![T::default(); panels * length];
    threads.for_each_chunk(&mut values, length.max(1), panels * length, |panel, values| {
        read_panel(panel, &mut |rows| {
            for (input, values) in values.chunks_exact_mut(group * PANEL).enumerate() {
                for (column, values) in values.chunks_exact_mut(group).enumerate() {
                    let row = &rows[column * inputs..][..inputs];
                    for (value, weight) in values.iter_mut().zip(&row[input * group..]) {
                        *value = convert(panel * PANEL + column, *weight);
                    }
                }
            }
        });
    });
    values
}

impl Panels for WeightPanels {
    fn inner(&self) -> usize {
        self.inputs
    }

    fn columns(&self) -> usize {
        self.outputs
    }

    fn with_rows(&self, panel: usize, rows: Range<usize>, work: impl FnOnce(&[f32])) {
        let start = (panel * self.inputs + rows.start) * PANEL;
        let range = start..start + rows.len() * PANEL;
        match &self.values {
            Values::F32(values) => work(&values[range]),
            Values::Bf16(values) => with_part(range.len(), |part| {
                widen(&values[range], part);
                work(part);
            }),
            Values::Int8 { values, scales } => {
                let scales = &scales[panel * PANEL..][..PANEL];
                let start = (panel * self.inputs.next_multiple_of(PAIR) + rows.start) * PANEL;
                with_part(rows.len() * PANEL, |part| {
                    scale_rows(&values[start..], scales, part);
                    work(part);
                });
            }
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

/// What a row's values are counted in, so that the largest is 127.
pub(super) fn int8_scale(row: &[f32]) -> f32 {
    row.iter()
        .fold(0.0, |largest: f32, value| largest.max(value.abs()))
        / 127.0
}

pub(super) fn quantised(value: f32, scale: f32) -> i8 {
    if scale > 0.0 {
        (value / scale).round() as i8
    } else {
        0
    }
}

fn widen(values: &[bf16], widened: &mut [f32]) {
    let bits: &[u16] = values.reinterpret_cast();
    Arch::new().dispatch(|| {
        for (widened, bits) in widened.iter_mut().zip(bits) {
            *widened = f32::from_bits(u32::from(*bits) << 16);
        }
    });
}

/// Rows of a panel from pairs of them, `[rows / 2, PANEL, 2]`.
fn scale_rows(pairs: &[i8], scales: &[f32], scaled: &mut [f32]) {
    Arch::new().dispatch(|| {
        for (row, scaled) in scaled.chunks_exact_mut(PANEL).enumerate() {
            let pairs = &pairs[row / PAIR * PAIR * PANEL..][..PAIR * PANEL];
            for ((scaled, pair), scale) in scaled.iter_mut().zip(pairs.chunks_exact(PAIR)).zip(scales) {
                *scaled = f32::from(pair[row % PAIR]) * scale;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUTS: usize = 301;
    const OUTPUTS: usize = 20;

    fn weight() -> Vec<f32> {
        (0..INPUTS * OUTPUTS)
            .map(|index| ((index * 7919) % 1009) as f32 / 504.5 - 1.0)
            .collect()
    }

    fn panels(precision: Precision) -> WeightPanels {
        let weight = weight();
        let threads = Threads::new(2).unwrap();
        WeightPanels::new(OUTPUTS, INPUTS, precision, &threads, |output, row| {
            row.copy_from_slice(&weight[output * INPUTS..][..INPUTS]);
        })
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
        assert_eq!(quantised(0.0, 0.0), 0);
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
