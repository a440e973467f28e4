//! Linear layers and embedding tables, in the type that their weights are stored in.

use std::sync::Arc;

use bytemuck::Pod;
use half::bf16;

use super::division::Division;
use super::kernel::PANEL;
use super::kernel_level::KernelLevel;
use super::math::{activate, add, geglu, multiply};
use super::packed_rows::PackedRows;
use super::panels::{OPERATIONS_A_VALUE, Pack, Panels, Values, WeightPanels, downcast, int8_steps, quantise};
use super::precision::Precision;
use super::product::{Product, SharedMatrix};
use super::stored::Stored;
use super::tensor::{Buffers, CpuTensor, with_scratch};
use super::threads::Threads;
use crate::device::{Activation, DeviceError, HostTensor, Result, expect_tokens};

/// A linear layer: weight `[outputs, inputs]` and perhaps bias `[outputs]`.
pub struct CpuLinear {
    weight: Arc<WeightPanels>,
    bias: Option<Vec<f32>>,
    outputs: usize,
    inputs: usize,
}

impl CpuLinear {
    pub(super) fn new(
        weights: &[HostTensor],
        biases: &[HostTensor],
        (precision, level): (Precision, KernelLevel),
        threads: &Threads,
    ) -> Result<Self> {
        const OPERATION: &str = "upload_linear";
        let Some([_, inputs]) = weights.first().map(|weight| weight.shape.as_slice()) else {
            return Err(DeviceError::shape(
                OPERATION,
                "expected weights [outputs, inputs]",
            ));
        };
        let mut outputs = 0;
        for weight in weights {
            match weight.shape[..] {
                [rows, columns] if columns == *inputs => outputs += rows,
                _ => {
                    return Err(DeviceError::shape(
                        OPERATION,
                        format!("weight {:?}, expected [outputs, {inputs}]", weight.shape),
                    ));
                }
            }
        }
        let bias: Vec<f32> = biases.iter().flat_map(HostTensor::to_f32).collect();
        if !biases.is_empty() && bias.len() != outputs {
            return Err(DeviceError::shape(
                OPERATION,
                format!("{} biases for {outputs} outputs", bias.len()),
            ));
        }
        let read_row = |mut output: usize, first_input: usize, row: &mut [f32]| {
            for weight in weights {
                let outputs = weight.shape[0];
                if output < outputs {
                    return weight.read_f32(output * inputs + first_input, row);
                }
                output -= outputs;
            }
        };
        let pack = Pack {
            outputs,
            inputs: *inputs,
            threads,
            read_row,
        };
        Ok(Self {
            weight: Arc::new(WeightPanels::new(level.kernel(precision), precision, &pack)?),
            bias: (!biases.is_empty()).then_some(bias),
            outputs,
            inputs: *inputs,
        })
    }

    pub(super) fn with_bias(&self, bias: &CpuTensor) -> Result<Self> {
        bias.expect_shape("with_bias", "bias", &[1, self.outputs])?;
        Ok(Self {
            weight: Arc::clone(&self.weight),
            bias: Some(bias.values().to_vec()),
            ..*self
        })
    }

    /// `activation(x · weightᵀ + bias)`
    pub(super) fn forward(
        &self,
        x: &CpuTensor,
        activation: Activation,
        buffers: &Buffers,
        threads: &Threads,
    ) -> Result<CpuTensor> {
        self.product(
            x,
            #[inline(always)]
            |y: &mut [f32], [sums]: [&[f32]; 1], _: usize, column: usize| {
                y.copy_from_slice(sums);
                if let Some(bias) = &self.bias {
                    add(y, &bias[column..]);
                }
                activate(y, activation);
            },
            buffers,
            threads,
        )
    }

    /// `residual + gate · (x · weightᵀ + bias)`
    pub(super) fn forward_add(
        &self,
        x: &CpuTensor,
        gate: Option<&CpuTensor>,
        residual: &CpuTensor,
        buffers: &Buffers,
        threads: &Threads,
    ) -> Result<CpuTensor> {
        const OPERATION: &str = "linear_add";
        let (rows, _) = x.matrix(OPERATION)?;
        residual.expect_shape(OPERATION, "residual", &[rows, self.outputs])?;
        let gates_differ = gate.is_some_and(|gate| gate.shape().len() == 2);
        if let Some(gate) = gate {
            match gates_differ {
                true => gate.expect_shape(OPERATION, "gate", &[rows, self.outputs])?,
                false => gate.expect_shape(OPERATION, "gate", &[self.outputs])?,
            }
        }
        self.product(
            x,
            #[inline(always)]
            |y: &mut [f32], [sums]: [&[f32]; 1], row: usize, column: usize| {
                y.copy_from_slice(sums);
                if let Some(bias) = &self.bias {
                    add(y, &bias[column..]);
                }
                if let Some(gate) = gate {
                    let of_row = if gates_differ { row * self.outputs } else { 0 };
                    multiply(y, &gate.values()[of_row + column..]);
                }
                add(y, &residual.values()[row * self.outputs + column..]);
            },
            buffers,
            threads,
        )
    }

    /// `gelu_tanh(x · gateᵀ) · (x · upᵀ)` of a layer that has the rows of gate and then those of up, without
    /// bias. `None` where they are no whole panels.
    pub(super) fn geglu(
        &self,
        x: &CpuTensor,
        buffers: &Buffers,
        threads: &Threads,
    ) -> Result<Option<CpuTensor>> {
        if self.bias.is_some() || !self.outputs.is_multiple_of(2 * PANEL) {
            return Ok(None);
        }
        self.product(
            x,
            #[inline(always)]
            |y: &mut [f32], [gate, up]: [&[f32]; 2], _: usize, _: usize| geglu(gate, up, y),
            buffers,
            threads,
        )
        .map(Some)
    }

