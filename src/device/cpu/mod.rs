//! The CPU device: the embedded default, and the yardstick of every other device.

#[cfg(target_arch = "x86_64")]
mod amx;
mod attention;
mod division;
mod kernel;
mod kernel_choice;
mod kernel_level;
mod linear;
mod math;
mod packed_rows;
mod panels;
mod part;
mod precision;
mod prefetch;
mod product;
mod row_order;
mod stored;
mod tensor;
mod threads;
mod vectors;

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

pub use kernel_level::{KERNEL_VARIABLE, KernelLevel};
pub use linear::{CpuLinear, CpuTable};
pub use precision::Precision;
pub use tensor::CpuTensor;

use self::tensor::Buffers;
use self::threads::Threads;
use super::patches::image_shape;
use super::{
    Activation, Device, DeviceError, HeadLayout, Heads, HostTensor, InstructionPeak, KeysValues, PatchGrid,
    Pixels, Result, RopeTable, expect_count,
};

/// The host's cores, with weights in f32, bf16 or int8. They compute in f32, and where the machine has the
/// instructions, products with bf16 weights in bf16 and with int8 weights in integers.
pub struct CpuDevice {
    threads: Threads,
    precision: Precision,
    kernel_level: KernelLevel,
    tile: usize,
    buffers: Buffers,
    read_backs: AtomicU64,
}

impl CpuDevice {
    /// Opens the device on `threads` threads, 0 for as many as the machine runs at once, with the kernels
    /// that the environment chooses ([`KERNEL_VARIABLE`]), or the fastest.
    ///
    /// # Errors
    /// When the threads cannot be started, or the environment chooses kernels that this machine lacks.
    pub fn new(precision: Precision, threads: usize) -> Result<Self> {
        Self::with_kernel_level(precision, threads, KernelLevel::from_environment()?)
    }

    /// Opens the device with the kernels of a level.
    ///
    /// # Errors
    /// When the threads cannot be started, or this machine lacks the level's instructions.
    pub fn with_kernel_level(
        precision: Precision,
        threads: usize,
        kernel_level: KernelLevel,
    ) -> Result<Self> {
        kernel_level.check_available()?;
        Ok(Self {
            threads: Threads::new(threads)?,
            precision,
            kernel_level,
            tile: 1,
            buffers: Buffers::default(),
            read_backs: AtomicU64::new(0),
        })
    }

    /// Makes the device demand tiles, as devices do whose memory comes in tiles, to test the model's padding
    /// without them.
    pub fn with_tile(self, tile: usize) -> Self {
        Self { tile, ..self }
    }
}

impl Device for CpuDevice {
    type Tensor = CpuTensor;
    type Linear = CpuLinear;
    type Table = CpuTable;
    type Trace = ();

    fn description(&self) -> String {
        let threads = self.threads.count();
        format!(
            "CPU, {threads} threads, {} weights, products in {}",
            self.precision(),
            self.kernel_level.kernel(self.precision).level
        )
    }

