//! The Tenstorrent device: every operation runs on the card, through TT-NN.
//!
//! No operation of it has run on a card yet; TT-NN has checked and built all of them for mock cards
//! (docs/tenstorrent.md). Activations are bfloat16. Weights are bfloat8_b, but for layers that add a residual: the fused
//! operation wants weight and residual in one type.

mod blocks;
mod busy_cores;
#[cfg(test)]
mod emulation;
mod graph;
mod heads;
mod linear;
mod patches;
mod replay;
mod tensor;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tt_metal_sys as tt;
use tt_metal_sys::{Dtype, Layout};

pub use self::graph::{Graph, Operation};
pub use self::linear::TenstorrentLinear;
use self::replay::{CardCommands, Recording, Replays};
pub use self::tensor::TenstorrentTensor;
use self::tensor::{TILE, Values};
use super::{
    Activation, Device, DeviceError, HeadLayout, Heads, HostTensor, KeysValues, PatchGrid, Result, RopeTable,
};

/// What is added to the score of a pair that must not attend. A block of keys that are all hidden would make −∞ − −∞ of
/// the attention's running maximum; this leaves the same zero after the softmax.
const MASKED: f32 = -1e9;
/// What weights are stored in, in TT-NN's words.
const PRECISION: &str = "bfloat8_b";

/// DRAM for recorded commands: for 7,000 operations (a chunk has fewer than 2,900, denoising with held actions 2,438 more, and the
/// vision tower is recorded again for each combination of cameras with a new frame) on 130 cores with three kernels each and 64
/// arguments of 4 bytes for each kernel.
const TRACE_BYTES: u64 = 7000 * 130 * 3 * 64 * 4;

/// Which card, when there are several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenstorrentOptions {
    pub device_id: u32,
}

