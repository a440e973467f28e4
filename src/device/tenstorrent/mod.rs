//! The Tenstorrent device: every operation runs on the card, through TT-NN.
//!
//! No operation of it has run on a card yet; TT-NN has checked and built all of them for mock cards, and computed them on
//! a simulated one (docs/tenstorrent.md). Activations are bfloat16, weights bfloat8_b.

mod attention_blocks;
mod blocks;
mod busy_cores;
#[cfg(test)]
mod emulation;
mod graph;
mod heads;
mod linear;
mod norms;
mod patches;
mod tensor;
mod trace;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tt_metal_sys as tt;
use tt_metal_sys::{Dtype, Layout};

pub use self::graph::{Graph, Operation, OperationInput};
pub use self::linear::TenstorrentLinear;
pub use self::tensor::TenstorrentTensor;
use self::tensor::{TILE, Values, values_for};
use self::trace::{CardCommands, Traces, WorkTrace};
use super::pixels::BYTE_VALUES;
use super::{
    Activation, AttentionSoftmax, CardTuning, Device, DeviceError, HeadLayout, Heads, HostTensor, KeysValues,
    PatchGrid, Pixels, Result, RopeTable, TenstorrentOptions, Tuning, expect_count, expect_tokens,
};

/// TT-NN's name of the type of the weights.
const PRECISION: &str = "bfloat8_b";

/// DRAM for traces: 15,000 operations (a chunk has at most 4,100, denoising with inpainted actions some 3,350 more and in
/// real-time chunking up to 4,850 more, and the vision tower is captured again for each combination of cameras with a new
/// frame) on 130 cores with three kernels each and 64 arguments of 4 bytes for each kernel.
const TRACE_BYTES: u64 = 15_000 * 130 * 3 * 64 * 4;

/// One card.
pub struct TenstorrentDevice {
    /// Value of each byte of an image, `[1, 256]`. Dropped before the card.
    byte_values: tt::Tensor,
    card: Arc<tt::Device>,
    traces: Traces<CardCommands>,
    /// Columns and rows of the cores that compute.
    grid: (u32, u32),
    description: String,
    attention: AttentionSoftmax,
    tuning: CardTuning,
    /// A mock card computes nothing, so nothing is converted for it.
    mock: bool,
    read_backs: AtomicU64,
}

/// An embedding table `[vocab_size, width]`, row-major in bfloat16.
pub struct TenstorrentTable {
    rows: TenstorrentTensor,
    vocab_size: usize,
    width: usize,
}

impl TenstorrentDevice {
    /// Opens a card.
    ///
    /// # Errors
    /// When TT-NN is not installed, there is no card, or it is in use.
    pub fn open(options: &TenstorrentOptions) -> Result<Self> {
        Self::new(tt::Runtime::load()?, options, false)
    }

    /// Opens a card that is described and not there, to check the graph of a model and count its operations.
    ///
    /// # Errors
    /// When TT-NN is not installed, or does not accept the description.
    pub fn open_mock(card: &tt::MockCard, options: &TenstorrentOptions) -> Result<Self> {
        Self::new(tt::Runtime::load_for(card)?, options, true)
    }

    fn new(runtime: tt::Runtime, options: &TenstorrentOptions, mock: bool) -> Result<Self> {
        let version = runtime.version().to_owned();
        let card = Arc::new(tt::Device::open(runtime, options.device_id, TRACE_BYTES)?);
        let grid @ (columns, rows) = card.core_grid()?;
        Ok(Self {
            grid,
            description: format!(
                "Tenstorrent {:?}{}, {columns} × {rows} cores, TT-NN {version}, {PRECISION} weights",
                card.arch()?,
                if mock { " (mock)" } else { "" },
            ),
            byte_values: card.upload(&BYTE_VALUES, &[1, 256], Dtype::Bf16, Layout::RowMajor)?,
            traces: Traces::new(CardCommands {
                card: Arc::clone(&card),
                mock,
                is_capturing_graph: AtomicBool::new(false),
            }),
            card,
            attention: options.attention,
            tuning: options.tuning,
            mock,
            read_backs: AtomicU64::new(0),
        })
    }

