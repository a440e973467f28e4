//! The CPU device as one that fails at a chosen call, or at every call from then on.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use pi0_node::device::{
    Activation, CpuDevice, CpuTensor, Device, DeviceError, HeadLayout, Heads, HostTensor, KeysValues,
    PatchGrid, Pixels, Result, RopeTable,
};

/// Which calls of a device fail. Calls are counted from 1.
#[derive(Default)]
pub struct Faults {
    calls: AtomicUsize,
    first: AtomicUsize,
    goes_on: AtomicBool,
    failed: Mutex<Option<&'static str>>,
}

impl Faults {
    /// Lets the `n`-th call from now on fail, and it alone.
    pub fn fail_once(&self, n: usize) {
        self.set(n, false);
    }

    /// Lets every call from now on fail.
    pub fn fail_for_good(&self) {
        self.set(1, true);
    }

    /// Lets no call fail. Returns the operation that failed since it was set, if any did.
    pub fn heal(&self) -> Option<&'static str> {
        self.set(0, false);
        self.failed.lock().unwrap().take()
    }

    fn set(&self, first: usize, goes_on: bool) {
        self.calls.store(0, Ordering::Relaxed);
        self.goes_on.store(goes_on, Ordering::Relaxed);
        self.first.store(first, Ordering::Relaxed);
    }

    fn call(&self, operation: &'static str) -> Result<()> {
        let call = 1 + self.calls.fetch_add(1, Ordering::Relaxed);
        let first = self.first.load(Ordering::Relaxed);
        if first != 0 && (call == first || call > first && self.goes_on.load(Ordering::Relaxed)) {
            *self.failed.lock().unwrap() = Some(operation);
            return Err(DeviceError::Lost(format!("{operation}: no answer")));
        }
        Ok(())
    }
}

/// An operation that fails leaves what it writes to full of values that are no numbers.
pub struct FailingDevice {
    cpu: CpuDevice,
    faults: Arc<Faults>,
}

fn spoilt(tensor: &CpuTensor) -> Vec<f32> {
    vec![f32::NAN; tensor.shape().iter().product()]
}

impl FailingDevice {
    pub fn new(cpu: CpuDevice) -> (Self, Arc<Faults>) {
        let faults = Arc::<Faults>::default();
        let device = Self {
            cpu,
            faults: Arc::clone(&faults),
        };
        (device, faults)
    }

    fn call(&self, operation: &'static str) -> Result<&CpuDevice> {
        self.faults.call(operation)?;
        Ok(&self.cpu)
    }

    fn overwriting(&self, operation: &'static str, target: &mut CpuTensor) -> Result<&CpuDevice> {
        if let Err(error) = self.faults.call(operation) {
            self.cpu.write(target, &spoilt(target))?;
            return Err(error);
        }
        Ok(&self.cpu)
    }
}

impl Device for FailingDevice {
    type Tensor = CpuTensor;
    type Linear = <CpuDevice as Device>::Linear;
    type Table = <CpuDevice as Device>::Table;
    type Trace = ();

