//! The CPU device: the embedded default, and the yardstick of every other device.

mod attention;
mod f32_kernel;
mod int8_kernel;
mod linear;
mod math;
mod panels;
mod product;
mod stored;
mod tensor;
mod threads;

use std::sync::atomic::{AtomicU64, Ordering};

pub use linear::{CpuLinear, CpuTable};
pub use panels::Precision;
pub use tensor::CpuTensor;

use self::tensor::Buffers;
use self::threads::Threads;
use super::{Activation, Device, DeviceError, HeadLayout, Heads, HostTensor, Result, RopeTable};

/// Computes in f32 on the host's cores, with weights in f32 or bf16.
pub struct CpuDevice {
    threads: Threads,
    precision: Precision,
    buffers: Buffers,
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
            buffers: Buffers::default(),
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
            Precision::Int8 => "int8",
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
        self.tensor_from(shape, values)
    }

    fn upload_parameter(&self, parameter: &HostTensor) -> Result<CpuTensor> {
        self.tensor_from(&parameter.shape, &parameter.to_f32())
    }

    fn upload_linear(&self, weights: &[HostTensor], biases: &[HostTensor]) -> Result<CpuLinear> {
        CpuLinear::new(weights, biases, self.precision, &self.threads)
    }

    fn upload_table(&self, table: &HostTensor) -> Result<CpuTable> {
        CpuTable::new(table, self.precision, &self.threads)
    }

    fn read_back(&self, tensor: &CpuTensor) -> Result<Vec<f32>> {
        self.read_backs.fetch_add(1, Ordering::Relaxed);
        Ok(tensor.values().to_vec())
    }

    fn read_backs(&self) -> u64 {
        self.read_backs.load(Ordering::Relaxed)
    }

    fn shape<'a>(&self, tensor: &'a CpuTensor) -> &'a [usize] {
        tensor.shape()
    }

    fn zeros(&self, shape: &[usize]) -> Result<CpuTensor> {
        let mut zeros = self.buffers.tensor(shape)?;
        zeros.values_mut().fill(0.0);
        Ok(zeros)
    }

    fn linear(&self, x: &CpuTensor, layer: &CpuLinear, activation: Activation) -> Result<CpuTensor> {
        layer.forward(x, activation, &self.buffers, &self.threads)
    }

    fn embedding(&self, table: &CpuTable, tokens: &[u32], scale: f32) -> Result<CpuTensor> {
        table.embed(tokens, scale, &self.buffers)
    }

    fn layer_norm(&self, x: &CpuTensor, weight: &CpuTensor, bias: &CpuTensor, eps: f32) -> Result<CpuTensor> {
        let (_, width) = x.matrix("layer_norm")?;
        weight.expect_shape("layer_norm", "weight", &[width])?;
        bias.expect_shape("layer_norm", "bias", &[width])?;
        self.map_rows(x, width, |x, y| {
            math::layer_norm(x, weight.values(), bias.values(), eps, y)
        })
    }

    fn rms_norm(&self, x: &CpuTensor, weight: &CpuTensor, eps: f32) -> Result<CpuTensor> {
        let (_, width) = x.matrix("rms_norm")?;
        weight.expect_shape("rms_norm", "weight", &[width])?;
        self.map_rows(x, width, |x, y| math::rms_norm(x, weight.values(), eps, y))
    }

    fn split_heads(&self, qkv: &CpuTensor, layout: HeadLayout) -> Result<Heads<CpuTensor>> {
        attention::split_heads(qkv, layout, &self.buffers)
    }

    fn rope(&self, x: &CpuTensor, table: &RopeTable<CpuTensor>) -> Result<CpuTensor> {
        attention::rope(x, table, &self.buffers, &self.threads)
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
        let (buffers, threads) = (&self.buffers, &self.threads);
        attention::attention((queries, keys, values), valid_keys, mask, scale, buffers, threads)
    }

    fn geglu(&self, gate_up: &CpuTensor) -> Result<CpuTensor> {
        let (_, width) = gate_up.matrix("geglu")?;
        if !width.is_multiple_of(2) {
            return Err(DeviceError::shape(
                "geglu",
                format!("odd width of {:?}", gate_up.shape()),
            ));
        }
        self.map_rows(gate_up, width / 2, |gate_up, y| {
            let (gate, up) = gate_up.split_at(width / 2);
            math::geglu(gate, up, y);
        })
    }

    fn add(&self, x: &CpuTensor, y: &CpuTensor) -> Result<CpuTensor> {
        y.expect_shape("add", "y", x.shape())?;
        self.zip(x, y, |x, y| x + y)
    }

    fn concat_rows(&self, parts: &[&CpuTensor]) -> Result<CpuTensor> {
        const OPERATION: &str = "concat_rows";
        let first = parts
            .first()
            .ok_or_else(|| DeviceError::shape(OPERATION, "nothing to concatenate"))?;
        let (_, width) = first.matrix(OPERATION)?;
        let mut rows = 0;
        for part in parts {
            let (height, _) = part.matrix(OPERATION)?;
            part.expect_shape(OPERATION, "a part", &[height, width])?;
            rows += height;
        }
        let mut joined = self.buffers.tensor(&[rows, width])?;
        let mut rest = joined.values_mut();
        for part in parts {
            let (place, behind) = rest.split_at_mut(part.values().len());
            place.copy_from_slice(part.values());
            rest = behind;
        }
        Ok(joined)
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
        let mut joined = self.buffers.tensor(&[rows, total])?;
        for (row, joined) in joined.values_mut().chunks_exact_mut(total.max(1)).enumerate() {
            let mut rest = joined;
            for part in parts {
                let width = part.shape()[1];
                let (place, behind) = rest.split_at_mut(width);
                place.copy_from_slice(&part.values()[row * width..][..width]);
                rest = behind;
            }
        }
        Ok(joined)
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
        self.zip(x_t, v_t, |x, v| x + dt * v)
    }
}

impl CpuDevice {
    fn tensor_from(&self, shape: &[usize], values: &[f32]) -> Result<CpuTensor> {
        let mut tensor = self.buffers.tensor(shape)?;
        tensor.values_mut().copy_from_slice(values);
        Ok(tensor)
    }

    /// A new tensor whose every value is made from those of two tensors of one shape.
    fn zip(&self, x: &CpuTensor, y: &CpuTensor, f: impl Fn(f32, f32) -> f32) -> Result<CpuTensor> {
        let mut result = self.buffers.tensor(x.shape())?;
        for ((result, x), y) in result.values_mut().iter_mut().zip(x.values()).zip(y.values()) {
            *result = f(*x, *y);
        }
        Ok(result)
    }

    /// A new tensor of `width` columns whose every row is made from the row of `x`.
    fn map_rows(
        &self,
        x: &CpuTensor,
        width: usize,
        map: impl Fn(&[f32], &mut [f32]) + Sync + Send,
    ) -> Result<CpuTensor> {
        let [rows, x_width] = *x.shape() else {
            unreachable!("rows of a matrix, which the operation checked");
        };
        let mut y = self.buffers.tensor(&[rows, width])?;
        if width > 0 && rows > 0 {
            // A transcendental function takes about this many elementary operations a value.
            let operations = 16 * x.values().len();
            let rows_per_task = rows.div_ceil(8 * self.threads.count());
            self.threads
                .for_each_chunk(y.values_mut(), rows_per_task * width, operations, |task, rows| {
                    let first = task * rows_per_task;
                    for (row, y) in rows.chunks_exact_mut(width).enumerate() {
                        map(&x.values()[(first + row) * x_width..][..x_width], y);
                    }
                });
        }
        Ok(y)
    }
}
