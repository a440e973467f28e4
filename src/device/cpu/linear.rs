//! Linear layers and embedding tables, in the type that their weights are stored in.

use std::sync::Arc;

use half::bf16;
use pulp::bytemuck::Pod;

use super::bf16_kernel::{self, Bf16Panels};
use super::int8_kernel::{self, Int8Panels};
use super::math::activate;
use super::panels::{
    OPERATIONS_A_VALUE, Pack, Precision, Values, WeightPanels, int8_scales, narrow, quantise,
};
use super::product::{Multiplier, PANEL, Tiles};
use super::stored::Stored;
use super::tensor::{Buffers, CpuTensor, with_scratch};
use super::threads::Threads;
use crate::device::{Activation, DeviceError, HostTensor, Result};

/// A linear layer: weight `[outputs, inputs]` and perhaps bias `[outputs]`.
pub struct CpuLinear {
    weight: Arc<Weight>,
    bias: Option<Vec<f32>>,
    outputs: usize,
    inputs: usize,
}

/// A weight as the fastest kernel of this machine reads it.
enum Weight {
    Bf16(Bf16Panels),
    Int8(Int8Panels),
    Widened(WeightPanels),
}

/// What multiplies weights of a precision on this machine.
pub(super) fn kernel_name(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => None,
        Precision::Bf16 => bf16_kernel::Kernel::fastest().map(|kernel| kernel.name),
        Precision::Int8 => int8_kernel::Kernel::fastest().map(|kernel| kernel.name),
    }
    .unwrap_or("f32")
}

impl Weight {
    fn new(precision: Precision, pack: &Pack<impl Fn(usize, usize, &mut [f32]) + Sync>) -> Result<Self> {
        if let (Precision::Bf16, Some(kernel)) = (precision, bf16_kernel::Kernel::fastest()) {
            return Bf16Panels::new(kernel, pack).map(Self::Bf16);
        }
        if let (Precision::Int8, Some(kernel)) = (precision, int8_kernel::Kernel::fastest()) {
            return Int8Panels::new(kernel, pack).map(Self::Int8);
        }
        WeightPanels::new(precision, pack).map(Self::Widened)
    }
}

impl CpuLinear {
    pub(super) fn new(
        weights: &[HostTensor],
        biases: &[HostTensor],
        precision: Precision,
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
            weight: Arc::new(Weight::new(precision, &pack)?),
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

    /// `activation(residual + x · weightᵀ + bias)`
    pub(super) fn forward(
        &self,
        x: &CpuTensor,
        residual: Option<&CpuTensor>,
        activation: Activation,
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
        if let Some(residual) = residual {
            residual.expect_shape("linear_add", "residual", &[rows, self.outputs])?;
        }
        let mut y = buffers.tensor(&[rows, self.outputs])?;
        let finish = |y: &mut [f32], row: usize, output: usize| {
            if let Some(residual) = residual {
                let residual = &residual.values()[row * self.outputs + output..];
                for (y, residual) in y.iter_mut().zip(residual) {
                    *y += residual;
                }
            }
            if let Some(bias) = &self.bias {
                for (y, bias) in y.iter_mut().zip(&bias[output..]) {
                    *y += bias;
                }
            }
            activate(y, activation);
        };
        match &*self.weight {
            Weight::Bf16(weight) => self.product(x, weight, &mut y, finish, buffers, threads)?,
            Weight::Int8(weight) => self.product(x, weight, &mut y, finish, buffers, threads)?,
            Weight::Widened(weight) => self.product(x, weight, &mut y, finish, buffers, threads)?,
        }
        Ok(y)
    }

    /// `y = x · w`; `finish` gets some outputs of a row once, with the row and the first of them.
    fn product<W: Multiplier>(
        &self,
        x: &CpuTensor,
        w: &W,
        y: &mut CpuTensor,
        finish: impl Fn(&mut [f32], usize, usize) + Sync,
        buffers: &Buffers,
        threads: &Threads,
    ) -> Result<()> {
        let (rows, _) = x.matrix("linear")?;
        let mut packed = buffers.tensor(&[w.packed_length(rows)])?;
        let x = w.pack(x.values(), rows, packed.values_mut(), threads);
        let tiles = Tiles::new(y.values_mut(), rows, self.outputs);
        let block = self.block_size(threads.count());
        let operations = rows * self.inputs * self.outputs;
        threads.for_each(self.outputs.div_ceil(block), operations, |index| {
            let start = index * block;
            let outputs = block.min(self.outputs - start);
            // SAFETY: every index has columns of its own.
            let mut y = unsafe { tiles.tile(0..rows, start..start + outputs) };
            y.assign_product(x, w, start / PANEL, |y, row, column| {
                finish(y, row, start + column)
            });
        });
        Ok(())
    }

    /// Outputs that one task computes, in whole panels: enough tasks to keep every thread busy to the end.
    fn block_size(&self, threads: usize) -> usize {
        self.outputs
            .div_ceil(4 * threads)
            .next_multiple_of(PANEL)
            .min(512)
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
                narrow(values, rounded)
            })?),
            Precision::Int8 => {
                let scales = int8_scales(vocab_size, width, threads, |row, values| {
                    table.read_f32(row * width, values);
                });
                let values = converted(table, threads, |row, values, rounded| {
                    quantise(values, scales[row], rounded);
                })?;
                Values::Int8 { values, scales }
            }
        };
        Ok(Self {
            rows,
            vocab_size,
            width,
        })
    }

    pub(super) fn embed(&self, tokens: &[u32], scale: f32, buffers: &Buffers) -> Result<CpuTensor> {
        let mut embeddings = buffers.tensor(&[tokens.len(), self.width])?;
        let rows = embeddings.values_mut().chunks_exact_mut(self.width.max(1));
        for (&token, embedding) in tokens.iter().zip(rows) {
            let row = token as usize;
            if row >= self.vocab_size {
                return Err(DeviceError::Token {
                    token,
                    vocab_size: self.vocab_size,
                });
            }
            let range = row * self.width..(row + 1) * self.width;
            match &self.rows {
                Values::F32(values) => scaled(embedding, &values[range], |value| value * scale),
                Values::Bf16(values) => scaled(embedding, &values[range], |bits| {
                    bf16::from_bits(bits).to_f32() * scale
                }),
                Values::Int8 { values, scales } => {
                    let scale = scales[row] * scale;
                    scaled(embedding, &values[range], |value| f32::from(value) * scale);
                }
            }
        }
        Ok(embeddings)
    }
}

/// A table's rows in another type; `convert` gets a row's index and its values.
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
