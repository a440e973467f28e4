//! The CPU device as one that captures traces: work runs the first time, is captured the second time, and
//! from then on its operations run again on the same slots, whatever the work would have done.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use pi0_node::device::{
    Activation, CpuDevice, CpuTensor, Device, HeadLayout, Heads, HostTensor, KeysValues, PatchGrid, Pixels,
    Result, RopeTable,
};

pub struct CapturingDevice {
    cpu: Arc<CpuDevice>,
    working: AtomicBool,
    steps: Mutex<Vec<Step>>,
    /// Slots made by work: they have no meaning once other work begins.
    temporary: Mutex<Vec<Slot>>,
    tensors: AtomicUsize,
    traces_run: Arc<AtomicUsize>,
}

type Step = Arc<dyn Fn() + Send + Sync>;

/// Memory of a tensor, one for all clones.
#[derive(Clone)]
pub struct Slot {
    values: Arc<Mutex<CpuTensor>>,
    shape: Arc<[usize]>,
    /// Whether the next write goes to another slot, as of an image whose pixels need another type.
    moves: bool,
}

#[derive(Default)]
pub enum Trace {
    #[default]
    New,
    Done {
        tensors: usize,
    },
    Captured {
        tensors: usize,
        steps: Vec<Step>,
    },
}

impl Slot {
    fn get(&self) -> CpuTensor {
        self.values.lock().unwrap().clone()
    }

    fn set(&self, values: CpuTensor) {
        *self.values.lock().unwrap() = values;
    }
}

fn heads(attended: &KeysValues<Slot>) -> KeysValues<CpuTensor> {
    KeysValues {
        keys: attended.keys.get(),
        values: attended.values.get(),
    }
}

impl CapturingDevice {
    /// A device, and the number of traces that it has run.
    pub fn new(cpu: CpuDevice) -> (Self, Arc<AtomicUsize>) {
        let traces_run = Arc::new(AtomicUsize::new(0));
        let device = Self {
            cpu: Arc::new(cpu),
            working: AtomicBool::new(false),
            steps: Mutex::default(),
            temporary: Mutex::default(),
            tensors: AtomicUsize::new(0),
            traces_run: Arc::clone(&traces_run),
        };
        (device, traces_run)
    }

    fn slot(&self, values: CpuTensor) -> Slot {
        let slot = Slot {
            shape: values.shape().into(),
            values: Arc::new(Mutex::new(values)),
            moves: false,
        };
        match self.working.load(Ordering::Relaxed) {
            true => self.temporary.lock().unwrap().push(slot.clone()),
            false => drop(self.tensors.fetch_add(1, Ordering::Relaxed)),
        }
        slot
    }

    fn expect_no_work(&self) {
        assert!(!self.working.load(Ordering::Relaxed), "not within captured work");
    }

    /// Notes a step while captured work runs.
    fn note(&self, step: impl Fn(&CpuDevice) + Send + Sync + 'static) {
        if self.working.load(Ordering::Relaxed) {
            let cpu = Arc::clone(&self.cpu);
            self.steps.lock().unwrap().push(Arc::new(move || step(&cpu)));
        }
    }

    fn step(&self, step: impl Fn(&CpuDevice) + Send + Sync + 'static) {
        step(&self.cpu);
        self.note(step);
    }

    fn operation(
        &self,
        compute: impl Fn(&CpuDevice) -> Result<CpuTensor> + Send + Sync + 'static,
    ) -> Result<Slot> {
        let slot = self.slot(compute(&self.cpu)?);
        let result = slot.clone();
        self.note(move |cpu| slot.set(compute(cpu).unwrap()));
        Ok(result)
    }
}

impl Device for CapturingDevice {
    type Tensor = Slot;
    type Linear = Arc<<CpuDevice as Device>::Linear>;
    type Table = Arc<<CpuDevice as Device>::Table>;
    type Trace = Trace;

    fn run_captured<'a>(
        &self,
        trace: &mut Trace,
        _: impl IntoIterator<Item = &'a Slot>,
        work: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        for slot in self.temporary.lock().unwrap().drain(..) {
            let spoilt = vec![f32::NAN; slot.shape.iter().product()];
            slot.set(self.cpu.upload(&spoilt, &slot.shape)?);
        }
        let now = self.tensors.load(Ordering::Relaxed);
        if let Trace::Captured { tensors, steps } = trace
            && *tensors == now
        {
            steps.iter().for_each(|step| step());
            self.traces_run.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        self.working.store(true, Ordering::Relaxed);
        let result = work();
        self.working.store(false, Ordering::Relaxed);
        let steps = std::mem::take(&mut *self.steps.lock().unwrap());
        *trace = match trace {
            Trace::Done { tensors } if *tensors == now => Trace::Captured { tensors: now, steps },
            _ => Trace::Done { tensors: now },
        };
        result
    }

