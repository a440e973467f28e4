//! The CPU device: the embedded default, and the yardstick of every other device.

mod attention;
mod linear;
mod math;
mod product;
mod tensor;
mod threads;

use std::sync::atomic::{AtomicU64, Ordering};

pub use linear::{CpuLinear, CpuTable, Precision};
pub use tensor::CpuTensor;

use self::threads::Threads;
use super::{Activation, Device, DeviceError, HeadLayout, Heads, HostTensor, Result, RopeTable};

/// Computes in f32 on the host's cores, with weights in f32 or bf16.
pub struct CpuDevice {
    threads: Threads,
    precision: Precision,
    read_backs: AtomicU64,
}

impl CpuDevice {
    /// A device on `threads` threads, 0 for as many as the machine runs at once.
    ///
    /// # Errors
    /// When the threads cannot be started.
    pub fn new(precision: Precision, threads: usize) -> Result<Self> {
        Ok(Self {
            threads: Threads::new(threads)?,
            precision,
            read_backs: AtomicU64::new(0),
        })
    }
}

impl Device for CpuDevice {
    type Tensor = CpuTensor;
    type Linear = CpuLinear;
    type Table = CpuTable;

    fn description(&self) -> String {
        let weights = match self.precision {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        };
        format!("CPU, {} threads, {weights} weights", self.threads.count())
    }

    fn upload(&self, values: &[f32], shape: &[usize]) -> Result<CpuTensor> {
        if values.len() != shape.iter().product::<usize>() {
            return Err(DeviceError::shape(
                "upload",
                format!("{} values for shape {shape:?}", values.len()),
            ));
        }
        Ok(CpuTensor::new(values.to_vec(), shape))
    }

    fn upload_parameter(&self, parameter: &HostTensor) -> Result<CpuTensor> {
        Ok(CpuTensor::new(parameter.to_f32(), &parameter.shape))
    }

    fn upload_linear(&self, weights: &[HostTensor], biases: &[HostTensor]) -> Result<CpuLinear> {
        CpuLinear::new(weights, biases, self.precision)
    }

    fn upload_table(&self, table: &HostTensor) -> Result<CpuTable> {
        CpuTable::new(table, self.precision)
    }

    fn read_back(&self, tensor: &CpuTensor) -> Result<Vec<f32>> {
        self.read_backs.fetch_add(1, Ordering::Relaxed);
        Ok(tensor.values().to_vec())
    }

    fn read_backs(&self) -> u64 {
        self.read_backs.load(Ordering::Relaxed)
    }

    fn shape(&self, tensor: &CpuTensor) -> Vec<usize> {
        tensor.shape().to_vec()
    }

    fn zeros(&self, shape: &[usize]) -> Result<CpuTensor> {
        Ok(CpuTensor::new(vec![0.0; shape.iter().product()], shape))
    }

    fn linear(&self, x: &CpuTensor, layer: &CpuLinear, activation: Activation) -> Result<CpuTensor> {
        layer.forward(x, activation, &self.threads)
    }

    fn embedding(&self, table: &CpuTable, tokens: &[u32], scale: f32) -> Result<CpuTensor> {
        table.embed(tokens, scale)
    }

    fn layer_norm(&self, x: &CpuTensor, weight: &CpuTensor, bias: &CpuTensor, eps: f32) -> Result<CpuTensor> {
        let (_, width) = x.matrix("layer_norm")?;
        weight.expect_shape("layer_norm", "weight", &[width])?;
        bias.expect_shape("layer_norm", "bias", &[width])?;
        Ok(self.map_rows(x, width, |x, y| {
            math::layer_norm(x, weight.values(), bias.values(), eps, y)
        }))
    }

    fn rms_norm(&self, x: &CpuTensor, weight: &CpuTensor, eps: f32) -> Result<CpuTensor> {
        let (_, width) = x.matrix("rms_norm")?;
        weight.expect_shape("rms_norm", "weight", &[width])?;
        Ok(self.map_rows(x, width, |x, y| math::rms_norm(x, weight.values(), eps, y)))
    }

    fn split_heads(&self, qkv: &CpuTensor, layout: HeadLayout) -> Result<Heads<CpuTensor>> {
        attention::split_heads(qkv, layout)
    }

    fn rope(&self, x: &CpuTensor, table: &RopeTable<CpuTensor>) -> Result<CpuTensor> {
        attention::rope(x, table, &self.threads)
    }

    fn attention(
        &self,
        queries: &CpuTensor,
        keys: &CpuTensor,
        values: &CpuTensor,
        valid_keys: usize,
        mask: Option<&CpuTensor>,
        scale: f32,
    ) -> Result<CpuTensor> {
        attention::attention((queries, keys, values), valid_keys, mask, scale, &self.threads)
    }