    fn run_captured<'a>(
        &self,
        trace: &mut (),
        inputs: impl IntoIterator<Item = &'a CpuTensor>,
        work: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        self.call("run_captured")?.run_captured(trace, inputs, work)
    }

    fn description(&self) -> String {
        self.cpu.description()
    }

    fn precision(&self) -> &'static str {
        self.cpu.precision()
    }

    fn upload(&self, values: &[f32], shape: &[usize]) -> Result<CpuTensor> {
        self.call("upload")?.upload(values, shape)
    }

    fn upload_image(&self, pixels: &Pixels, image_size: usize) -> Result<CpuTensor> {
        self.call("upload_image")?.upload_image(pixels, image_size)
    }

    fn write(&self, tensor: &mut CpuTensor, values: &[f32]) -> Result<()> {
        self.overwriting("write", tensor)?.write(tensor, values)
    }

    fn write_image(&self, image: &mut CpuTensor, pixels: &Pixels) -> Result<()> {
        self.overwriting("write_image", image)?.write_image(image, pixels)
    }

    fn upload_parameter(&self, parameter: &HostTensor) -> Result<CpuTensor> {
        self.call("upload_parameter")?.upload_parameter(parameter)
    }

    fn upload_linear(&self, weights: &[HostTensor], biases: &[HostTensor]) -> Result<Self::Linear> {
        self.call("upload_linear")?.upload_linear(weights, biases)
    }

    fn upload_table(&self, table: &HostTensor) -> Result<Self::Table> {
        self.call("upload_table")?.upload_table(table)
    }

    fn read_back(&self, tensor: &CpuTensor) -> Result<Vec<f32>> {
        self.call("read_back")?.read_back(tensor)
    }

    fn read_backs(&self) -> u64 {
        self.cpu.read_backs()
    }

    fn shape<'a>(&self, tensor: &'a CpuTensor) -> &'a [usize] {
        tensor.shape()
    }

    fn tile_size(&self) -> usize {
        self.cpu.tile_size()
    }

    fn zeros(&self, shape: &[usize]) -> Result<CpuTensor> {
        self.call("zeros")?.zeros(shape)
    }

    fn patches(&self, image: &CpuTensor, grid: PatchGrid) -> Result<CpuTensor> {
        self.call("patches")?.patches(image, grid)
    }

    fn linear(&self, x: &CpuTensor, layer: &Self::Linear, activation: Activation) -> Result<CpuTensor> {
        self.call("linear")?.linear(x, layer, activation)
    }

    fn with_bias(&self, layer: &Self::Linear, bias: &CpuTensor) -> Result<Self::Linear> {
        self.call("with_bias")?.with_bias(layer, bias)
    }

    fn linear_add(
        &self,
        x: &CpuTensor,
        layer: &Self::Linear,
        gate: Option<&CpuTensor>,
        residual: &CpuTensor,
    ) -> Result<CpuTensor> {
        self.call("linear_add")?.linear_add(x, layer, gate, residual)
    }

    fn geglu(&self, x: &CpuTensor, gate_up: &Self::Linear) -> Result<CpuTensor> {
        self.call("geglu")?.geglu(x, gate_up)
    }

    fn upload_token_ids(&self, table: &Self::Table, tokens: &[u32]) -> Result<CpuTensor> {
        self.call("upload_token_ids")?.upload_token_ids(table, tokens)
    }

    fn write_token_ids(&self, table: &Self::Table, ids: &mut CpuTensor, tokens: &[u32]) -> Result<()> {
        self.overwriting("write_token_ids", ids)?
            .write_token_ids(table, ids, tokens)
    }

    fn embedding(&self, table: &Self::Table, ids: &CpuTensor, scale: f32) -> Result<CpuTensor> {
        self.call("embedding")?.embedding(table, ids, scale)
    }

    fn layer_norm(&self, x: &CpuTensor, weight: &CpuTensor, bias: &CpuTensor, eps: f32) -> Result<CpuTensor> {
        self.call("layer_norm")?.layer_norm(x, weight, bias, eps)
    }

    fn rms_norm(
        &self,
        x: &CpuTensor,
        weight: &CpuTensor,
        bias: Option<&CpuTensor>,
        eps: f32,
    ) -> Result<CpuTensor> {
        self.call("rms_norm")?.rms_norm(x, weight, bias, eps)
    }

    fn split_heads(&self, qkv: &CpuTensor, layout: HeadLayout) -> Result<Heads<CpuTensor>> {
        self.call("split_heads")?.split_heads(qkv, layout)
    }

    fn rope(&self, x: &CpuTensor, table: &RopeTable<CpuTensor>) -> Result<CpuTensor> {
        self.call("rope")?.rope(x, table)
    }

    fn attention(
        &self,
        queries: &CpuTensor,
        attended: &KeysValues<CpuTensor>,
        sequences: usize,
        mask: Option<&CpuTensor>,
        scale: f32,
    ) -> Result<CpuTensor> {
        self.call("attention")?
            .attention(queries, attended, sequences, mask, scale)
    }

    fn copy(&self, from: &CpuTensor, to: &mut CpuTensor) -> Result<()> {
        self.overwriting("copy", to)?.copy(from, to)
    }

    fn add(&self, x: &CpuTensor, y: &CpuTensor) -> Result<CpuTensor> {
        self.call("add")?.add(x, y)
    }

    fn concat_rows(&self, parts: &[&CpuTensor]) -> Result<CpuTensor> {
        self.call("concat_rows")?.concat_rows(parts)
    }

    fn slice_rows(&self, x: &CpuTensor, rows: Range<usize>) -> Result<CpuTensor> {
        self.call("slice_rows")?.slice_rows(x, rows)
    }

    fn write_tokens(
        &self,
        cache: &mut KeysValues<CpuTensor>,
        start: usize,
        tokens: &KeysValues<CpuTensor>,
    ) -> Result<()> {
        if let Err(error) = self.faults.call("write_tokens") {
            let spoil = |tensor: &CpuTensor| self.cpu.upload(&spoilt(tensor), tensor.shape());
            let spoilt_tokens = KeysValues {
                keys: spoil(&tokens.keys)?,
                values: spoil(&tokens.values)?,
            };
            self.cpu.write_tokens(cache, start, &spoilt_tokens)?;
            return Err(error);
        }
        self.cpu.write_tokens(cache, start, tokens)
    }

    fn select(&self, mask: &CpuTensor, x: &CpuTensor, y: &CpuTensor) -> Result<CpuTensor> {
        self.call("select")?.select(mask, x, y)
    }

    fn multiply(&self, x: &CpuTensor, y: &CpuTensor) -> Result<CpuTensor> {
        self.call("multiply")?.multiply(x, y)
    }

    fn euler_update(&self, x_t: &CpuTensor, v_t: &CpuTensor, dt: f32) -> Result<CpuTensor> {
        self.call("euler_update")?.euler_update(x_t, v_t, dt)
    }
}
