//! The device contract: the operations that π0 is made of, and the machines that compute them.
//!
//! The model is written once against [`Device`]; a device is added by implementing it. The operations are at
//! the height of what an accelerator library offers, so that each can be one fused kernel. Between
//! [`Device::upload`] and [`Device::read_back`] nothing comes back to the host.

mod card_options;
mod cpu;
mod host_tensor;
mod patches;
mod pixels;
#[cfg(feature = "tenstorrent")]
mod tenstorrent;
mod vectorised;

use std::ops::Range;

pub use card_options::{AttentionSoftmax, CardTuning, TenstorrentOptions, Tuning, TuningLevel};
pub use cpu::{CpuDevice, CpuTensor, KERNEL_VARIABLE, KernelLevel, Precision};
pub use host_tensor::{Dtype, HostTensor};
pub use patches::PatchGrid;
pub use pixels::Pixels;
#[cfg(feature = "tenstorrent")]
pub use tenstorrent::{
    Graph, Operation, OperationInput, TenstorrentDevice, TenstorrentLinear, TenstorrentTable,
    TenstorrentTensor,
};

/// Failure of a device, with the operation and the shapes.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Shapes that do not fit an operation.
    #[error("{operation}: {problem}")]
    Shape {
        /// Name of the operation.
        operation: &'static str,
        /// Shapes that were found, and those that were expected.
        problem: String,
    },
    /// The device is there and cannot be used.
    #[error("{0}")]
    Unavailable(String),
    /// There is no such device here, or its software is not installed.
    #[error("{0}")]
    Absent(String),
    /// The device failed during work; it has to be opened again.
    #[error("the device failed: {0}")]
    Lost(String),
    /// The device does not answer; only a reset brings it back.
    #[error("the device hangs, and only a reset brings it back: {0}")]
    Hung(String),
    /// A token that the embedding table does not have.
    #[error("embedding: token {token} is not in the vocabulary of {vocab_size}")]
    Token {
        /// Token id.
        token: u32,
        /// Rows of the table.
        vocab_size: usize,
    },
}

impl DeviceError {
    pub(crate) fn shape(operation: &'static str, problem: impl Into<String>) -> Self {
        Self::Shape {
            operation,
            problem: problem.into(),
        }
    }
}

#[cfg(feature = "tenstorrent")]
impl From<tt_metal_sys::Error> for DeviceError {
    fn from(error: tt_metal_sys::Error) -> Self {
        use tt_metal_sys::Error;
        match error {
            Error::Hung { .. } => Self::Hung(error.to_string()),
            Error::OutOfMemory { .. } | Error::Operation { .. } => Self::Lost(error.to_string()),
            Error::NotInstalled(_) | Error::NoCard(_) => Self::Absent(error.to_string()),
            Error::Version { .. } | Error::Open(_) | Error::Reset { .. } => {
                Self::Unavailable(error.to_string())
            }
        }
    }
}

/// Result of an operation on a device.
pub type Result<T> = std::result::Result<T, DeviceError>;

/// Checks that a table of `vocab_size` rows has every token.
fn expect_tokens(tokens: &[u32], vocab_size: usize) -> Result<()> {
    match tokens.iter().find(|token| **token as usize >= vocab_size) {
        Some(&token) => Err(DeviceError::Token { token, vocab_size }),
        None => Ok(()),
    }
}

/// Checks that there are as many values as a shape has.
fn expect_count(operation: &'static str, count: usize, shape: &[usize]) -> Result<()> {
    if count == shape.iter().product::<usize>() {
        Ok(())
    } else {
        Err(DeviceError::shape(
            operation,
            format!("{count} values for shape {shape:?}"),
        ))
    }
}

/// Activation function of a linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The identity.
    None,
    /// Gaussian error linear unit, tanh approximation.
    GeluTanh,
    /// x · sigmoid(x).
    Silu,
}

/// Division of a joint query, key and value product: its rows into sequences, its columns into heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLayout {
    /// Sequences of one length, one below the other, that do not attend to each other.
    pub sequences: usize,
    /// Query heads.
    pub num_heads: usize,
    /// Key heads, and as many value heads; each serves `num_heads / num_kv_heads` query heads.
    pub num_kv_heads: usize,
    /// Values of one head.
    pub head_dim: usize,
}

/// Queries, keys and values of one layer.
pub struct Heads<T> {
    /// `[sequences · num_heads, tokens, head_dim]`
    pub queries: T,
    /// `[sequences · num_kv_heads, tokens, head_dim]`
    pub keys: T,
    /// `[sequences · num_kv_heads, tokens, head_dim]`
    pub values: T,
}

