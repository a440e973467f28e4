//! Linear layers and embedding tables, in f32 or bf16.

use half::bf16;
use half::slice::HalfFloatSliceExt;

use super::math::activate;
use super::product::{Columns, Matrix};
use super::tensor::CpuTensor;
use super::threads::Threads;
use crate::device::{Activation, DeviceError, HostTensor, Result};

/// In which type the CPU device keeps weights. It computes in f32 either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    F32,
    /// Half the memory; weights are rounded to 8 bits of mantissa.
    Bf16,
}

enum Values {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
}

impl Values {
    fn new(tensors: &[HostTensor], precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32(stack(tensors, |tensor| tensor.to_f32())),
            Precision::Bf16 => Self::Bf16(stack(tensors, |tensor| tensor.to_bf16())),
        }
    }

    /// A range of values in f32; `scratch` holds them when they were stored otherwise.
    fn as_f32<'a>(&'a self, start: usize, length: usize, scratch: &'a mut Vec<f32>) -> &'a [f32] {
        match self {
            Self::F32(values) => &values[start..start + length],
            Self::Bf16(values) => {
                scratch.resize(length, 0.0);
                values[start..start + length].convert_to_f32_slice(scratch);
                scratch
            }
        }
    }
}

/// The values of all tensors, one after the other; a single one is not copied again.
fn stack<T>(tensors: &[HostTensor], convert: impl Fn(&HostTensor) -> Vec<T>) -> Vec<T> {
    let mut tensors = tensors.iter();
    let mut values = tensors.next().map_or_else(Vec::new, &convert);
    for tensor in tensors {
        values.extend(convert(tensor));
    }
    values
}

/// A linear layer: weight `[outputs, inputs]` and perhaps bias `[outputs]`.
pub struct CpuLinear {
    weight: Values,
    bias: Option<Vec<f32>>,
    outputs: usize,
    inputs: usize,
}

impl CpuLinear {
    pub(super) fn new(weights: &[HostTensor], biases: &[HostTensor], precision: Precision) -> Result<Self> {
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
        Ok(Self {
            weight: Values::new(weights, precision),
            bias: (!biases.is_empty()).then_some(bias),
            outputs,
            inputs: *inputs,
        })
    }

    pub(super) fn forward(
        &self,
        x: &CpuTensor,
        activation: Activation,
        threads: &Threads,
    ) -> Result<CpuTensor> {
        let (rows, width) = x.matrix("linear")?;
        if width != self.inputs {
            return Err(DeviceError::shape(
                "linear",
                format!("x is {:?}, the layer takes {} inputs", x.shape(), self.inputs),
            ));
        }
        let mut y = vec![0.0; rows * self.outputs];
        let columns = Columns::new(&mut y, rows, self.outputs);
        let block = self.block_size(threads.count());
        let operations = rows * self.inputs * self.outputs;
        threads.for_each(self.outputs.div_ceil(block), operations, |index| {
            let start = index * block;
            let outputs = block.min(self.outputs - start);
            let mut scratch = Vec::new();
            let weight = self
                .weight
                .as_f32(start * self.inputs, outputs * self.inputs, &mut scratch);
            // SAFETY: every index has columns of its own.
            let mut y = unsafe { columns.block(start, outputs) };
            y.assign_product_transposed(
                Matrix::new(x.values(), rows, width),
                Matrix::new(weight, outputs, self.inputs),
                1.0,
            );
            for row in y.rows() {
                if let Some(bias) = &self.bias {
                    for (y, bias) in row.iter_mut().zip(&bias[start..]) {
                        *y += bias;
                    }
                }
                activate(row, activation);
            }
        });
        Ok(CpuTensor::new(y, &[rows, self.outputs]))
    }

    /// Outputs that one task computes: enough tasks for every thread, none too small to pack well.
    fn block_size(&self, threads: usize) -> usize {
        self.outputs
            .div_ceil(4 * threads)
            .next_multiple_of(64)
            .clamp(64, 512)
    }
}

/// An embedding table `[vocab_size, width]`.
pub struct CpuTable {
    rows: Values,
    vocab_size: usize,
    width: usize,
}

impl CpuTable {
    pub(super) fn new(table: &HostTensor, precision: Precision) -> Result<Self> {
        let [vocab_size, width] = table.shape[..] else {
            return Err(DeviceError::shape(
                "upload_table",
                format!("expected [vocab_size, width], got {:?}", table.shape),
            ));
        };
        Ok(Self {
            rows: Values::new(std::slice::from_ref(table), precision),
            vocab_size,
            width,
        })
    }

    pub(super) fn embed(&self, tokens: &[u32], scale: f32) -> Result<CpuTensor> {
        let mut embeddings = Vec::with_capacity(tokens.len() * self.width);
        let mut scratch = Vec::new();
        for &token in tokens {
            let row = token as usize;
            if row >= self.vocab_size {
                return Err(DeviceError::Token {
                    token,
                    vocab_size: self.vocab_size,
                });
            }
            let row = self.rows.as_f32(row * self.width, self.width, &mut scratch);
            embeddings.extend(row.iter().map(|value| value * scale));
        }
        Ok(CpuTensor::new(embeddings, &[tokens.len(), self.width]))
    }
}