    fn precision(&self) -> &'static str {
        self.precision.name()
    }

    fn instruction_peak(&self) -> Option<InstructionPeak> {
        const RUNS: usize = 15;
        let kernel = self.kernel_level.kernel(self.precision);
        Some(InstructionPeak {
            kernel: kernel.level.name(),
            gflops: kernel.peak_operations_per_second(&self.threads, RUNS)? / 1e9,
        })
    }

    fn upload(&self, values: &[f32], shape: &[usize]) -> Result<CpuTensor> {
        expect_count("upload", values.len(), shape)?;
        self.tensor_from(shape, values)
    }

    fn upload_image(&self, pixels: &Pixels, image_size: usize) -> Result<CpuTensor> {
        let mut image = self.buffers.tensor(&image_shape(image_size))?;
        self.write_image(&mut image, pixels)?;
        Ok(image)
    }

    fn write(&self, tensor: &mut CpuTensor, values: &[f32]) -> Result<()> {
        expect_count("write", values.len(), tensor.shape())?;
        tensor.values_mut().copy_from_slice(values);
        Ok(())
    }

    fn write_image(&self, image: &mut CpuTensor, pixels: &Pixels) -> Result<()> {
        expect_count("write_image", pixels.len(), image.shape())?;
        pixels.write_values(image.values_mut());
        Ok(())
    }

    fn run_captured<'a>(
        &self,
        _: &mut (),
        _: impl IntoIterator<Item = &'a CpuTensor>,
        work: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        work()
    }

    fn upload_parameter(&self, parameter: &HostTensor) -> Result<CpuTensor> {
        self.tensor_from(&parameter.shape, &parameter.to_f32())
    }

    fn upload_linear(&self, weights: &[HostTensor], biases: &[HostTensor]) -> Result<CpuLinear> {
        CpuLinear::new(
            weights,
            biases,
            (self.precision, self.kernel_level),
            &self.threads,
        )
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

    fn tile_size(&self) -> usize {
        self.tile
    }

    fn zeros(&self, shape: &[usize]) -> Result<CpuTensor> {
        let mut zeros = self.buffers.tensor(shape)?;
        zeros.values_mut().fill(0.0);
        Ok(zeros)
    }

    fn patches(&self, image: &CpuTensor, grid: PatchGrid) -> Result<CpuTensor> {
        grid.check(image.shape())?;
        let tokens = grid.num_patches().next_multiple_of(self.tile);
        let mut patches = self.buffers.tensor(&[tokens, grid.patch_dim()])?;
        grid.unfold(image.values(), patches.values_mut());
        Ok(patches)
    }

    fn linear(&self, x: &CpuTensor, layer: &CpuLinear, activation: Activation) -> Result<CpuTensor> {
        layer.forward(x, activation, &self.buffers, &self.threads)
    }

    fn with_bias(&self, layer: &CpuLinear, bias: &CpuTensor) -> Result<CpuLinear> {
        layer.with_bias(bias)
    }

    fn linear_add(
        &self,
        x: &CpuTensor,
        layer: &CpuLinear,
        gate: Option<&CpuTensor>,
        residual: &CpuTensor,
    ) -> Result<CpuTensor> {
        layer.forward_add(x, gate, residual, &self.buffers, &self.threads)
    }

    fn geglu(&self, x: &CpuTensor, gate_up: &CpuLinear) -> Result<CpuTensor> {
        if let Some(y) = gate_up.geglu(x, &self.buffers, &self.threads)? {
            return Ok(y);
        }
        let gate_up = self.linear(x, gate_up, Activation::None)?;
        let (_, width) = gate_up.matrix("geglu")?;
        if !width.is_multiple_of(2) {
            return Err(DeviceError::shape(
                "geglu",
                format!("gate and up have {width} outputs together, an odd number"),
            ));
        }
        self.map_rows(&gate_up, width / 2, |gate_up, y| {
            let (gate, up) = gate_up.split_at(width / 2);
            math::geglu(gate, up, y);
        })
    }

    fn upload_token_ids(&self, table: &CpuTable, tokens: &[u32]) -> Result<CpuTensor> {
        let mut ids = self.buffers.tensor(&[tokens.len()])?;
        self.write_token_ids(table, &mut ids, tokens)?;
        Ok(ids)
    }

    fn write_token_ids(&self, table: &CpuTable, ids: &mut CpuTensor, tokens: &[u32]) -> Result<()> {
        expect_count("write_token_ids", tokens.len(), ids.shape())?;
        table.write_ids(ids.values_mut(), tokens)
    }

    fn embedding(&self, table: &CpuTable, ids: &CpuTensor, scale: f32) -> Result<CpuTensor> {
        table.embed(ids, scale, &self.buffers)
    }

    fn layer_norm(&self, x: &CpuTensor, weight: &CpuTensor, bias: &CpuTensor, eps: f32) -> Result<CpuTensor> {
        let (_, width) = x.matrix("layer_norm")?;
        weight.expect_shape("layer_norm", "weight", &[width])?;
        bias.expect_shape("layer_norm", "bias", &[width])?;
        self.map_rows(x, width, |x, y| {
            math::layer_norm(x, weight.values(), bias.values(), eps, y)
        })
    }

    fn rms_norm(
        &self,
        x: &CpuTensor,
        weight: &CpuTensor,
        bias: Option<&CpuTensor>,
        eps: f32,
    ) -> Result<CpuTensor> {
        let (_, width) = x.matrix("rms_norm")?;
        weight.expect_shape("rms_norm", "weight", &[width])?;
        if let Some(bias) = bias {
            bias.expect_shape("rms_norm", "bias", &[width])?;
        }
        self.map_rows(x, width, |x, y| {
            math::rms_norm(x, weight.values(), eps, y);
            if let Some(bias) = bias {
                math::add(y, bias.values());
            }
        })
    }

    fn split_heads(&self, qkv: &CpuTensor, layout: HeadLayout) -> Result<Heads<CpuTensor>> {
        attention::split_heads(qkv, layout, &self.buffers, &self.threads)
    }

    fn rope(&self, x: &CpuTensor, table: &RopeTable<CpuTensor>) -> Result<CpuTensor> {
        attention::rope(x, table, &self.buffers, &self.threads)
    }

    fn attention(
        &self,
        queries: &CpuTensor,
        attended: &KeysValues<CpuTensor>,
        sequences: usize,
        mask: Option<&CpuTensor>,
        scale: f32,
    ) -> Result<CpuTensor> {
        let kernel = self.kernel_level.attention_kernel(self.precision);
        let environment = (kernel, &self.buffers, &self.threads);
        attention::attention(queries, attended, sequences, mask, scale, environment)
    }

    fn copy(&self, from: &CpuTensor, to: &mut CpuTensor) -> Result<()> {
        from.expect_shape("copy", "the source", to.shape())?;
        to.values_mut().copy_from_slice(from.values());
        Ok(())
    }

    fn add(&self, x: &CpuTensor, y: &CpuTensor) -> Result<CpuTensor> {
        let (rows, width) = x.matrix("add")?;
        let (repeated, _) = y.matrix("add")?;
        y.expect_shape("add", "y", &[repeated, width])?;
        if repeated == 0 || !rows.is_multiple_of(repeated) {
            return Err(DeviceError::shape(
                "add",
                format!("{:?} cannot be repeated to {:?}", y.shape(), x.shape()),
            ));
        }
        self.zip(x, y.values().iter().cycle(), |x, y| x + y)
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

    fn slice_rows(&self, x: &CpuTensor, rows: Range<usize>) -> Result<CpuTensor> {
        let (height, width) = x.matrix("slice_rows")?;
        if rows.start > rows.end || rows.end > height {
            return Err(DeviceError::shape(
                "slice_rows",
                format!("rows {rows:?} of {:?}", x.shape()),
            ));
        }
        self.tensor_from(
            &[rows.len(), width],
            &x.values()[rows.start * width..rows.end * width],
        )
    }

    fn write_tokens(
        &self,
        cache: &mut KeysValues<CpuTensor>,
        start: usize,
        tokens: &KeysValues<CpuTensor>,
    ) -> Result<()> {
        attention::write_tokens(&mut cache.keys, start, &tokens.keys)?;
        attention::write_tokens(&mut cache.values, start, &tokens.values)
    }

    fn select(&self, mask: &CpuTensor, x: &CpuTensor, y: &CpuTensor) -> Result<CpuTensor> {
        let shape = mask.shape();
        for (what, values) in [("x", x), ("y", y)] {
            match values.shape() {
                [width] if matches!(shape, [_, of_mask] if of_mask == width) => {}
                _ => values.expect_shape("select", what, shape)?,
            }
        }
        let mut selected = self.buffers.tensor(shape)?;
        let width = shape.last().map_or(1, |&width| width.max(1));
        let rows = selected.values_mut().chunks_exact_mut(width);
        for (row, (selected, mask)) in rows.zip(mask.values().chunks_exact(width)).enumerate() {
            let [x, y] = [x, y].map(|values| match values.shape().len() < shape.len() {
                true => values.values(),
                false => &values.values()[row * width..][..width],
            });
            for (((selected, mask), x), y) in selected.iter_mut().zip(mask).zip(x).zip(y) {
                *selected = if *mask != 0.0 { *x } else { *y };
            }
        }
        Ok(selected)
    }

    fn multiply(&self, x: &CpuTensor, y: &CpuTensor) -> Result<CpuTensor> {
        y.expect_shape("multiply", "y", x.shape())?;
        self.zip(x, y.values().iter(), |x, y| x * y)
    }

    fn euler_update(&self, x_t: &CpuTensor, v_t: &CpuTensor, dt: f32) -> Result<CpuTensor> {
        v_t.expect_shape("euler_update", "v_t", x_t.shape())?;
        self.zip(x_t, v_t.values().iter(), |x, v| x + dt * v)
    }
}

impl CpuDevice {
    fn tensor_from(&self, shape: &[usize], values: &[f32]) -> Result<CpuTensor> {
        let mut tensor = self.buffers.tensor(shape)?;
        tensor.values_mut().copy_from_slice(values);
        Ok(tensor)
    }

    /// Makes a tensor of the shape of `x`, each value from its own and the next of `others`.
    fn zip<'a>(
        &self,
        x: &CpuTensor,
        others: impl Iterator<Item = &'a f32>,
        f: impl Fn(f32, f32) -> f32,
    ) -> Result<CpuTensor> {
        let mut result = self.buffers.tensor(x.shape())?;
        for ((result, x), other) in result.values_mut().iter_mut().zip(x.values()).zip(others) {
            *result = f(*x, *other);
        }
        Ok(result)
    }

    /// Makes a tensor of `width` columns, each row from the row of `x`.
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