/// Keys and values that queries attend to.
pub struct KeysValues<T> {
    /// `[sequences · num_kv_heads, tokens, head_dim]`, rotated where positions are rotary.
    pub keys: T,
    /// `[sequences · num_kv_heads, tokens, head_dim]`
    pub values: T,
}

/// Cosines and sines of a rotation: the second half of a row is like the first.
#[derive(Clone)]
pub struct RopeTable<T> {
    /// `[tokens, head_dim]`
    pub cos: T,
    /// `[tokens, head_dim]`
    pub sin: T,
}

/// Peak speed of the hardware if products read no memory: the yardstick of every share of peak.
#[derive(Clone, Copy, Debug)]
pub struct InstructionPeak {
    /// The instructions, as [`KernelLevel`] names them.
    pub kernel: &'static str,
    /// Multiplications and additions a second, of f32, bf16 or integers, in 10⁹.
    pub gflops: f64,
}

/// A machine that computes π0's operations on tensors that live on it.
///
/// Shapes are row-major; `[rows, width]` unless an operation says otherwise. Every operation checks the
/// shapes it is given and fails with [`DeviceError::Shape`] when they do not fit.
pub trait Device: Send + Sync + 'static {
    /// A tensor on the device. Cloning shares it.
    type Tensor: Clone + Send + Sync;
    /// A linear layer's weight and bias, laid out for products.
    type Linear: Send + Sync;
    /// An embedding table, `[vocab_size, width]`.
    type Table: Send + Sync;
    /// Captured commands of one piece of work; new ones have captured nothing.
    type Trace: Default + Send + Sync;

    /// Name of the device, its precision and its size, for logs and errors.
    fn description(&self) -> String;

    /// Type that the weights of linear layers are stored in, by the device's own name.
    fn precision(&self) -> &'static str;

    /// Peak of the instructions that products are computed with, measured now on all cores of the device;
    /// `None` where the device cannot measure it.
    fn instruction_peak(&self) -> Option<InstructionPeak> {
        None
    }

    /// Whether the first runs of any work take much longer, because it is compiled and captured.
    fn needs_warm_up(&self) -> bool {
        false
    }

    /// Uploads host values: row-major, as many as `shape` has.
    fn upload(&self, values: &[f32], shape: &[usize]) -> Result<Self::Tensor>;

    /// Uploads an image `[3, image_size, image_size]`. [`write_image`](Device::write_image) replaces its
    /// pixels; only [`patches`](Device::patches) reads it.
    fn upload_image(&self, pixels: &Pixels, image_size: usize) -> Result<Self::Tensor>;

    /// Overwrites the values of a tensor, at the same address: as many as its shape has. Clones made before
    /// may keep the old ones.
    fn write(&self, tensor: &mut Self::Tensor, values: &[f32]) -> Result<()>;

    /// Overwrites the pixels of an image, at the same address where the device stores both in one type.
    /// Clones made before may keep the old ones.
    fn write_image(&self, image: &mut Self::Tensor, pixels: &Pixels) -> Result<()>;

    /// Runs `work`, like CUDA graphs and TT-Metalium trace capture: a device may capture its commands in
    /// `trace`, and run those from then on without calling `work`.
    ///
    /// `work` is always the same operations on the same tensors for the same trace. It neither uploads,
    /// writes nor reads back; it leaves its results in tensors that were there before, by
    /// [`copy`](Device::copy) or [`write_tokens`](Device::write_tokens), and no other tensor of it outlives
    /// it. `inputs` are all tensors that it reads and that are [written](Device::write) between two runs.
    fn run_captured<'a>(
        &self,
        trace: &mut Self::Trace,
        inputs: impl IntoIterator<Item = &'a Self::Tensor>,
        work: impl FnOnce() -> Result<()>,
    ) -> Result<()>;

    /// Uploads a norm's weight or bias, or position embeddings.
    fn upload_parameter(&self, parameter: &HostTensor) -> Result<Self::Tensor>;

    /// Uploads one linear layer of weights `[outputs, inputs]` stacked along their outputs, so that several
    /// products of one input become one. `biases` is empty or has one `[outputs]` for each weight.
    fn upload_linear(&self, weights: &[HostTensor], biases: &[HostTensor]) -> Result<Self::Linear>;

    /// Uploads a layer whose product is always added to a residual, in the type in which the device adds it
    /// best.
    fn upload_residual_linear(&self, weight: &HostTensor, bias: Option<&HostTensor>) -> Result<Self::Linear> {
        let bias: Vec<HostTensor> = bias.into_iter().cloned().collect();
        self.upload_linear(std::slice::from_ref(weight), &bias)
    }

    /// Uploads gate and up of a [`geglu`](Device::geglu), `[outputs, inputs]` each, as the device multiplies with them best.
    fn upload_gated_linear(&self, gate: &HostTensor, up: &HostTensor) -> Result<Self::Linear> {
        self.upload_linear(&[gate.clone(), up.clone()], &[])
    }

    /// Uploads an embedding table `[vocab_size, width]`.
    fn upload_table(&self, table: &HostTensor) -> Result<Self::Table>;

    /// Downloads a tensor's values, row-major. The one operation that leaves the device.
    fn read_back(&self, tensor: &Self::Tensor) -> Result<Vec<f32>>;

    /// Number of calls of [`Device::read_back`] so far.
    fn read_backs(&self) -> u64;

    /// Shape of a tensor.
    fn shape<'a>(&self, tensor: &'a Self::Tensor) -> &'a [usize];

    /// Rows and columns of a tile of memory; 1 where memory is flat, even where it is not. The index of a
    /// token in a cache, the rows of a slice and the width of a head are multiples of it; the model pads
    /// them.
    fn tile_size(&self) -> usize;

    /// Makes a tensor of zeros.
    fn zeros(&self, shape: &[usize]) -> Result<Self::Tensor>;

    /// Makes a tensor of zeros that is f32 even where other tensors of the device are narrower: an
    /// accumulator for many small [Euler steps](Device::euler_update), which would vanish beside a rounded
    /// value. Otherwise only [`linear`](Device::linear), [`select`](Device::select) and
    /// [`multiply`](Device::multiply) read it, and [`write`](Device::write), [`copy`](Device::copy) and
    /// [`read_back`](Device::read_back) move it.
    fn zeros_f32(&self, shape: &[usize]) -> Result<Self::Tensor> {
        self.zeros(shape)
    }

    /// Cuts an image into patches: `[tokens, 3 · patch_size²]`. A row is a patch: channel by channel, each
    /// from top to bottom and from left to right, as a convolution reads it. Tokens are the patches, padded
    /// with zeros to a tile.
    fn patches(&self, image: &Self::Tensor, grid: PatchGrid) -> Result<Self::Tensor>;

    /// `activation(x · weightᵀ + bias)`: `[rows, inputs]` to `[rows, outputs]`.
    fn linear(&self, x: &Self::Tensor, layer: &Self::Linear, activation: Activation) -> Result<Self::Tensor>;

    /// Makes a layer of the same weight, shared in memory, and another bias `[1, outputs]`.
    fn with_bias(&self, layer: &Self::Linear, bias: &Self::Tensor) -> Result<Self::Linear>;

    /// `residual + gate · (x · weightᵀ + bias)`, the residual `[rows, outputs]`. The gate is `[outputs]` from
    /// [`upload_parameter`](Device::upload_parameter), or one for each row, `[rows, outputs]`; without one, it is 1.
    fn linear_add(
        &self,
        x: &Self::Tensor,
        layer: &Self::Linear,
        gate: Option<&Self::Tensor>,
        residual: &Self::Tensor,
    ) -> Result<Self::Tensor>;

    /// `gelu_tanh(x · gateᵀ) · (x · upᵀ)` (Shazeer 2020), gate and up
    /// [uploaded together](Device::upload_gated_linear) or stacked in one layer: `[rows, outputs / 2]`.
    fn geglu(&self, x: &Self::Tensor, gate_up: &Self::Linear) -> Result<Self::Tensor>;

    /// Uploads token ids of a table. [`write_token_ids`](Device::write_token_ids) replaces them; only
    /// [`embedding`](Device::embedding) reads them.
    fn upload_token_ids(&self, table: &Self::Table, tokens: &[u32]) -> Result<Self::Tensor>;

    /// Overwrites token ids by as many others, at the same address. Clones made before may keep the old ones.
    fn write_token_ids(&self, table: &Self::Table, ids: &mut Self::Tensor, tokens: &[u32]) -> Result<()>;

    /// Looks up rows of the table, each times `scale`: `[tokens, width]`.
    fn embedding(&self, table: &Self::Table, ids: &Self::Tensor, scale: f32) -> Result<Self::Tensor>;

    /// `(x − mean(x)) / √(variance(x) + eps) · weight + bias`, over the width.
    fn layer_norm(
        &self,
        x: &Self::Tensor,
        weight: &Self::Tensor,
        bias: &Self::Tensor,
        eps: f32,
    ) -> Result<Self::Tensor>;

    /// `x / rms(x) · weight + bias` (Zhang and Sennrich 2019), the mean square in f32; without a bias, it is
    /// 0.
    fn rms_norm(
        &self,
        x: &Self::Tensor,
        weight: &Self::Tensor,
        bias: Option<&Self::Tensor>,
        eps: f32,
    ) -> Result<Self::Tensor>;

    /// Splits `[sequences · tokens, (num_heads + 2 · num_kv_heads) · head_dim]`, queries then keys then
    /// values, into heads.
    fn split_heads(&self, qkv: &Self::Tensor, layout: HeadLayout) -> Result<Heads<Self::Tensor>>;

    /// Rotates `[heads, tokens, head_dim]`: the first half of each head against the second (RoFormer, Su et
    /// al. 2021, in the half-split form).
    fn rope(&self, x: &Self::Tensor, table: &RopeTable<Self::Tensor>) -> Result<Self::Tensor>;

    /// `softmax(scale · q · kᵀ + mask) · v`, heads merged: `[sequences · queries, num_heads · head_dim]`.
    ///
    /// Queries `[sequences · num_heads, queries, head_dim]`; each key head serves `num_heads / num_kv_heads`
    /// query heads. The mask `[queries, keys]` is added to the scores of every head of every sequence.
    fn attention(
        &self,
        queries: &Self::Tensor,
        attended: &KeysValues<Self::Tensor>,
        sequences: usize,
        mask: Option<&Self::Tensor>,
        scale: f32,
    ) -> Result<Self::Tensor>;

    /// Overwrites the values of `to` with those of `from`, of the same shape. Clones of `to` made before may
    /// keep the old ones.
    fn copy(&self, from: &Self::Tensor, to: &mut Self::Tensor) -> Result<()>;

    /// `x + y`; `y` is repeated down the rows of `x` where it has fewer.
    fn add(&self, x: &Self::Tensor, y: &Self::Tensor) -> Result<Self::Tensor>;

    /// Joins tensors of one width, one below the other.
    fn concat_rows(&self, parts: &[&Self::Tensor]) -> Result<Self::Tensor>;

    /// Copies a range of rows of `[rows, width]`.
    fn slice_rows(&self, x: &Self::Tensor, rows: Range<usize>) -> Result<Self::Tensor>;

    /// Writes keys and values of tokens into a cache `[heads, capacity, head_dim]`, from token `start` on.
    fn write_tokens(
        &self,
        cache: &mut KeysValues<Self::Tensor>,
        start: usize,
        tokens: &KeysValues<Self::Tensor>,
    ) -> Result<()>;

    /// Takes the values of `x` where the mask is not 0, those of `y` where it is, unchanged. Both have the shape of
    /// the mask, or are one row `[width]` for all rows of a mask `[rows, width]`. The result has the type of the mask, which
    /// is of [`zeros`](Device::zeros) or of [`zeros_f32`](Device::zeros_f32).
    fn select(&self, mask: &Self::Tensor, x: &Self::Tensor, y: &Self::Tensor) -> Result<Self::Tensor>;

    /// Multiplies value by value two tensors of one shape, both from [`zeros_f32`](Device::zeros_f32) or computed from
    /// such; so is the result.
    fn multiply(&self, x: &Self::Tensor, y: &Self::Tensor) -> Result<Self::Tensor>;

    /// One Euler step of the flow: `x_t + dt · v_t`. The result has the type of `x_t`.
    fn euler_update(&self, x_t: &Self::Tensor, v_t: &Self::Tensor, dt: f32) -> Result<Self::Tensor>;
}

