//! Linear layers on the card.

use tt_metal_sys as tt;
use tt_metal_sys::{
    Affine, ComputeKernel, Dtype, Fidelity, GatedResidual, GeluAccuracy, Layout, MatmulBlocks, Memory, Sums,
};

use super::blocks::{blocks, column_blocks};
use super::{TILE, TenstorrentDevice, TenstorrentTensor};
use crate::device::{Activation, DeviceError, HostTensor, Result, Tuning};

/// Rows from which on a product is cut into blocks of rows and outputs; below, it is cut along the outputs
/// alone.
const MANY_ROWS: usize = 256;

/// Bytes of each core's L1 for a result that is kept there, at most. A dozen of them live at once, beside the
/// buffers of an operation.
const MOST_KEPT_BYTES: usize = 16_384;
/// The same with [`Tuning::LargerL1`].
const MOST_KEPT_BYTES_LARGER: usize = 32_768;

/// Products with all mantissa bits of a weight, and all but the last of an activation's 8.
const WIDE_FEW_ROWS_COMPUTE: ComputeKernel = ComputeKernel {
    fidelity: Fidelity::HiFi2,
    sums: Sums::F32,
};
/// Products with all mantissa bits of both: few rows wait for the weight and not for products. Not for the
/// widest layers, gate and up and down: those are most of the products.
const FEW_ROWS_COMPUTE: ComputeKernel = ComputeKernel {
    fidelity: Fidelity::HiFi4,
    sums: Sums::F32,
};

/// A linear layer: weight `[inputs, outputs]` and perhaps bias `[1, outputs]`.
pub struct TenstorrentLinear {
    pub(super) bias: Option<TenstorrentTensor>,
    /// Ones `[1, outputs]`, for a layer in the residual's type: the fused operation always multiplies with a
    /// gate.
    pub(super) ones: Option<TenstorrentTensor>,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// Type of the weight.
    pub(super) dtype: Dtype,
    /// `[inputs, outputs]` of `up`, where the layer's own weight is the gate's alone.
    pub(super) up: Option<TenstorrentTensor>,
    // Dropped last: it keeps the card open.
    pub(super) weight: TenstorrentTensor,
}

