//! The CPU device as one that records: work is done the first time, recorded the second time, and from then on its
//! operations are done again on the same places, whatever the work would have asked for.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use pi0_node::device::{
    Activation, CpuDevice, CpuTensor, Device, HeadLayout, Heads, HostTensor, KeysValues, PatchGrid, Result,
    RopeTable,
};

pub struct RecordingDevice {
    cpu: Arc<CpuDevice>,
    working: AtomicBool,
    steps: Mutex<Vec<Step>>,
    /// Made by work: they have no meaning once other work begins.
    passing: Mutex<Vec<Place>>,
    tensors: AtomicUsize,
    replays: Arc<AtomicUsize>,
}

type Step = Arc<dyn Fn() + Send + Sync>;

/// A place in memory, the same for all clones.
#[derive(Clone)]
pub struct Place {
    values: Arc<Mutex<CpuTensor>>,
    shape: Arc<[usize]>,
    /// Whether what is written next goes to another place, as an image may whose pixels need another type.
    moves: bool,
}

#[derive(Default)]
pub enum Recording {
    #[default]
    New,
    Done {
        tensors: usize,
    },
    Recorded {
        tensors: usize,
        steps: Vec<Step>,
    },
}

impl Place {
    fn get(&self) -> CpuTensor {
        self.values.lock().unwrap().clone()
    }

    fn set(&self, values: CpuTensor) {
        *self.values.lock().unwrap() = values;
    }
}

fn heads(attended: &KeysValues<Place>) -> KeysValues<CpuTensor> {
    KeysValues {
        keys: attended.keys.get(),
        values: attended.values.get(),
    }
}

impl RecordingDevice {
    /// And how often it replayed, counted while it is used.
    pub fn new(cpu: CpuDevice) -> (Self, Arc<AtomicUsize>) {
        let replays = Arc::new(AtomicUsize::new(0));
        let device = Self {
            cpu: Arc::new(cpu),
            working: AtomicBool::new(false),
            steps: Mutex::default(),
            passing: Mutex::default(),
            tensors: AtomicUsize::new(0),
            replays: Arc::clone(&replays),
        };
        (device, replays)
    }

    fn place(&self, values: CpuTensor) -> Place {
        let place = Place {
            shape: values.shape().into(),
            values: Arc::new(Mutex::new(values)),
            moves: false,
        };
        match self.working.load(Ordering::Relaxed) {
            true => self.passing.lock().unwrap().push(place.clone()),
            false => drop(self.tensors.fetch_add(1, Ordering::Relaxed)),
        }
        place
    }

    fn expect_no_work(&self) {
        assert!(!self.working.load(Ordering::Relaxed), "not within recorded work");
    }

    /// Notes a step while recorded work runs.
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
    ) -> Result<Place> {
        let place = self.place(compute(&self.cpu)?);
        let result = place.clone();
        self.note(move |cpu| place.set(compute(cpu).unwrap()));
        Ok(result)
    }
}

impl Device for RecordingDevice {
    type Tensor = Place;
    type Linear = Arc<<CpuDevice as Device>::Linear>;
    type Table = <CpuDevice as Device>::Table;
    type Recording = Recording;

    fn replay(
        &self,
        recording: &mut Recording,
        _: &[&Place],
        work: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        for place in self.passing.lock().unwrap().drain(..) {
            let spoilt = vec![f32::NAN; place.shape.iter().product()];
            place.set(self.cpu.upload(&spoilt, &place.shape)?);
        }
        let now = self.tensors.load(Ordering::Relaxed);
        if let Recording::Recorded { tensors, steps } = recording
            && *tensors == now
        {
            steps.iter().for_each(|step| step());
            self.replays.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        self.working.store(true, Ordering::Relaxed);
        let result = work();
        self.working.store(false, Ordering::Relaxed);
        let steps = std::mem::take(&mut *self.steps.lock().unwrap());
        *recording = match recording {
            Recording::Done { tensors } if *tensors == now => Recording::Recorded { tensors: now, steps },
            _ => Recording::Done { tensors: now },
        };
        result
    }

    fn description(&self) -> String {
        self.cpu.description()
    }

    fn precision(&self) -> &'static str {
        self.cpu.precision()
    }

    fn is_slow_at_first(&self) -> bool {
        true
    }

    fn upload(&self, values: &[f32], shape: &[usize]) -> Result<Place> {
        self.expect_no_work();
        Ok(self.place(self.cpu.upload(values, shape)?))
    }

    fn upload_image(&self, pixels: &[f32], image_size: usize) -> Result<Place> {
        self.expect_no_work();
        let mut image = self.place(self.cpu.upload_image(pixels, image_size)?);
        image.moves = true;
        Ok(image)
    }

    fn write(&self, tensor: &mut Place, values: &[f32]) -> Result<()> {
        self.expect_no_work();
        if tensor.moves {
            *tensor = self.place(tensor.get());
        }
        self.cpu.write(&mut tensor.values.lock().unwrap(), values)
    }

    fn upload_parameter(&self, parameter: &HostTensor) -> Result<Place> {
        Ok(self.place(self.cpu.upload_parameter(parameter)?))
    }

    fn upload_linear(&self, weights: &[HostTensor], biases: &[HostTensor]) -> Result<Self::Linear> {
        self.cpu.upload_linear(weights, biases).map(Arc::new)
    }

    fn upload_table(&self, table: &HostTensor) -> Result<Self::Table> {
        self.cpu.upload_table(table)
    }