    /// Applies `finish` to `x · weightᵀ`, which makes one set of columns of SETS sets of the layer's.
    fn product<const SETS: usize>(
        &self,
        x: &CpuTensor,
        finish: impl Fn(&mut [f32], [&[f32]; SETS], usize, usize) + Sync,
        buffers: &Buffers,
        threads: &Threads,
    ) -> Result<CpuTensor> {
        let (rows, width) = x.matrix("linear")?;
        if width != self.inputs {
            return Err(DeviceError::shape(
                "linear",
                format!("x is {:?}, the layer takes {} inputs", x.shape(), self.inputs),
            ));
        }
        let kernel = self.weight.kernel();
        let mut packed = buffers.tensor(&[PackedRows::length(kernel, rows, width)])?;
        let x = PackedRows::pack(kernel, (x.values(), rows, width), packed.values_mut(), threads);
        let product = Product::new(x, &*self.weight, finish);
        let columns = product.columns();
        let mut y = buffers.tensor(&[rows, columns])?;
        let shared = SharedMatrix::new(y.values_mut(), rows, columns);
        let division = Division::new(rows, kernel.row_unit, columns.div_ceil(PANEL), threads.count());
        let operations = rows * self.inputs * self.outputs;
        threads.for_each(division.tasks(), operations, |task| {
            for (rows, panels) in division.rectangles(task) {
                let part = panels.start * PANEL..columns.min(panels.end * PANEL);
                let (first_row, first_column) = (rows.start, part.start);
                // SAFETY: every task has rectangles of its own.
                product.fill(unsafe { shared.part(rows, part) }, first_row, first_column);
            }
        });
        Ok(y)
    }
}

/// An embedding table `[vocab_size, width]`.
pub struct CpuTable {
    rows: Values,
    vocab_size: usize,
    width: usize,
}

impl CpuTable {
    pub(super) fn new(table: &HostTensor, precision: Precision, threads: &Threads) -> Result<Self> {
        let [vocab_size, width] = table.shape[..] else {
            return Err(DeviceError::shape(
                "upload_table",
                format!("expected [vocab_size, width], got {:?}", table.shape),
            ));
        };
        let rows = match precision {
            Precision::F32 => Values::F32(converted(table, threads, |_, values, same| {
                same.copy_from_slice(values)
            })?),
            Precision::Bf16 => Values::Bf16(converted(table, threads, |_, values, rounded| {
                downcast(values, rounded)
            })?),
            Precision::Int8 => {
                let steps = int8_steps(vocab_size, width, threads, |row, values| {
                    table.read_f32(row * width, values);
                });
                let values = converted(table, threads, |row, values, rounded| {
                    quantise(values, steps[row], rounded);
                })?;
                Values::Int8 { values, steps }
            }
        };
        Ok(Self {
            rows,
            vocab_size,
            width,
        })
    }

    /// Writes token ids as numbers: a tensor has f32 values, which are exact up to 2²⁴.
    pub(super) fn write_ids(&self, ids: &mut [f32], tokens: &[u32]) -> Result<()> {
        expect_tokens(tokens, self.vocab_size.min(1 << f32::MANTISSA_DIGITS))?;
        for (id, token) in ids.iter_mut().zip(tokens) {
            *id = *token as f32;
        }
        Ok(())
    }

    /// Looks up the rows of ids from [`write_ids`](Self::write_ids), each times `scale`.
    pub(super) fn embed(&self, ids: &CpuTensor, scale: f32, buffers: &Buffers) -> Result<CpuTensor> {
        let [count] = ids.shape()[..] else {
            return Err(DeviceError::shape(
                "embedding",
                format!("ids of shape {:?}, expected [tokens]", ids.shape()),
            ));
        };
        let mut embeddings = buffers.tensor(&[count, self.width])?;
        let rows = embeddings.values_mut().chunks_exact_mut(self.width.max(1));
        for (&id, embedding) in ids.values().iter().zip(rows) {
            let row = id as usize;
            expect_tokens(&[row as u32], self.vocab_size)?;
            let range = row * self.width..(row + 1) * self.width;
            match &self.rows {
                Values::F32(values) => scaled(embedding, &values[range], |value| value * scale),
                Values::Bf16(values) => scaled(embedding, &values[range], |bits| {
                    bf16::from_bits(bits).to_f32() * scale
                }),
                Values::Int8 { values, steps } => {
                    let scale = steps[row] * scale;
                    scaled(embedding, &values[range], |value| f32::from(value) * scale);
                }
            }
        }
        Ok(embeddings)
    }
}

/// Converts a table's rows to another type; `convert` gets a row's index and its values.
fn converted<T: Pod + Send>(
    table: &HostTensor,
    threads: &Threads,
    convert: impl Fn(usize, &[f32], &mut [T]) + Sync,
) -> Result<Stored<T>> {
    let width = table.shape[1];
    let mut rows = Stored::zeros(table.len())?;
    let operations = OPERATIONS_A_VALUE * table.len();
    threads.for_each_chunk(&mut rows, width.max(1), operations, |row, converted| {
        with_scratch(width, |values| {
            table.read_f32(row * width, values);
            convert(row, values, converted);
        });
    });
    Ok(rows)
}

fn scaled<T: Copy>(embedding: &mut [f32], values: &[T], scale: impl Fn(T) -> f32) {
    for (embedding, value) in embedding.iter_mut().zip(values) {
        *embedding = scale(*value);
    }
}
