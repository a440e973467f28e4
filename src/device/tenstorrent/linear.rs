//! Linear layers on the card.

use tt_metal_sys as tt;
use tt_metal_sys::{ComputeKernel, Dtype, Fidelity, GatedResidual, Layout, MatmulBlocks, Sums};

use super::blocks::blocks;
use super::{TILE, TenstorrentDevice, TenstorrentTensor};
use crate::device::{Activation, Device, DeviceError, HostTensor, Result};

/// From so many rows on a product is cut into blocks of rows and outputs, below it goes along the outputs alone.
const MANY_ROWS: usize = 256;

/// Everything of a weight, and all but the last of an activation's 8 bits.
const MANY_ROWS_COMPUTE: ComputeKernel = ComputeKernel {
    fidelity: Fidelity::HiFi2,
    sums: Sums::F32,
};
/// Everything of both: along the outputs of few rows, cores wait for the weight and not for products.
const FEW_ROWS_COMPUTE: ComputeKernel = ComputeKernel {
    fidelity: Fidelity::HiFi4,
    sums: Sums::F32,
};

/// A weight `[inputs, outputs]` and perhaps a bias `[1, outputs]`.
pub struct TenstorrentLinear {
    pub(super) bias: Option<TenstorrentTensor>,
    /// Ones `[1, outputs]`, for a layer in the residual's type: the fused operation multiplies with a gate.
    pub(super) gate: Option<TenstorrentTensor>,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// Of the weight.
    pub(super) dtype: Dtype,
    // Dropped last: it keeps the card open.
    pub(super) weight: TenstorrentTensor,
}

impl TenstorrentLinear {
    /// Rows of an input that fits.
    pub(super) fn rows(&self, operation: &'static str, x: &TenstorrentTensor) -> Result<usize> {
        let (rows, width) = x.matrix(operation)?;
        match width == self.inputs {
            true => Ok(rows),
            false => Err(DeviceError::shape(
                operation,
                format!("x is {:?}, the layer takes {} inputs", x.shape, self.inputs),
            )),
        }
    }
}

impl TenstorrentDevice {
    /// One layer of weights `[outputs, inputs]` stacked along their outputs.
    pub(super) fn layer(
        &self,
        weights: &[HostTensor],
        biases: &[HostTensor],
        dtype: Dtype,
    ) -> Result<TenstorrentLinear> {
        const OPERATION: &str = "upload_linear";
        let Some([_, inputs]) = weights.first().map(|weight| weight.shape.as_slice()) else {
            return Err(DeviceError::shape(
                OPERATION,
                "expected weights [outputs, inputs]",
            ));
        };
        let inputs = *inputs;
        let mut outputs = 0;
        for weight in weights {
            match weight.shape[..] {
                [rows, columns] if columns == inputs => outputs += rows,
                _ => {
                    return Err(DeviceError::shape(
                        OPERATION,
                        format!("weight {:?}, expected [outputs, {inputs}]", weight.shape),
                    ));
                }
            }
        }
        let bias_count: usize = biases.iter().map(HostTensor::len).sum();
        if !biases.is_empty() && bias_count != outputs {
            return Err(DeviceError::shape(
                OPERATION,
                format!("{bias_count} biases for {outputs} outputs"),
            ));
        }
        let transposed = || {
            let mut transposed = vec![0.0; inputs * outputs];
            let mut output = 0;
            let mut row = vec![0.0; inputs];
            for weight in weights {
                for index in 0..weight.shape[0] {
                    weight.read_f32(index * inputs, &mut row);
                    for (input, value) in row.iter().enumerate() {
                        transposed[input * outputs + output] = *value;
                    }
                    output += 1;
                }
            }
            transposed
        };
        let weight = self.place(transposed, &[1, 1, inputs, outputs], dtype, Layout::Tile)?;
        let of_outputs = |values: &dyn Fn() -> Vec<f32>| {
            let tensor = self.place(values, &[1, 1, 1, outputs], Dtype::Bf16, Layout::Tile)?;
            Ok::<_, DeviceError>(self.matrix(tensor, 1, outputs))
        };
        let bias = match biases.is_empty() {
            true => None,
            false => Some(of_outputs(&|| {
                biases.iter().flat_map(HostTensor::to_f32).collect()
            })?),
        };
        let gate = match dtype {
            Dtype::Bf16 => Some(of_outputs(&|| vec![1.0; outputs])?),
            _ => None,
        };
        Ok(TenstorrentLinear {
            weight: self.matrix(weight, inputs, outputs),
            bias,
            gate,
            inputs,
            outputs,
            dtype,
        })
    }