    fn geglu(&self, gate_up: &CpuTensor) -> Result<CpuTensor> {
        let (_, width) = gate_up.matrix("geglu")?;
        if !width.is_multiple_of(2) {
            return Err(DeviceError::shape(
                "geglu",
                format!("odd width of {:?}", gate_up.shape()),
            ));
        }
        Ok(self.map_rows(gate_up, width / 2, |gate_up, y| {
            let (gate, up) = gate_up.split_at(width / 2);
            for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
                *y = math::gelu_tanh(*gate) * up;
            }
        }))
    }

    fn add(&self, x: &CpuTensor, y: &CpuTensor) -> Result<CpuTensor> {
        y.expect_shape("add", "y", x.shape())?;
        let sum = x.values().iter().zip(y.values()).map(|(x, y)| x + y).collect();
        Ok(CpuTensor::new(sum, x.shape()))
    }

    fn concat_rows(&self, parts: &[&CpuTensor]) -> Result<CpuTensor> {
        const OPERATION: &str = "concat_rows";
        let first = parts
            .first()
            .ok_or_else(|| DeviceError::shape(OPERATION, "nothing to concatenate"))?;
        let (_, width) = first.matrix(OPERATION)?;
        let mut values = Vec::new();
        for part in parts {
            let (rows, _) = part.matrix(OPERATION)?;
            part.expect_shape(OPERATION, "a part", &[rows, width])?;
            values.extend_from_slice(part.values());
        }
        Ok(CpuTensor::new(
            values,
            &[parts.iter().map(|part| part.shape()[0]).sum(), width],
        ))
    }

    fn concat_columns(&self, parts: &[&CpuTensor]) -> Result<CpuTensor> {
        const OPERATION: &str = "concat_columns";
        let first = parts
            .first()
            .ok_or_else(|| DeviceError::shape(OPERATION, "nothing to concatenate"))?;
        let (rows, _) = first.matrix(OPERATION)?;
        let mut total = 0;
        for part in parts {
            let (_, width) = part.matrix(OPERATION)?;
            part.expect_shape(OPERATION, "a part", &[rows, width])?;
            total += width;
        }
        let mut values = Vec::with_capacity(rows * total);
        for row in 0..rows {
            for part in parts {
                let width = part.shape()[1];
                values.extend_from_slice(&part.values()[row * width..][..width]);
            }
        }
        Ok(CpuTensor::new(values, &[rows, total]))
    }

    fn write_tokens(&self, cache: &mut CpuTensor, start: usize, tokens: &CpuTensor) -> Result<()> {
        const OPERATION: &str = "write_tokens";
        let (heads, capacity, head_dim) = cache.heads(OPERATION)?;
        let (_, count, _) = tokens.heads(OPERATION)?;
        tokens.expect_shape(OPERATION, "tokens", &[heads, count, head_dim])?;
        if start + count > capacity {
            return Err(DeviceError::shape(
                OPERATION,
                format!("{count} tokens from {start} on do not fit into {capacity}"),
            ));
        }
        let destination = cache.values_mut();
        for (head, values) in tokens
            .values()
            .chunks_exact((count * head_dim).max(1))
            .enumerate()
        {
            destination[(head * capacity + start) * head_dim..][..count * head_dim].copy_from_slice(values);
        }
        Ok(())
    }

    fn euler_update(&self, x_t: &CpuTensor, v_t: &CpuTensor, dt: f32) -> Result<CpuTensor> {
        v_t.expect_shape("euler_update", "v_t", x_t.shape())?;
        let updated = x_t
            .values()
            .iter()
            .zip(v_t.values())
            .map(|(x, v)| x + dt * v)
            .collect();
        Ok(CpuTensor::new(updated, x_t.shape()))
    }
}

impl CpuDevice {
    /// A new tensor of `width` columns whose every row is made from the row of `x`.
    fn map_rows(
        &self,
        x: &CpuTensor,
        width: usize,
        map: impl Fn(&[f32], &mut [f32]) + Sync + Send,
    ) -> CpuTensor {
        let rows = x.shape()[0];
        let mut y = vec![0.0; rows * width];
        if width > 0 {
            let x_width = x.shape()[1];
            // A transcendental function or a sum in f64 takes about this many elementary operations a value.
            let operations = 16 * x.values().len();
            let rows_per_task = rows.div_ceil(8 * self.threads.count()).max(1);
            self.threads
                .for_each_chunk(&mut y, rows_per_task * width, operations, |task, rows| {
                    let first = task * rows_per_task;
                    for (row, y) in rows.chunks_exact_mut(width).enumerate() {
                        map(&x.values()[(first + row) * x_width..][..x_width], y);
                    }
                });
        }
        CpuTensor::new(y, &[rows, width])
    }
}