    fn read_back(&self, tensor: &Place) -> Result<Vec<f32>> {
        self.expect_no_work();
        self.cpu.read_back(&tensor.get())
    }

    fn read_backs(&self) -> u64 {
        self.cpu.read_backs()
    }

    fn shape<'a>(&self, tensor: &'a Place) -> &'a [usize] {
        &tensor.shape
    }

    fn tile(&self) -> usize {
        self.cpu.tile()
    }

    fn zeros(&self, shape: &[usize]) -> Result<Place> {
        self.expect_no_work();
        Ok(self.place(self.cpu.zeros(shape)?))
    }

    fn patches(&self, image: &Place, grid: PatchGrid) -> Result<Place> {
        let image = image.clone();
        self.operation(move |cpu| cpu.patches(&image.get(), grid))
    }

    fn linear(&self, x: &Place, layer: &Self::Linear, activation: Activation) -> Result<Place> {
        let (x, layer) = (x.clone(), Arc::clone(layer));
        self.operation(move |cpu| cpu.linear(&x.get(), &layer, activation))
    }

    fn with_bias(&self, layer: &Self::Linear, bias: &Place) -> Result<Self::Linear> {
        self.cpu.with_bias(layer, &bias.get()).map(Arc::new)
    }

    fn linear_add(&self, x: &Place, layer: &Self::Linear, residual: &Place) -> Result<Place> {
        let (x, layer, residual) = (x.clone(), Arc::clone(layer), residual.clone());
        self.operation(move |cpu| cpu.linear_add(&x.get(), &layer, &residual.get()))
    }

    fn geglu(&self, x: &Place, gate_up: &Self::Linear) -> Result<Place> {
        let (x, gate_up) = (x.clone(), Arc::clone(gate_up));
        self.operation(move |cpu| cpu.geglu(&x.get(), &gate_up))
    }

    fn embedding(&self, table: &Self::Table, tokens: &[u32], scale: f32) -> Result<Place> {
        self.expect_no_work();
        Ok(self.place(self.cpu.embedding(table, tokens, scale)?))
    }

    fn layer_norm(&self, x: &Place, weight: &Place, bias: &Place, eps: f32) -> Result<Place> {
        let (x, weight, bias) = (x.clone(), weight.clone(), bias.clone());
        self.operation(move |cpu| cpu.layer_norm(&x.get(), &weight.get(), &bias.get(), eps))
    }

    fn rms_norm(&self, x: &Place, weight: &Place, eps: f32) -> Result<Place> {
        let (x, weight) = (x.clone(), weight.clone());
        self.operation(move |cpu| cpu.rms_norm(&x.get(), &weight.get(), eps))
    }

    fn split_heads(&self, qkv: &Place, layout: HeadLayout) -> Result<Heads<Place>> {
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

    fn rope(&self, x: &Place, table: &RopeTable<Place>) -> Result<Place> {
        let (x, table) = (x.clone(), table.clone());
        self.operation(move |cpu| {
            let (cos, sin) = (table.cos.get(), table.sin.get());
            cpu.rope(&x.get(), &RopeTable { cos, sin })
        })
    }

    fn attention(
        &self,
        queries: &Place,
        attended: &KeysValues<Place>,
        sequences: usize,
        mask: Option<&Place>,
        scale: f32,
    ) -> Result<Place> {
        let (queries, mask) = (queries.clone(), mask.cloned());
        let attended = KeysValues {
            keys: attended.keys.clone(),
            values: attended.values.clone(),
        };
        self.operation(move |cpu| {
            let mask = mask.as_ref().map(Place::get);
            cpu.attention(&queries.get(), &heads(&attended), sequences, mask.as_ref(), scale)
        })
    }

    fn copy(&self, from: &Place, to: &mut Place) -> Result<()> {
        let (from, to) = (from.clone(), to.clone());
        self.step(move |cpu| cpu.copy(&from.get(), &mut to.values.lock().unwrap()).unwrap());
        Ok(())
    }

    fn add(&self, x: &Place, y: &Place) -> Result<Place> {
        let (x, y) = (x.clone(), y.clone());
        self.operation(move |cpu| cpu.add(&x.get(), &y.get()))
    }

    fn concat_rows(&self, parts: &[&Place]) -> Result<Place> {
        let parts: Vec<Place> = parts.iter().copied().cloned().collect();
        self.operation(move |cpu| {
            let parts: Vec<CpuTensor> = parts.iter().map(Place::get).collect();
            cpu.concat_rows(&parts.iter().collect::<Vec<_>>())
        })
    }

    fn slice_rows(&self, x: &Place, rows: Range<usize>) -> Result<Place> {
        let x = x.clone();
        self.operation(move |cpu| cpu.slice_rows(&x.get(), rows.clone()))
    }

    fn write_tokens(
        &self,
        cache: &mut KeysValues<Place>,
        start: usize,
        tokens: &KeysValues<Place>,
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

    fn select(&self, mask: &Place, x: &Place, y: &Place) -> Result<Place> {
        let (mask, x, y) = (mask.clone(), x.clone(), y.clone());
        self.operation(move |cpu| cpu.select(&mask.get(), &x.get(), &y.get()))
    }

    fn euler_update(&self, x_t: &Place, v_t: &Place, dt: f32) -> Result<Place> {
        let (x_t, v_t) = (x_t.clone(), v_t.clone());
        self.operation(move |cpu| cpu.euler_update(&x_t.get(), &v_t.get(), dt))
    }
}