    /// `activation(x · weight + bias)`
    pub(super) fn product(
        &self,
        x: &TenstorrentTensor,
        layer: &TenstorrentLinear,
        activation: Activation,
    ) -> Result<TenstorrentTensor> {
        let rows = layer.rows("linear", x)?;
        let activation = match activation {
            Activation::None => None,
            Activation::GeluTanh => Some(tt::Activation::GeluTanh),
            Activation::Silu => Some(tt::Activation::Silu),
        };
        let weight = &layer.weight.tensor;
        let bias = layer.bias.as_ref().map(|bias| &bias.tensor);
        let y = match activation.is_none() && rows < MANY_ROWS {
            true => self.card.linear(&x.tensor, weight, bias, FEW_ROWS_COMPUTE)?,
            false => {
                let blocks = self.blocks(rows, layer);
                let card = &self.card;
                card.minimal_matmul(&x.tensor, weight, bias, activation, &blocks, MANY_ROWS_COMPUTE)?
            }
        };
        Ok(self.matrix(y, rows, layer.outputs))
    }

    /// `residual + x · weight + bias`
    pub(super) fn product_add(
        &self,
        x: &TenstorrentTensor,
        layer: &TenstorrentLinear,
        residual: &TenstorrentTensor,
    ) -> Result<TenstorrentTensor> {
        let rows = layer.rows("linear_add", x)?;
        residual.expect_shape("linear_add", "residual", &[rows, layer.outputs])?;
        let Some(gate) = &layer.gate else {
            return self.add(&self.linear(x, layer, Activation::None)?, residual);
        };
        let y = self.card.minimal_matmul_add(
            &x.tensor,
            &layer.weight.tensor,
            layer.bias.as_ref().map(|bias| &bias.tensor),
            &GatedResidual {
                residual: &residual.tensor,
                gate: &gate.tensor,
            },
            &self.blocks(rows, layer),
            MANY_ROWS_COMPUTE,
        )?;
        Ok(self.matrix(y, rows, layer.outputs))
    }

    /// `gelu_tanh(x · gate) · (x · up)`
    pub(super) fn gated_product(
        &self,
        x: &TenstorrentTensor,
        gate_up: &TenstorrentLinear,
    ) -> Result<TenstorrentTensor> {
        let rows = gate_up.rows("geglu", x)?;
        if !gate_up.outputs.is_multiple_of(2 * TILE) || gate_up.bias.is_some() {
            return Err(DeviceError::shape(
                "geglu",
                format!(
                    "gate and up have {} outputs together, expected a multiple of {}, without bias",
                    gate_up.outputs,
                    2 * TILE
                ),
            ));
        }
        let weight = &gate_up.weight.tensor;
        let (gate, up) = self.card.minimal_matmul_halves(
            &x.tensor,
            weight,
            &self.blocks(rows, gate_up),
            MANY_ROWS_COMPUTE,
        )?;
        let y = self.card.gelu_multiply(&gate, &up)?;
        Ok(self.matrix(y, rows, gate_up.outputs / 2))
    }

    fn blocks(&self, rows: usize, layer: &TenstorrentLinear) -> MatmulBlocks {
        blocks(rows, layer.inputs, layer.outputs, layer.dtype, self.grid)
    }
}