    fn description(&self) -> String {
        self.cpu.description()
    }

    fn precision(&self) -> &'static str {
        self.cpu.precision()
    }

    fn needs_warm_up(&self) -> bool {
        true
    }

    fn upload(&self, values: &[f32], shape: &[usize]) -> Result<Slot> {
        self.expect_no_work();
        Ok(self.slot(self.cpu.upload(values, shape)?))
    }

    fn upload_image(&self, pixels: &Pixels, image_size: usize) -> Result<Slot> {
        self.expect_no_work();
        let mut image = self.slot(self.cpu.upload_image(pixels, image_size)?);
        image.moves = true;
        Ok(image)
    }

    fn write(&self, tensor: &mut Slot, values: &[f32]) -> Result<()> {
        self.expect_no_work();
        self.cpu.write(&mut tensor.values.lock().unwrap(), values)
    }

    fn write_image(&self, image: &mut Slot, pixels: &Pixels) -> Result<()> {
        self.expect_no_work();
        if image.moves {
            *image = self.slot(image.get());
        }
        self.cpu.write_image(&mut image.values.lock().unwrap(), pixels)
    }

    fn upload_parameter(&self, parameter: &HostTensor) -> Result<Slot> {
        Ok(self.slot(self.cpu.upload_parameter(parameter)?))
    }

    fn upload_linear(&self, weights: &[HostTensor], biases: &[HostTensor]) -> Result<Self::Linear> {
        self.cpu.upload_linear(weights, biases).map(Arc::new)
    }

    fn upload_table(&self, table: &HostTensor) -> Result<Self::Table> {
        self.cpu.upload_table(table).map(Arc::new)
    }

    fn read_back(&self, tensor: &Slot) -> Result<Vec<f32>> {
        self.expect_no_work();
        self.cpu.read_back(&tensor.get())
    }

    fn read_backs(&self) -> u64 {
        self.cpu.read_backs()
    }

    fn shape<'a>(&self, tensor: &'a Slot) -> &'a [usize] {
        &tensor.shape
    }

    fn tile_size(&self) -> usize {
        self.cpu.tile_size()
    }

    fn zeros(&self, shape: &[usize]) -> Result<Slot> {
        self.expect_no_work();
        Ok(self.slot(self.cpu.zeros(shape)?))
    }

    fn patches(&self, image: &Slot, grid: PatchGrid) -> Result<Slot> {
        let image = image.clone();
        self.operation(move |cpu| cpu.patches(&image.get(), grid))
    }

    fn linear(&self, x: &Slot, layer: &Self::Linear, activation: Activation) -> Result<Slot> {
        let (x, layer) = (x.clone(), Arc::clone(layer));
        self.operation(move |cpu| cpu.linear(&x.get(), &layer, activation))
    }

    fn with_bias(&self, layer: &Self::Linear, bias: &Slot) -> Result<Self::Linear> {
        self.cpu.with_bias(layer, &bias.get()).map(Arc::new)
    }

    fn linear_add(
        &self,
        x: &Slot,
        layer: &Self::Linear,
        gate: Option<&Slot>,
        residual: &Slot,
    ) -> Result<Slot> {
        let (x, layer, residual) = (x.clone(), Arc::clone(layer), residual.clone());
        let gate = gate.cloned();
        self.operation(move |cpu| {
            let gate = gate.as_ref().map(Slot::get);
            cpu.linear_add(&x.get(), &layer, gate.as_ref(), &residual.get())
        })
    }

    fn geglu(&self, x: &Slot, gate_up: &Self::Linear) -> Result<Slot> {
        let (x, gate_up) = (x.clone(), Arc::clone(gate_up));
        self.operation(move |cpu| cpu.geglu(&x.get(), &gate_up))
    }

    fn upload_token_ids(&self, table: &Self::Table, tokens: &[u32]) -> Result<Slot> {
        self.expect_no_work();
        Ok(self.slot(self.cpu.upload_token_ids(table, tokens)?))
    }

    fn write_token_ids(&self, table: &Self::Table, ids: &mut Slot, tokens: &[u32]) -> Result<()> {
        self.expect_no_work();
        self.cpu
            .write_token_ids(table, &mut ids.values.lock().unwrap(), tokens)
    }

    fn embedding(&self, table: &Self::Table, ids: &Slot, scale: f32) -> Result<Slot> {
        let (table, ids) = (Arc::clone(table), ids.clone());
        self.operation(move |cpu| cpu.embedding(&table, &ids.get(), scale))
    }

    fn layer_norm(&self, x: &Slot, weight: &Slot, bias: &Slot, eps: f32) -> Result<Slot> {
        let (x, weight, bias) = (x.clone(), weight.clone(), bias.clone());
        self.operation(move |cpu| cpu.layer_norm(&x.get(), &weight.get(), &bias.get(), eps))
    }

    fn rms_norm(&self, x: &Slot, weight: &Slot, bias: Option<&Slot>, eps: f32) -> Result<Slot> {
        let (x, weight, bias) = (x.clone(), weight.clone(), bias.cloned());
        self.operation(move |cpu| {
            let bias = bias.as_ref().map(Slot::get);
            cpu.rms_norm(&x.get(), &weight.get(), bias.as_ref(), eps)
        })
    }

    fn split_heads(&self, qkv: &Slot, layout: HeadLayout) -> Result<Heads<Slot>> {
        let part = |choose: fn(Heads<CpuTensor>) -> CpuTensor| {
            let qkv = qkv.clone();
            self.operation(move |cpu| cpu.split_heads(&qkv.get(), layout).map(choose))
        };
        Ok(Heads {
            queries: part(|heads| heads.queries)?,
            keys: part(|heads| heads.keys)?,
            values: part(|heads| heads.values)?,
        })
    }

    fn rope(&self, x: &Slot, table: &RopeTable<Slot>) -> Result<Slot> {
        let (x, table) = (x.clone(), table.clone());
        self.operation(move |cpu| {
            let (cos, sin) = (table.cos.get(), table.sin.get());
            cpu.rope(&x.get(), &RopeTable { cos, sin })
        })
    }

    fn attention(
        &self,
        queries: &Slot,
        attended: &KeysValues<Slot>,
        sequences: usize,
        mask: Option<&Slot>,
        scale: f32,
    ) -> Result<Slot> {
        let (queries, mask) = (queries.clone(), mask.cloned());
        let attended = KeysValues {
            keys: attended.keys.clone(),
            values: attended.values.clone(),
        };
        self.operation(move |cpu| {
            let mask = mask.as_ref().map(Slot::get);
            cpu.attention(&queries.get(), &heads(&attended), sequences, mask.as_ref(), scale)
        })
    }

    fn copy(&self, from: &Slot, to: &mut Slot) -> Result<()> {
        let (from, to) = (from.clone(), to.clone());
        self.step(move |cpu| cpu.copy(&from.get(), &mut to.values.lock().unwrap()).unwrap());
        Ok(())
    }

    fn add(&self, x: &Slot, y: &Slot) -> Result<Slot> {
        let (x, y) = (x.clone(), y.clone());
        self.operation(move |cpu| cpu.add(&x.get(), &y.get()))
    }

    fn concat_rows(&self, parts: &[&Slot]) -> Result<Slot> {
        let parts: Vec<Slot> = parts.iter().copied().cloned().collect();
        self.operation(move |cpu| {
            let parts: Vec<CpuTensor> = parts.iter().map(Slot::get).collect();
            cpu.concat_rows(&parts.iter().collect::<Vec<_>>())
        })
    }

    fn slice_rows(&self, x: &Slot, rows: Range<usize>) -> Result<Slot> {
        let x = x.clone();
        self.operation(move |cpu| cpu.slice_rows(&x.get(), rows.clone()))
    }

    fn write_tokens(
        &self,
        cache: &mut KeysValues<Slot>,
        start: usize,
        tokens: &KeysValues<Slot>,
    ) -> Result<()> {
        let (keys, values) = (cache.keys.clone(), cache.values.clone());
        let tokens = KeysValues {
            keys: tokens.keys.clone(),
            values: tokens.values.clone(),
        };
        self.step(move |cpu| {
            let mut cache = KeysValues {
                keys: keys.get(),
                values: values.get(),
            };
            cpu.write_tokens(&mut cache, start, &heads(&tokens)).unwrap();
            keys.set(cache.keys);
            values.set(cache.values);
        });
        Ok(())
    }

    fn select(&self, mask: &Slot, x: &Slot, y: &Slot) -> Result<Slot> {
        let (mask, x, y) = (mask.clone(), x.clone(), y.clone());
        self.operation(move |cpu| cpu.select(&mask.get(), &x.get(), &y.get()))
    }

    fn multiply(&self, x: &Slot, y: &Slot) -> Result<Slot> {
        let (x, y) = (x.clone(), y.clone());
        self.operation(move |cpu| cpu.multiply(&x.get(), &y.get()))
    }

    fn euler_update(&self, x_t: &Slot, v_t: &Slot, dt: f32) -> Result<Slot> {
        let (x_t, v_t) = (x_t.clone(), v_t.clone());
        self.operation(move |cpu| cpu.euler_update(&x_t.get(), &v_t.get(), dt))
    }
}