    /// Resets a card that hangs, in some seconds. No device of it may be open.
    ///
    /// # Errors
    /// When `tt-smi` is not installed, or fails.
    pub fn reset(options: &TenstorrentOptions) -> Result<()> {
        Ok(tt::reset(options.device_id)?)
    }

    /// Command of a shell that resets a card.
    pub fn reset_command(options: &TenstorrentOptions) -> String {
        tt::reset_command(options.device_id)
    }

    /// The card itself, for commands beside the contract.
    pub fn card(&self) -> &tt::Device {
        &self.card
    }

    /// Captures the graph of operations that `work` would run on the card, without running them.
    ///
    /// # Errors
    /// When `work` fails, or TT-NN captured nothing.
    pub fn capture_graph(&self, work: impl FnOnce() -> Result<()>) -> Result<Graph> {
        let capture = tt::GraphCapture::begin(&self.card)?;
        let is_capturing = &self.traces.commands.is_capturing_graph;
        is_capturing.store(true, Ordering::Relaxed);
        let done = work();
        is_capturing.store(false, Ordering::Relaxed);
        done?;
        Graph::read(&capture.end()?)
    }

    fn tensor(&self, tensor: tt::Tensor, shape: &[usize], on_card: [usize; 4]) -> TenstorrentTensor {
        self.tensor_of(Values::Tiles, tensor, shape, on_card)
    }

    fn tensor_of(
        &self,
        values: Values,
        tensor: tt::Tensor,
        shape: &[usize],
        on_card: [usize; 4],
    ) -> TenstorrentTensor {
        let counted = self.traces.count_tensor();
        TenstorrentTensor::new(Arc::clone(&self.card), tensor, shape, on_card, values, counted)
    }

    fn matrix(&self, tensor: tt::Tensor, rows: usize, width: usize) -> TenstorrentTensor {
        self.tensor(tensor, &[rows, width], [1, 1, rows, width])
    }

    /// Uploads values; allocates their memory alone on a mock card.
    fn upload_values(
        &self,
        values: impl FnOnce() -> Vec<f32>,
        shape: &[usize],
        dtype: Dtype,
        layout: Layout,
    ) -> Result<tt::Tensor> {
        Ok(match self.mock {
            true => self.card.empty(shape, dtype, layout)?,
            false => self.card.upload(&values(), shape, dtype, layout)?,
        })
    }

    fn zeros_of(&self, values: Values, dtype: Dtype, shape: &[usize]) -> Result<TenstorrentTensor> {
        self.traces.expect_no_work("zeros")?;
        let on_card = tensor::on_card("zeros", shape)?;
        let tensor = match self.mock {
            true => self.card.empty(&on_card, dtype, Layout::Tile)?,
            false => self.card.zeros(&on_card, dtype, Layout::Tile)?,
        };
        Ok(self.tensor_of(values, tensor, shape, on_card))
    }

    /// Downcasts f32 to bfloat16.
    fn downcast(&self, x: &TenstorrentTensor) -> Result<TenstorrentTensor> {
        let tensor = self.card.typecast(&x.tensor, Dtype::Bf16)?;
        Ok(self.tensor(tensor, &x.shape, x.on_card))
    }

    /// Upcasts values of a shape to f32, where they are not.
    fn upcast(
        &self,
        operation: &'static str,
        what: &str,
        values: &TenstorrentTensor,
        shape: &[usize],
    ) -> Result<tt::Tensor> {
        values.expect_numbers(operation)?;
        values.expect_same_shape(operation, what, shape)?;
        match values.values {
            Values::F32 => Ok(values.tensor.clone()),
            _ => Ok(self.card.typecast(&values.tensor, Dtype::F32)?),
        }
    }

