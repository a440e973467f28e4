//! The Tenstorrent device: every operation runs on the card, through TT-NN.
//!
//! No operation of it has run on a card yet; TT-NN has checked and built all of them for mock cards
//! (docs/tenstorrent.md). Activations are bfloat16. Weights are bfloat8_b, but for layers that add a residual: the fused
//! operation wants weight and residual in one type.

#[cfg(test)]
mod emulation;
mod graph;
mod linear;
mod patches;
mod tensor;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tt_metal_sys as tt;
use tt_metal_sys::{Dtype, Fidelity, Layout};

pub use self::graph::{Graph, Operation};
pub use self::linear::TenstorrentLinear;
use self::tensor::TILE;
pub use self::tensor::TenstorrentTensor;
use super::{
    Activation, Device, DeviceError, HeadLayout, Heads, HostTensor, KeysValues, PatchGrid, Result, RopeTable,
};

/// What is added to the score of a pair that must not attend. A block of keys that are all hidden would make −∞ − −∞ of
/// the attention's running maximum; this leaves the same zero after the softmax.
const MASKED: f32 = -1e9;
/// What weights are stored in, in TT-NN's words.
const PRECISION: &str = "bfloat8_b";
/// From so many rows on a product is cut into blocks of rows and outputs, below it goes along the outputs alone.
const MANY_ROWS: usize = 256;

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
    description: String,
    /// A mock card computes nothing, so nothing is converted for it.
    mock: bool,
    /// Whether a camera's frame was no whole bytes. From then on none travels as bytes: one that happens to be, all black,
    /// would have another program compiled in the middle of work.
    resampled_frames: AtomicBool,
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
        let card = tt::Device::open(runtime, device_id)?;
        let (columns, rows) = card.core_grid()?;
        Ok(Self {
            description: format!(
                "Tenstorrent {:?}{}, {columns} × {rows} cores, TT-NN {version}, {PRECISION} weights",
                card.arch()?,
                if mock { " (mock)" } else { "" },
            ),
            byte_values: patches::upload_byte_values(&card)?,
            card: Arc::new(card),
            mock,
            resampled_frames: AtomicBool::new(false),
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
        work()?;
        Graph::read(&capture.end()?)
    }

    fn tensor(&self, tensor: tt::Tensor, shape: &[usize], on_card: [usize; 4]) -> TenstorrentTensor {
        TenstorrentTensor::new(Arc::clone(&self.card), tensor, shape, on_card)
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

    fn description(&self) -> String {
        self.description.clone()
    }

    fn precision(&self) -> &'static str {
        PRECISION
    }

    fn upload(&self, values: &[f32], shape: &[usize]) -> Result<TenstorrentTensor> {
        let on_card = tensor::on_card("upload", shape)?;
        if values.len() != shape.iter().product::<usize>() {
            return Err(DeviceError::shape(
                "upload",
                format!("{} values for shape {shape:?}", values.len()),
            ));
        }
        let masked = |value: &f32| match *value == f32::NEG_INFINITY {
            true => MASKED,
            false => *value,
        };
        let values: Vec<f32> = values.iter().map(masked).collect();
        let tensor = self.card.upload(&values, &on_card, Dtype::Bf16, Layout::Tile)?;
        Ok(self.tensor(tensor, shape, on_card))
    }

    fn upload_patches(&self, images: &[&[f32]], grid: PatchGrid) -> Result<TenstorrentTensor> {
        self.unfold_on_card(images, grid)
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
        let on_card = tensor::on_card("zeros", shape)?;
        let tensor = match self.mock {
            true => self.card.empty(&on_card, Dtype::Bf16, Layout::Tile)?,
            false => self.card.zeros(&on_card, Dtype::Bf16, Layout::Tile)?,
        };
        Ok(self.tensor(tensor, shape, on_card))
    }

    fn linear(
        &self,
        x: &TenstorrentTensor,
        layer: &TenstorrentLinear,
        activation: Activation,
    ) -> Result<TenstorrentTensor> {
        let rows = layer.rows("linear", x)?;
        let activation = match activation {
            Activation::None => None,
            Activation::GeluTanh => Some(tt::Activation::GeluTanh),
            Activation::Silu => Some(tt::Activation::Silu),
        };
        let (weight, bias) = (&layer.weight.tensor, layer.bias.as_ref());
        let y = match activation.is_none() && rows < MANY_ROWS {
            true => self.card.linear(&x.tensor, weight, bias, Fidelity::HiFi2)?,
            false => self
                .card
                .minimal_matmul(&x.tensor, weight, bias, activation, Fidelity::HiFi2)?,
        };
        Ok(self.matrix(y, rows, layer.outputs))
    }

    fn with_bias(&self, layer: &TenstorrentLinear, bias: &TenstorrentTensor) -> Result<TenstorrentLinear> {
        bias.expect_shape("with_bias", "bias", &[1, layer.outputs])?;
        Ok(TenstorrentLinear {
            weight: layer.weight.clone(),
            bias: Some(bias.tensor.clone()),
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
        let rows = layer.rows("linear_add", x)?;
        residual.expect_shape("linear_add", "residual", &[rows, layer.outputs])?;
        let Some(gate) = &layer.gate else {
            return self.add(&self.linear(x, layer, Activation::None)?, residual);
        };
        let y = self.card.minimal_matmul_add(
            &x.tensor,
            &layer.weight.tensor,
            layer.bias.as_ref(),
            &residual.tensor,
            gate,
            Fidelity::HiFi2,
        )?;
        Ok(self.matrix(y, rows, layer.outputs))
    }

    fn geglu(&self, x: &TenstorrentTensor, gate_up: &TenstorrentLinear) -> Result<TenstorrentTensor> {
        let rows = gate_up.rows("geglu", x)?;
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
        let weight = &gate_up.weight.tensor;
        let (gate, up) = self
            .card
            .minimal_matmul_halves(&x.tensor, weight, Fidelity::HiFi2)?;
        let y = self.card.gelu_multiply(&gate, &up)?;
        Ok(self.matrix(y, rows, gate_up.outputs / 2))
    }

    fn embedding(&self, table: &TenstorrentTable, tokens: &[u32], scale: f32) -> Result<TenstorrentTensor> {
        let unknown = tokens.iter().find(|token| **token as usize >= table.vocab_size);
        if let Some(&token) = unknown {
            return Err(DeviceError::Token {
                token,
                vocab_size: table.vocab_size,
            });
        }
        let indices = self.card.upload_indices(tokens, &[1, tokens.len()])?;
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
        let (rows, width) = qkv.matrix("split_heads")?;
        let HeadLayout {
            sequences,
            num_heads,
            num_kv_heads,
            head_dim,
        } = layout;
        let divides = sequences > 0
            && rows.is_multiple_of(sequences * TILE)
            && head_dim.is_multiple_of(TILE)
            && width == (num_heads + 2 * num_kv_heads) * head_dim;
        if !divides {
            return Err(DeviceError::shape(
                "split_heads",
                format!(
                    "{:?} does not divide into {layout:?} in tiles of {TILE}",
                    qkv.shape
                ),
            ));
        }
        let tokens = rows / sequences;
        let qkv = self.reshaped(qkv, [sequences, 1, tokens, width])?;
        let heads = self.card.split_heads(&qkv, num_heads, num_kv_heads)?;
        let of = |tensor, count| {
            let shape = [sequences * count, tokens, head_dim];
            self.tensor(tensor, &shape, [sequences, count, tokens, head_dim])
        };
        Ok(Heads {
            queries: of(heads.queries, num_heads),
            keys: of(heads.keys, num_kv_heads),
            values: of(heads.values, num_kv_heads),
        })
    }

    fn rope(&self, x: &TenstorrentTensor, table: &RopeTable<TenstorrentTensor>) -> Result<TenstorrentTensor> {
        let (heads, tokens, head_dim) = x.heads("rope")?;
        table.cos.expect_shape("rope", "cos", &[tokens, head_dim])?;
        table.sin.expect_shape("rope", "sin", &[tokens, head_dim])?;
        let on_card = [1, heads, tokens, head_dim];
        let (cos, sin) = (&table.cos.tensor, &table.sin.tensor);
        let rotated = self
            .card
            .rotary_embedding(&self.reshaped(x, on_card)?, cos, sin)?;
        Ok(self.tensor(rotated, &x.shape, on_card))
    }

    fn attention(
        &self,
        queries: &TenstorrentTensor,
        attended: &KeysValues<TenstorrentTensor>,
        sequences: usize,
        mask: Option<&TenstorrentTensor>,
        scale: f32,
    ) -> Result<TenstorrentTensor> {
        const OPERATION: &str = "attention";
        let (num_heads, query_count, head_dim) = queries.heads(OPERATION)?;
        let (num_kv_heads, keys, _) = attended.keys.heads(OPERATION)?;
        let kv_shape = [num_kv_heads, keys, head_dim];
        attended.keys.expect_shape(OPERATION, "keys", &kv_shape)?;
        attended.values.expect_shape(OPERATION, "values", &kv_shape)?;
        let divide = sequences > 0
            && num_kv_heads > 0
            && num_kv_heads.is_multiple_of(sequences)
            && num_heads.is_multiple_of(num_kv_heads);
        if !divide {
            return Err(DeviceError::shape(
                OPERATION,
                format!(
                    "queries {:?} with keys {kv_shape:?} in {sequences} sequences",
                    queries.shape
                ),
            ));
        }
        if let Some(mask) = mask {
            mask.expect_shape(OPERATION, "mask", &[query_count, keys])?;
        }
        let of = |x: &TenstorrentTensor| {
            let [heads, tokens, width] = x.shape[..] else {
                unreachable!("heads, which were checked");
            };
            self.reshaped(x, [sequences, heads / sequences, tokens, width])
        };
        let merged = self.card.attention(&tt::Attention {
            queries: &of(queries)?,
            keys: &of(&attended.keys)?,
            values: &of(&attended.values)?,
            mask: mask.map(|mask| &mask.tensor),
            scale,
        })?;
        let width = num_heads / sequences * head_dim;
        let on_card = [sequences, 1, query_count, width];
        let merged = self.tensor(merged, &[sequences * query_count, width], on_card);
        let rows = self.reshaped(&merged, [1, 1, sequences * query_count, width])?;
        Ok(self.matrix(rows, sequences * query_count, width))
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
        const OPERATION: &str = "write_tokens";
        for (cache, tokens) in [(&cache.keys, &tokens.keys), (&cache.values, &tokens.values)] {
            let (heads, capacity, head_dim) = cache.heads(OPERATION)?;
            let (_, count, _) = tokens.heads(OPERATION)?;
            tokens.expect_shape(OPERATION, "tokens", &[heads, count, head_dim])?;
            if start + count > capacity || !start.is_multiple_of(TILE) {
                return Err(DeviceError::shape(
                    OPERATION,
                    format!("{count} tokens from {start} on do not fit into {capacity} in tiles of {TILE}"),
                ));
            }
            let tokens = self.reshaped(tokens, [1, heads, count, head_dim])?;
            self.card.fill_cache(&cache.tensor, &tokens, start)?;
        }
        Ok(())
    }

    fn euler_update(
        &self,
        x_t: &TenstorrentTensor,
        v_t: &TenstorrentTensor,
        dt: f32,
    ) -> Result<TenstorrentTensor> {
        v_t.expect_shape("euler_update", "v_t", &x_t.shape)?;
        let x = self.card.add_scaled(&x_t.tensor, &v_t.tensor, dt)?;
        Ok(self.tensor(x, &x_t.shape, x_t.on_card))
    }
}