impl TenstorrentLinear {
    fn affine(&self) -> Affine<'_> {
        Affine {
            weight: &self.weight.tensor,
            bias: self.bias.as_ref().map(|bias| &bias.tensor),
        }
    }

    /// Number of rows of an input `[rows, inputs]`.
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
    /// Uploads one layer of weights `[outputs, inputs]` stacked along their outputs.
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
        let weight = self.upload_values(transposed, &[1, 1, inputs, outputs], dtype, Layout::Tile)?;
        let of_outputs = |values: &dyn Fn() -> Vec<f32>| {
            let tensor = self.upload_values(values, &[1, 1, 1, outputs], Dtype::Bf16, Layout::Tile)?;
            Ok::<_, DeviceError>(self.matrix(tensor, 1, outputs))
        };
        let bias = match biases.is_empty() {
            true => None,
            false => Some(of_outputs(&|| {
                biases.iter().flat_map(HostTensor::to_f32).collect()
            })?),
        };
        let ones = match dtype {
            Dtype::Bf16 => Some(of_outputs(&|| vec![1.0; outputs])?),
            _ => None,
        };
        Ok(TenstorrentLinear {
            weight: self.matrix(weight, inputs, outputs),
            bias,
            ones,
            inputs,
            outputs,
            dtype,
            up: None,
        })
    }

    /// Uploads gate and up, `[outputs, inputs]` each: apart where few rows go through both as products of their own.
    pub(super) fn gated_layer(&self, gate: &HostTensor, up: &HostTensor) -> Result<TenstorrentLinear> {
        if !self.tuning.has(Tuning::ColumnProducts) {
            return self.layer(&[gate.clone(), up.clone()], &[], Dtype::Bf8);
        }
        let up = self.layer(std::slice::from_ref(up), &[], Dtype::Bf8)?;
        let gate = self.layer(std::slice::from_ref(gate), &[], Dtype::Bf8)?;
        if (up.inputs, up.outputs) != (gate.inputs, gate.outputs) {
            return Err(DeviceError::shape(
                "upload_gated_linear",
                format!(
                    "gate [{}, {}], up [{}, {}]",
                    gate.outputs, gate.inputs, up.outputs, up.inputs
                ),
            ));
        }
        Ok(TenstorrentLinear {
            up: Some(up.weight),
            ..gate
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
            Activation::GeluTanh => Some(tt::Activation::Gelu(self.gelu())),
            Activation::Silu => Some(tt::Activation::Silu),
        };
        let compute = match rows < MANY_ROWS {
            true => FEW_ROWS_COMPUTE,
            false => self.many_rows_compute(),
        };
        let y = self.product_of(&x.tensor, rows, layer, &layer.weight.tensor, activation, compute)?;
        Ok(self.matrix(y, rows, layer.outputs))
    }

    /// `activation(x · weight + bias)` with a weight of the layer.
    fn product_of(
        &self,
        x: &tt::Tensor,
        rows: usize,
        layer: &TenstorrentLinear,
        weight: &tt::Tensor,
        activation: Option<tt::Activation>,
        compute: ComputeKernel,
    ) -> Result<tt::Tensor> {
        let (card, affine) = (
            &self.card,
            Affine {
                weight,
                ..layer.affine()
            },
        );
        let memory = self.memory(rows, layer.outputs);
        // `linear` without blocks runs an activation, and between tensors in L1 also a bias, as an operation of its own.
        let is_plain = activation.is_none() && affine.bias.is_none();
        let y = match (rows < MANY_ROWS, self.tuning.has(Tuning::ColumnProducts)) {
            (true, true) => {
                let blocks = column_blocks(rows, layer.inputs, layer.outputs, layer.dtype, self.grid);
                card.linear_in_columns(x, affine, activation, &blocks, compute, memory)?
            }
            (true, false) if is_plain => card.linear(x, affine, compute, memory)?,
            _ => {
                let blocks = self.blocks(rows, layer);
                card.minimal_matmul(x, affine, activation, &blocks, compute, (Dtype::Bf16, memory))?
            }
        };
        Ok(y)
    }

    /// Products with all mantissa bits of a weight, and all but the last of an activation's 8, unless fewer are chosen.
    fn many_rows_compute(&self) -> ComputeKernel {
        ComputeKernel {
            fidelity: match self.tuning.has(Tuning::OnePassProducts) {
                true => Fidelity::LoFi,
                false => Fidelity::HiFi2,
            },
            sums: match self.tuning.has(Tuning::ShortSums) {
                true => Sums::Bf16,
                false => Sums::F32,
            },
        }
    }

    /// How products of so many rows are computed whose layers are the widest: gate, up, and those with a residual. Few rows of
    /// them are computed as exactly as many rows are by default, since they wait for the weight.
    fn wide_compute(&self, rows: usize) -> ComputeKernel {
        match rows < MANY_ROWS {
            true => WIDE_FEW_ROWS_COMPUTE,
            false => self.many_rows_compute(),
        }
    }

    fn gelu(&self) -> GeluAccuracy {
        match self.tuning.has(Tuning::ShortGelu) {
            true => GeluAccuracy::Bf16,
            false => GeluAccuracy::F32,
        }
    }

    /// `residual + gate · (x · weight + bias)`
    pub(super) fn product_add(
        &self,
        x: &TenstorrentTensor,
        layer: &TenstorrentLinear,
        gate: Option<&TenstorrentTensor>,
        residual: &TenstorrentTensor,
    ) -> Result<TenstorrentTensor> {
        const OPERATION: &str = "linear_add";
        let rows = layer.rows(OPERATION, x)?;
        residual.expect_shape(OPERATION, "residual", &[rows, layer.outputs])?;
        let gates_differ = gate.is_some_and(|gate| gate.shape.len() == 2);
        if let Some(gate) = gate {
            match gates_differ {
                true => gate.expect_shape(OPERATION, "gate", &[rows, layer.outputs])?,
                false => gate.expect_shape(OPERATION, "gate", &[layer.outputs])?,
            }
        }
        // The fused operation takes one gate for all rows.
        let Some(ones) = layer.ones.as_ref().filter(|_| !gates_differ) else {
            let y = self.product_of(
                &x.tensor,
                rows,
                layer,
                &layer.weight.tensor,
                None,
                self.wide_compute(rows),
            )?;
            let gate = gate.map(|gate| &gate.tensor);
            let sum = self.add_residual(&residual.tensor, gate, &y, (rows, layer.outputs))?;
            return Ok(self.matrix(sum, rows, layer.outputs));
        };
        let gate = gate.unwrap_or(ones);
        let y = self.card.minimal_matmul_add(
            &x.tensor,
            layer.affine(),
            &GatedResidual {
                residual: &residual.tensor,
                gate: &gate.tensor,
            },
            &self.blocks(rows, layer),
            self.wide_compute(rows),
            self.memory(rows, layer.outputs),
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
        let weight = &gate_up.weight.tensor;
        if let Some(up) = &gate_up.up {
            let compute = self.wide_compute(rows);
            let y = match rows < MANY_ROWS {
                true => {
                    let of = |weight, activation| {
                        self.product_of(&x.tensor, rows, gate_up, weight, activation, compute)
                    };
                    let gate = of(weight, Some(tt::Activation::Gelu(self.gelu())))?;
                    self.card.multiply(&gate, &of(&up.tensor, None)?)?
                }
                // Where a core has many tiles, their gelu takes longer than bringing them to the multiplication.
                false => {
                    let (blocks, memory) = (self.blocks(rows, gate_up), self.memory(rows, gate_up.outputs));
                    let dtype = match self.tuning.has(Tuning::CompactGates) {
                        true => Dtype::Bf8,
                        false => Dtype::Bf16,
                    };
                    let of = |weight| {
                        let affine = Affine { weight, bias: None };
                        self.card
                            .minimal_matmul(&x.tensor, affine, None, &blocks, compute, (dtype, memory))
                    };
                    self.card
                        .gelu_multiply(&of(weight)?, &of(&up.tensor)?, self.gelu())?
                }
            };
            return Ok(self.matrix(y, rows, gate_up.outputs));
        }
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
        let (gate, up) = self.card.minimal_matmul_halves(
            &x.tensor,
            weight,
            &self.blocks(rows, gate_up),
            self.wide_compute(rows),
            self.memory(rows, gate_up.outputs / 2),
        )?;
        let y = self.card.gelu_multiply(&gate, &up, self.gelu())?;
        Ok(self.matrix(y, rows, gate_up.outputs / 2))
    }

    /// Memory for a result of this many rows and columns: L1 for a small one, and only within captured work,
    /// whose tensors go when it ends.
    pub(super) fn memory(&self, rows: usize, width: usize) -> Memory {
        let (columns_of_cores, rows_of_cores) = self.grid;
        let bytes = rows.next_multiple_of(TILE) * width * size_of::<u16>();
        let most = match self.tuning.has(Tuning::LargerL1) {
            true => MOST_KEPT_BYTES_LARGER,
            false => MOST_KEPT_BYTES,
        };
        let is_small = bytes <= most * (columns_of_cores * rows_of_cores) as usize;
        match is_small && self.traces.is_working() {
            true => Memory::L1,
            false => Memory::Dram,
        }
    }

    fn blocks(&self, rows: usize, layer: &TenstorrentLinear) -> MatmulBlocks {
        blocks(rows, layer.inputs, layer.outputs, layer.dtype, self.grid)
    }
}