    fn reshaped(&self, x: &TenstorrentTensor, on_card: [usize; 4]) -> Result<tt::Tensor> {
        match x.on_card == on_card {
            true => Ok(x.tensor.clone()),
            false => Ok(self.card.reshape(&x.tensor, &on_card)?),
        }
    }
}

impl Device for TenstorrentDevice {
    type Tensor = TenstorrentTensor;
    type Linear = TenstorrentLinear;
    type Table = TenstorrentTable;
    type Trace = WorkTrace<CardCommands>;

    fn description(&self) -> String {
        self.description.clone()
    }

    fn precision(&self) -> &'static str {
        PRECISION
    }

    fn needs_warm_up(&self) -> bool {
        true
    }

    fn upload(&self, values: &[f32], shape: &[usize]) -> Result<TenstorrentTensor> {
        self.traces.expect_no_work("upload")?;
        let on_card = tensor::on_card("upload", shape)?;
        let values = values_for("upload", values, shape)?;
        let tensor = self.card.upload(&values, &on_card, Dtype::Bf16, Layout::Tile)?;
        Ok(self.tensor(tensor, shape, on_card))
    }

    fn upload_image(&self, pixels: &Pixels, image_size: usize) -> Result<TenstorrentTensor> {
        self.traces.expect_no_work("upload_image")?;
        self.new_image(pixels, image_size)
    }

    fn write(&self, tensor: &mut TenstorrentTensor, values: &[f32]) -> Result<()> {
        self.traces.expect_no_work("write")?;
        tensor.expect_numbers("write")?;
        let dtype = match tensor.values {
            Values::F32 => Dtype::F32,
            _ => Dtype::Bf16,
        };
        let values = values_for("write", values, &tensor.shape)?;
        self.traces.write(tensor.address(), |queue| {
            let TenstorrentTensor { tensor, on_card, .. } = &*tensor;
            let written = self
                .card
                .overwrite(tensor, &values, on_card, dtype, Layout::Tile, queue);
            Ok(written?)
        })
    }

    fn write_image(&self, image: &mut TenstorrentTensor, pixels: &Pixels) -> Result<()> {
        self.traces.expect_no_work("write_image")?;
        self.overwrite_image(image, pixels)
    }

    fn run_captured<'a>(
        &self,
        trace: &mut Self::Trace,
        inputs: impl IntoIterator<Item = &'a TenstorrentTensor>,
        work: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let inputs: Vec<usize> = inputs.into_iter().map(TenstorrentTensor::address).collect();
        self.traces.run_captured(trace, &inputs, work)
    }

    fn upload_parameter(&self, parameter: &HostTensor) -> Result<TenstorrentTensor> {
        let on_card = tensor::on_card("upload_parameter", &parameter.shape)?;
        let values = || parameter.to_f32();
        let tensor = self.upload_values(values, &on_card, Dtype::Bf16, Layout::Tile)?;
        Ok(self.tensor(tensor, &parameter.shape, on_card))
    }

    fn upload_linear(&self, weights: &[HostTensor], biases: &[HostTensor]) -> Result<TenstorrentLinear> {
        self.layer(weights, biases, Dtype::Bf8)
    }

    fn upload_residual_linear(
        &self,
        weight: &HostTensor,
        bias: Option<&HostTensor>,
    ) -> Result<TenstorrentLinear> {
        let bias: Vec<HostTensor> = bias.into_iter().cloned().collect();
        let dtype = match self.tuning.has(Tuning::CompactResiduals) {
            true => Dtype::Bf8,
            false => Dtype::Bf16,
        };
        self.layer(std::slice::from_ref(weight), &bias, dtype)
    }

    fn upload_gated_linear(&self, gate: &HostTensor, up: &HostTensor) -> Result<TenstorrentLinear> {
        self.gated_layer(gate, up)
    }

    fn upload_table(&self, table: &HostTensor) -> Result<TenstorrentTable> {
        let [vocab_size, width] = table.shape[..] else {
            return Err(DeviceError::shape(
                "upload_table",
                format!("expected [vocab_size, width], got {:?}", table.shape),
            ));
        };
        let values = || table.to_f32();
        let rows = self.upload_values(values, &table.shape, Dtype::Bf16, Layout::RowMajor)?;
        Ok(TenstorrentTable {
            rows: self.matrix(rows, vocab_size, width),
            vocab_size,
            width,
        })
    }

    fn read_back(&self, tensor: &TenstorrentTensor) -> Result<Vec<f32>> {
        self.traces.expect_no_work("read_back")?;
        tensor.expect_numbers("read_back")?;
        self.read_backs.fetch_add(1, Ordering::Relaxed);
        if self.mock {
            self.card.read_back_nothing(&tensor.tensor)?;
            return Ok(vec![0.0; tensor.shape.iter().product()]);
        }
        Ok(self.card.read_back(&tensor.tensor)?)
    }

    fn read_backs(&self) -> u64 {
        self.read_backs.load(Ordering::Relaxed)
    }

    fn shape<'a>(&self, tensor: &'a TenstorrentTensor) -> &'a [usize] {
        &tensor.shape
    }

    fn tile_size(&self) -> usize {
        TILE
    }

    fn zeros(&self, shape: &[usize]) -> Result<TenstorrentTensor> {
        self.zeros_of(Values::Tiles, Dtype::Bf16, shape)
    }

    fn zeros_f32(&self, shape: &[usize]) -> Result<TenstorrentTensor> {
        self.zeros_of(Values::F32, Dtype::F32, shape)
    }

    fn patches(&self, image: &TenstorrentTensor, grid: PatchGrid) -> Result<TenstorrentTensor> {
        self.unfold_on_card(image, grid)
    }

    fn linear(
        &self,
        x: &TenstorrentTensor,
        layer: &TenstorrentLinear,
        activation: Activation,
    ) -> Result<TenstorrentTensor> {
        match x.values {
            Values::F32 => self.product(&self.downcast(x)?, layer, activation),
            _ => self.product(x, layer, activation),
        }
    }

    fn with_bias(&self, layer: &TenstorrentLinear, bias: &TenstorrentTensor) -> Result<TenstorrentLinear> {
        bias.expect_shape("with_bias", "bias", &[1, layer.outputs])?;
        Ok(TenstorrentLinear {
            weight: layer.weight.clone(),
            bias: Some(bias.clone()),
            ones: layer.ones.clone(),
            up: layer.up.clone(),
            ..*layer
        })
    }

    fn linear_add(
        &self,
        x: &TenstorrentTensor,
        layer: &TenstorrentLinear,
        gate: Option<&TenstorrentTensor>,
        residual: &TenstorrentTensor,
    ) -> Result<TenstorrentTensor> {
        self.product_add(x, layer, gate, residual)
    }

    fn geglu(&self, x: &TenstorrentTensor, gate_up: &TenstorrentLinear) -> Result<TenstorrentTensor> {
        self.gated_product(x, gate_up)
    }

    fn upload_token_ids(&self, table: &TenstorrentTable, tokens: &[u32]) -> Result<TenstorrentTensor> {
        self.traces.expect_no_work("upload_token_ids")?;
        expect_tokens(tokens, table.vocab_size)?;
        let on_card = [1, 1, 1, tokens.len()];
        let ids = self
            .card
            .upload(tokens, &on_card[2..], Dtype::U32, Layout::RowMajor)?;
        Ok(self.tensor_of(Values::TokenIds, ids, &[tokens.len()], on_card))
    }

    fn write_token_ids(
        &self,
        table: &TenstorrentTable,
        ids: &mut TenstorrentTensor,
        tokens: &[u32],
    ) -> Result<()> {
        const OPERATION: &str = "write_token_ids";
        self.traces.expect_no_work(OPERATION)?;
        ids.expect_token_ids(OPERATION)?;
        expect_count(OPERATION, tokens.len(), &ids.shape)?;
        expect_tokens(tokens, table.vocab_size)?;
        self.traces.write(ids.address(), |queue| {
            let TenstorrentTensor { tensor, on_card, .. } = &*ids;
            let (shape, layout) = (&on_card[2..], Layout::RowMajor);
            Ok(self
                .card
                .overwrite(tensor, tokens, shape, Dtype::U32, layout, queue)?)
        })
    }

    fn embedding(
        &self,
        table: &TenstorrentTable,
        ids: &TenstorrentTensor,
        scale: f32,
    ) -> Result<TenstorrentTensor> {
        ids.expect_token_ids("embedding")?;
        let tokens = ids.shape[0];
        let rows = self.card.embedding(&ids.tensor, &table.rows.tensor)?;
        let rows = self.card.reshape(&rows, &[1, 1, tokens, table.width])?;
        Ok(self.matrix(self.card.scale(&rows, scale)?, tokens, table.width))
    }

    fn layer_norm(
        &self,
        x: &TenstorrentTensor,
        weight: &TenstorrentTensor,
        bias: &TenstorrentTensor,
        eps: f32,
    ) -> Result<TenstorrentTensor> {
        let (_, width) = x.matrix("layer_norm")?;
        weight.expect_shape("layer_norm", "weight", &[width])?;
        bias.expect_shape("layer_norm", "bias", &[width])?;
        self.normalise(tt::Norm::Layer, x, weight, Some(bias), eps)
    }

    fn rms_norm(
        &self,
        x: &TenstorrentTensor,
        weight: &TenstorrentTensor,
        bias: Option<&TenstorrentTensor>,
        eps: f32,
    ) -> Result<TenstorrentTensor> {
        let (_, width) = x.matrix("rms_norm")?;
        weight.expect_shape("rms_norm", "weight", &[width])?;
        if let Some(bias) = bias {
            bias.expect_shape("rms_norm", "bias", &[width])?;
        }
        self.normalise(tt::Norm::RootMeanSquare, x, weight, bias, eps)
    }

    fn split_heads(&self, qkv: &TenstorrentTensor, layout: HeadLayout) -> Result<Heads<TenstorrentTensor>> {
        self.divide_heads(qkv, layout)
    }

    fn rope(&self, x: &TenstorrentTensor, table: &RopeTable<TenstorrentTensor>) -> Result<TenstorrentTensor> {
        self.rotate(x, table)
    }

    fn attention(
        &self,
        queries: &TenstorrentTensor,
        attended: &KeysValues<TenstorrentTensor>,
        sequences: usize,
        mask: Option<&TenstorrentTensor>,
        scale: f32,
    ) -> Result<TenstorrentTensor> {
        self.attend(queries, attended, sequences, mask, scale)
    }

    fn copy(&self, from: &TenstorrentTensor, to: &mut TenstorrentTensor) -> Result<()> {
        to.expect_numbers("copy")?;
        from.expect_same_shape("copy", "the source", &to.shape)?;
        if from.values != to.values {
            return Err(DeviceError::shape(
                "copy",
                format!("{:?} to {:?}", from.values, to.values),
            ));
        }
        Ok(self.card.copy(&from.tensor, &to.tensor)?)
    }

    fn add(&self, x: &TenstorrentTensor, y: &TenstorrentTensor) -> Result<TenstorrentTensor> {
        let (rows, width) = x.matrix("add")?;
        let (repeated, _) = y.matrix("add")?;
        y.expect_shape("add", "y", &[repeated, width])?;
        let tiled = repeated == rows || repeated.is_multiple_of(TILE);
        if repeated == 0 || !rows.is_multiple_of(repeated) || !tiled {
            return Err(DeviceError::shape(
                "add",
                format!("{:?} cannot be repeated to {:?}", y.shape, x.shape),
            ));
        }
        let parts = [rows / repeated, 1, repeated, width];
        let sum = self.card.add(&self.reshaped(x, parts)?, &y.tensor)?;
        let sum = self.tensor(sum, &x.shape, parts);
        Ok(self.matrix(self.reshaped(&sum, [1, 1, rows, width])?, rows, width))
    }

    fn concat_rows(&self, parts: &[&TenstorrentTensor]) -> Result<TenstorrentTensor> {
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
        let parts: Vec<&tt::Tensor> = parts.iter().map(|part| &part.tensor).collect();
        Ok(self.matrix(self.card.concat_rows(&parts)?, rows, width))
    }

    fn slice_rows(&self, x: &TenstorrentTensor, rows: Range<usize>) -> Result<TenstorrentTensor> {
        let (height, width) = x.matrix("slice_rows")?;
        if rows.start > rows.end || rows.end > height || !rows.start.is_multiple_of(TILE) {
            return Err(DeviceError::shape(
                "slice_rows",
                format!("rows {rows:?} of {:?} in tiles of {TILE}", x.shape),
            ));
        }
        let part = self
            .card
            .slice(&x.tensor, [0, 0, rows.start, 0], [1, 1, rows.end, width])?;
        Ok(self.matrix(part, rows.len(), width))
    }

    fn write_tokens(
        &self,
        cache: &mut KeysValues<TenstorrentTensor>,
        start: usize,
        tokens: &KeysValues<TenstorrentTensor>,
    ) -> Result<()> {
        self.fill_cache(cache, start, tokens)
    }

    fn select(
        &self,
        mask: &TenstorrentTensor,
        x: &TenstorrentTensor,
        y: &TenstorrentTensor,
    ) -> Result<TenstorrentTensor> {
        const OPERATION: &str = "select";
        mask.expect_numbers(OPERATION)?;
        let [x, y] = [("x", x), ("y", y)].map(|(what, values)| {
            let shape = match (&values.shape[..], &mask.shape[..]) {
                ([row], [_, width]) if row == width => &values.shape,
                _ => &mask.shape,
            };
            match mask.values {
                Values::F32 => self.upcast(OPERATION, what, values, shape),
                _ => values
                    .expect_shape(OPERATION, what, shape)
                    .map(|()| values.tensor.clone()),
            }
        });
        let selected = self.card.select(&mask.tensor, &x?, &y?)?;
        Ok(self.tensor_of(mask.values, selected, &mask.shape, mask.on_card))
    }

    fn multiply(&self, x: &TenstorrentTensor, y: &TenstorrentTensor) -> Result<TenstorrentTensor> {
        const OPERATION: &str = "multiply";
        let shape = &x.shape;
        x.expect_numbers(OPERATION)?;
        let [f32_x, f32_y] =
            [("x", x), ("y", y)].map(|(what, values)| self.upcast(OPERATION, what, values, shape));
        let product = self.card.multiply(&f32_x?, &f32_y?)?;
        Ok(self.tensor_of(Values::F32, product, shape, x.on_card))
    }

    fn euler_update(
        &self,
        x_t: &TenstorrentTensor,
        v_t: &TenstorrentTensor,
        dt: f32,
    ) -> Result<TenstorrentTensor> {
        const OPERATION: &str = "euler_update";
        x_t.expect_numbers(OPERATION)?;
        let v_t = match x_t.values {
            Values::F32 => &self.upcast(OPERATION, "v_t", v_t, &x_t.shape)?,
            _ => {
                v_t.expect_shape(OPERATION, "v_t", &x_t.shape)?;
                &v_t.tensor
            }
        };
        let x = self.card.add_scaled(&x_t.tensor, v_t, dt)?;
        Ok(self.tensor_of(x_t.values, x, &x_t.shape, x_t.on_card))
    }
}
