//! Linear layers on the card.

use tt_metal_sys as tt;
use tt_metal_sys::{Dtype, Layout};

use super::{TenstorrentDevice, TenstorrentTensor};
use crate::device::{DeviceError, HostTensor, Result};

/// A weight `[inputs, outputs]` and perhaps a bias `[1, outputs]`.
pub struct TenstorrentLinear {
    pub(super) bias: Option<tt::Tensor>,
    /// Ones `[1, outputs]`, for a layer in the residual's type: the fused operation multiplies with a gate.
    pub(super) gate: Option<tt::Tensor>,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
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
            self.place(values, &[1, 1, 1, outputs], Dtype::Bf16, Layout::Tile)
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
        })
    }
}