/// One card.
pub struct TenstorrentDevice {
    /// What each byte of an image stands for. Dropped before the card.
    byte_values: tt::Tensor,
    card: Arc<tt::Device>,
    replays: Replays<CardCommands>,
    /// Columns and rows of the cores that compute.
    grid: (u32, u32),
    description: String,
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
        Self::new(tt::Runtime::load()?, options.device_id, false)
    }

    /// Opens a card that is described and not there, to check the graph of a model and count its operations.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_mock(card: &tt::MockCard) -> Result<Self> {
        Self::new(tt::Runtime::load_for(card)?, 0, true)
    }

    fn new(runtime: tt::Runtime, device_id: u32, mock: bool) -> Result<Self> {
        let version = runtime.version().to_owned();
        let card = Arc::new(tt::Device::open(runtime, device_id, TRACE_BYTES)?);
        let grid @ (columns, rows) = card.core_grid()?;
        Ok(Self {
            grid,
            description: format!(
                "Tenstorrent {:?}{}, {columns} × {rows} cores, TT-NN {version}, {PRECISION} weights",
                card.arch()?,
                if mock { " (mock)" } else { "" },
            ),
            byte_values: patches::upload_byte_values(&card)?,
            replays: Replays::new(CardCommands {
                card: Arc::clone(&card),
                mock,
                capturing: AtomicBool::new(false),
            }),
            card,
            mock,
            read_backs: AtomicU64::new(0),
        })
    }

    /// The card itself.
    pub fn card(&self) -> &tt::Device {
        &self.card
    }

    /// What `work` would do on the card, recorded instead of done.
    ///
    /// # Errors
    /// Those of `work`, and when TT-NN has no recording.
    pub fn capture(&self, work: impl FnOnce() -> Result<()>) -> Result<Graph> {
        let capture = tt::GraphCapture::begin(&self.card)?;
        let capturing = &self.replays.commands.capturing;
        capturing.store(true, Ordering::Relaxed);
        let done = work();
        capturing.store(false, Ordering::Relaxed);
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
        let counted = self.replays.count_tensor();
        TenstorrentTensor::new(Arc::clone(&self.card), tensor, shape, on_card, values, counted)
    }

    fn matrix(&self, tensor: tt::Tensor, rows: usize, width: usize) -> TenstorrentTensor {
        self.tensor(tensor, &[rows, width], [1, 1, rows, width])
    }

    /// Values to the card, or, on a mock card, only their place.
    fn place(
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
        self.replays.expect_no_work("zeros")?;
        let on_card = tensor::on_card("zeros", shape)?;
        let tensor = match self.mock {
            true => self.card.empty(&on_card, dtype, Layout::Tile)?,
            false => self.card.zeros(&on_card, dtype, Layout::Tile)?,
        };
        Ok(self.tensor_of(values, tensor, shape, on_card))
    }

    /// Sums as bfloat16.
    fn narrowed(&self, sums: &TenstorrentTensor) -> Result<TenstorrentTensor> {
        let tensor = self.card.typecast(&sums.tensor, Dtype::Bf16)?;
        Ok(self.tensor(tensor, &sums.shape, sums.on_card))
    }

    /// Values of a shape in the type of sums.
    fn widened(
        &self,
        operation: &'static str,
        what: &str,
        values: &TenstorrentTensor,
        shape: &[usize],
    ) -> Result<tt::Tensor> {
        values.expect_numbers(operation)?;
        values.expect_same_shape(operation, what, shape)?;
        match values.values {
            Values::Sums => Ok(values.tensor.clone()),
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
    type Recording = Recording<CardCommands>;

    fn description(&self) -> String {
        self.description.clone()
    }

    fn precision(&self) -> &'static str {
        PRECISION
    }

    fn is_slow_at_first(&self) -> bool {
        true
    }

    fn upload(&self, values: &[f32], shape: &[usize]) -> Result<TenstorrentTensor> {
        self.replays.expect_no_work("upload")?;
        let on_card = tensor::on_card("upload", shape)?;
        let values = values_for("upload", values, shape)?;
        let tensor = self.card.upload(&values, &on_card, Dtype::Bf16, Layout::Tile)?;
        Ok(self.tensor(tensor, shape, on_card))
    }

    fn upload_image(&self, pixels: &[f32], image_size: usize) -> Result<TenstorrentTensor> {
        self.replays.expect_no_work("upload_image")?;
        self.new_image(pixels, image_size)
    }

    fn write(&self, tensor: &mut TenstorrentTensor, values: &[f32]) -> Result<()> {
        self.replays.expect_no_work("write")?;
        let dtype = match tensor.values {
            Values::Pixels(pixel_type) => return self.write_image(tensor, pixel_type, values),
            Values::Tiles => Dtype::Bf16,
            Values::Sums => Dtype::F32,
        };
        let values = values_for("write", values, &tensor.shape)?;
        let TenstorrentTensor {
            tensor: place,
            on_card,
            ..
        } = &*tensor;
        self.replays.write(tensor.place(), |queue| {
            let written = self
                .card
                .overwrite(place, &values, on_card, dtype, Layout::Tile, queue);
            Ok(written?)
        })
    }

    fn replay(
        &self,
        recording: &mut Self::Recording,
        inputs: &[&TenstorrentTensor],
        work: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let inputs: Vec<usize> = inputs.iter().map(|input| input.place()).collect();
        self.replays.replay(recording, &inputs, work)
    }

    fn upload_parameter(&self, parameter: &HostTensor) -> Result<TenstorrentTensor> {
        let on_card = tensor::on_card("upload_parameter", &parameter.shape)?;
        let values = || parameter.to_f32();
        let tensor = self.place(values, &on_card, Dtype::Bf16, Layout::Tile)?;
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
        self.layer(std::slice::from_ref(weight), &bias, Dtype::Bf16)
    }

    fn upload_table(&self, table: &HostTensor) -> Result<TenstorrentTable> {
        let [vocab_size, width] = table.shape[..] else {
            return Err(DeviceError::shape(
                "upload_table",
                format!("expected [vocab_size, width], got {:?}", table.shape),
            ));
        };
        let values = || table.to_f32();
        let rows = self.place(values, &table.shape, Dtype::Bf16, Layout::RowMajor)?;
        Ok(TenstorrentTable {
            rows: self.matrix(rows, vocab_size, width),
            vocab_size,
            width,
        })
    }

    fn read_back(&self, tensor: &TenstorrentTensor) -> Result<Vec<f32>> {
        self.replays.expect_no_work("read_back")?;
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

    fn tile(&self) -> usize {
        TILE
    }

    fn zeros(&self, shape: &[usize]) -> Result<TenstorrentTensor> {
        self.zeros_of(Values::Tiles, Dtype::Bf16, shape)
    }

    fn zeros_for_sums(&self, shape: &[usize]) -> Result<TenstorrentTensor> {
        self.zeros_of(Values::Sums, Dtype::F32, shape)
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
            Values::Sums => self.product(&self.narrowed(x)?, layer, activation),
            _ => self.product(x, layer, activation),
        }
    }

    fn with_bias(&self, layer: &TenstorrentLinear, bias: &TenstorrentTensor) -> Result<TenstorrentLinear> {
        bias.expect_shape("with_bias", "bias", &[1, layer.outputs])?;
        Ok(TenstorrentLinear {
            weight: layer.weight.clone(),
            bias: Some(bias.clone()),
            gate: layer.gate.clone(),
            ..*layer
        })
    }

    fn linear_add(
        &self,
        x: &TenstorrentTensor,
        layer: &TenstorrentLinear,
        residual: &TenstorrentTensor,
    ) -> Result<TenstorrentTensor> {
        self.product_add(x, layer, residual)
    }

    fn geglu(&self, x: &TenstorrentTensor, gate_up: &TenstorrentLinear) -> Result<TenstorrentTensor> {
        self.gated_product(x, gate_up)
    }

    fn embedding(&self, table: &TenstorrentTable, tokens: &[u32], scale: f32) -> Result<TenstorrentTensor> {
        let unknown = tokens.iter().find(|token| **token as usize >= table.vocab_size);
        if let Some(&token) = unknown {
            return Err(DeviceError::Token {
                token,
                vocab_size: table.vocab_size,
            });
        }
        self.replays.expect_no_work("embedding")?;
        let indices = self
            .card
            .upload(tokens, &[1, tokens.len()], Dtype::U32, Layout::RowMajor)?;
        let rows = self.card.embedding(&indices, &table.rows.tensor)?;
        let rows = self.card.reshape(&rows, &[1, 1, tokens.len(), table.width])?;
        Ok(self.matrix(self.card.scale(&rows, scale)?, tokens.len(), table.width))
    }

    fn layer_norm(
        &self,
        x: &TenstorrentTensor,
        weight: &TenstorrentTensor,
        bias: &TenstorrentTensor,
        eps: f32,
    ) -> Result<TenstorrentTensor> {
        let (rows, width) = x.matrix("layer_norm")?;
        weight.expect_shape("layer_norm", "weight", &[width])?;
        bias.expect_shape("layer_norm", "bias", &[width])?;
        let y = self
            .card
            .layer_norm(&x.tensor, &weight.tensor, &bias.tensor, eps)?;
        Ok(self.matrix(y, rows, width))
    }

    fn rms_norm(
        &self,
        x: &TenstorrentTensor,
        weight: &TenstorrentTensor,
        eps: f32,
    ) -> Result<TenstorrentTensor> {
        let (rows, width) = x.matrix("rms_norm")?;
        weight.expect_shape("rms_norm", "weight", &[width])?;
        let y = self.card.rms_norm(&x.tensor, &weight.tensor, eps)?;
        Ok(self.matrix(y, rows, width))
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
        let shape = &mask.shape;
        mask.expect_numbers(OPERATION)?;
        let [wide_mask, x, y] = [("mask", mask), ("x", x), ("y", y)]
            .map(|(what, values)| self.widened(OPERATION, what, values, shape));
        let selected = self.card.select(&wide_mask?, &x?, &y?)?;
        Ok(self.tensor_of(Values::Sums, selected, shape, mask.on_card))
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
            Values::Sums => &self.widened(OPERATION, "v_t", v_t, &x_t.shape)?,
            _ => {
                v_t.expect_shape(OPERATION, "v_t", &x_t.shape)?;
                &v_t.tensor
            }
        };
        let x = self.card.add_scaled(&x_t.tensor, v_t, dt)?;
        Ok(self.tensor_of(x_t.values, x, &x_t.shape, x_t.on_card))
    }
}

/// As many values as the shape says, −∞ replaced.
fn values_for(operation: &'static str, values: &[f32], shape: &[usize]) -> Result<Vec<f32>> {
    expect_count(operation, values, shape)?;
    let masked = |value: &f32| match *value == f32::NEG_INFINITY {
        true => MASKED,
        false => *value,
    };
    Ok(values.iter().map(masked).collect())
}

fn expect_count(operation: &'static str, values: &[f32], shape: &[usize]) -> Result<()> {
    match values.len() == shape.iter().product::<usize>() {
        true => Ok(()),
        false => Err(DeviceError::shape(
            operation,
            format!("{} values for shape {shape:?}", values.len()),
        )),
    }
}