#[cfg(all(test, feature = "tenstorrent"))]
mod tests {
    use tt_metal_sys::Error;

    use super::*;

    #[test]
    fn a_card_that_fails_during_work_is_lost_or_hangs_and_one_that_is_not_there_or_in_use_does_not() {
        let (operation, shapes, message) = ("linear", "[1, 2]".to_owned(), "why".to_owned());
        let during_work = [
            Error::OutOfMemory {
                operation,
                shapes: shapes.clone(),
                message: message.clone(),
            },
            // TT-NN's message when the driver is gone is not known, so every message counts.
            Error::Operation {
                operation,
                shapes: shapes.clone(),
                message: message.clone(),
            },
        ];
        for error in during_work {
            let error = DeviceError::from(error);
            assert!(matches!(&error, DeviceError::Lost(reason) if reason.contains("linear of [1, 2]")));
        }
        let hung = DeviceError::from(Error::Hung {
            operation,
            shapes,
            message: message.clone(),
        });
        assert!(matches!(&hung, DeviceError::Hung(reason) if reason.contains("linear of [1, 2]")));
        for error in [
            Error::NotInstalled(message.clone()),
            Error::NoCard(message.clone()),
        ] {
            assert!(matches!(DeviceError::from(error), DeviceError::Absent(_)));
        }
        let in_use = DeviceError::from(Error::Open(message));
        assert!(matches!(in_use, DeviceError::Unavailable(_)));
    }
}
