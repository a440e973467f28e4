//! The device contract: what π0 asks of a machine that computes.
//!
//! [`model`](crate::model) is written once against [`Device`]; a device is added by implementing it. The
//! operations are at the height of what an accelerator library offers, so that each can be one fused kernel.
//! Between [`Device::upload`] and [`Device::read_back`] nothing comes back to the host.

mod cpu;
mod host_tensor;
mod patches;
#[cfg(feature = "tenstorrent")]
mod tenstorrent;
mod vectorised;

use std::ops::Range;

pub use cpu::{CpuDevice, CpuTensor, KERNEL_VARIABLE, KernelLevel, Precision};
pub use host_tensor::{Dtype, HostTensor};
pub use patches::PatchGrid;
#[cfg(feature = "tenstorrent")]
pub use tenstorrent::{
    Graph, Operation, TenstorrentDevice, TenstorrentLinear, TenstorrentOptions, TenstorrentTable,
    TenstorrentTensor,
};

/// What went wrong on a device, with the operation and the shapes that it met.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error("{operation}: {problem}")]
    Shape {
        operation: &'static str,
        problem: String,
    },
    #[error("{0}")]
    Unavailable(String),
    /// There is no such device here, or not what it takes to use one.
    #[error("{0}")]
    Absent(String),
    /// The device failed during work; it has to be opened again.
    #[error("the device failed: {0}")]
    Lost(String),
    #[error("embedding: token {token} is not in the vocabulary of {vocab_size}")]
    Token { token: u32, vocab_size: usize },
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
            Error::Hung { .. } | Error::OutOfMemory { .. } | Error::Operation { .. } => {
                Self::Lost(error.to_string())
            }
            Error::NotInstalled(_) | Error::NoCard(_) => Self::Absent(error.to_string()),
            Error::Version { .. } | Error::Open(_) => Self::Unavailable(error.to_string()),
        }
    }
}

pub type Result<T> = std::result::Result<T, DeviceError>;

/// What a linear layer applies to its output before storing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    None,
    /// Gaussian error linear unit, tanh approximation.
    GeluTanh,
    /// x · sigmoid(x).
    Silu,
}

/// How a joint query, key and value product divides: its rows into sequences, its columns into heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLayout {
    /// Sequences of one length, one below the other, that do not attend to each other.
    pub sequences: usize,
    pub num_heads: usize,
    pub num_kv_heads: usize,
    pub head_dim: usize,
}

/// Queries, keys and values of one layer: `[sequences · heads, tokens, head_dim]`, keys and values with
/// `num_kv_heads`.
pub struct Heads<T> {
    pub queries: T,
    pub keys: T,
    pub values: T,
}

/// What queries attend to: keys (rotated, where positions are rotary) and values, `[sequences · num_kv_heads,
/// tokens, head_dim]` both.
pub struct KeysValues<T> {
    pub keys: T,
    pub values: T,
}

/// What a rotation multiplies every value and its partner in the other half of the head with:
/// `[tokens, head_dim]` each, the second half of a row like the first.
#[derive(Clone)]
pub struct RopeTable<T> {
    pub cos: T,
    pub sin: T,
}

/// What the hardware could do if products read no memory: the yardstick of every share of peak.
#[derive(Clone, Copy, Debug)]
pub struct InstructionPeak {
    /// The instructions, as [`KernelLevel`] names them.
    pub kernel: &'static str,
    /// Multiplications and additions a second, of f32, bf16 or integers, in 10⁹.
    pub gflops: f64,
}

/// A machine that computes π0's operations on tensors that live on it.
///
/// Shapes are row-major; `[rows, width]` unless an operation says otherwise. Every operation checks the shapes
/// it is given and fails with [`DeviceError::Shape`] when they do not fit.
pub trait Device: Send + Sync + 'static {
    /// A tensor on the device. Cloning shares it.
    type Tensor: Clone + Send + Sync;
    /// A linear layer's weight and bias, laid out for products.
    type Linear: Send + Sync;
    /// An embedding table, `[vocab_size, width]`.
    type Table: Send + Sync;
    /// What is kept of a piece of work, to do it again.
    type Recording: Default + Send + Sync;

    /// For logs and errors: the device, its precision, its size.
    fn description(&self) -> String;

    /// What the weights of linear layers are stored in, in the words of the device.
    fn precision(&self) -> &'static str;

    /// The peak of the instructions that products are computed with, measured now on all cores that the device computes
    /// with; None where the device cannot measure it.
    fn instruction_peak(&self) -> Option<InstructionPeak> {
        None
    }

    /// Whether work takes much longer the first times than from then on, because it is compiled and recorded.
    fn is_slow_at_first(&self) -> bool {
        false
    }

    /// Host values to the device. `values` are row-major and as many as `shape` says.
    fn upload(&self, values: &[f32], shape: &[usize]) -> Result<Self::Tensor>;

    /// An image `[3, image_size, image_size]` with values in [−1, 1] to the device. [`write`](Device::write) puts others in its
    /// place; only [`patches`](Device::patches) reads it.
    fn upload_image(&self, pixels: &[f32], image_size: usize) -> Result<Self::Tensor>;

    /// Other values for a tensor, in its place where they fit there: as many as its shape says. Clones made before may keep the
    /// old ones.
    fn write(&self, tensor: &mut Self::Tensor, values: &[f32]) -> Result<()>;

    /// Does `work` on tensors that stay in their places: always the same operations for the same recording. A device may keep
    /// its commands, and do them again without calling `work`.
    ///
    /// So `work` neither uploads, writes, embeds nor reads back; it leaves its results in tensors that were there before, by
    /// [`copy`](Device::copy) or [`write_tokens`](Device::write_tokens), and makes no others that outlive it. `inputs` are
    /// all that it reads of what is written between one time and the next by [`write`](Device::write).
    fn replay(
        &self,
        recording: &mut Self::Recording,
        inputs: &[&Self::Tensor],
        work: impl FnOnce() -> Result<()>,
    ) -> Result<()>;

    /// A norm's weight or bias, or position embeddings, to the device.
    fn upload_parameter(&self, parameter: &HostTensor) -> Result<Self::Tensor>;

    /// One linear layer of weights `[outputs, inputs]` stacked along their outputs, so that several products of
    /// one input become one. `biases` is empty or has one `[outputs]` for each weight.
    fn upload_linear(&self, weights: &[HostTensor], biases: &[HostTensor]) -> Result<Self::Linear>;

    /// A layer whose product is always added to a residual, in the type in which the device adds it best.
    fn upload_residual_linear(&self, weight: &HostTensor, bias: Option<&HostTensor>) -> Result<Self::Linear> {
        let bias: Vec<HostTensor> = bias.into_iter().cloned().collect();
        self.upload_linear(std::slice::from_ref(weight), &bias)
    }

    /// An embedding table `[vocab_size, width]` to the device.
    fn upload_table(&self, table: &HostTensor) -> Result<Self::Table>;

    /// The tensor's values on the host, row-major. The one operation that leaves the device.
    fn read_back(&self, tensor: &Self::Tensor) -> Result<Vec<f32>>;

    /// How often [`Device::read_back`] was called.
    fn read_backs(&self) -> u64;

    fn shape<'a>(&self, tensor: &'a Self::Tensor) -> &'a [usize];

    /// Rows and columns come in tiles of this many: where tokens are put into a cache or cut apart, and how wide a
    /// head is, must be a multiple of it. The model pads to that. 1 where memory is flat; even where it is not.
    fn tile(&self) -> usize;

    /// All zeros.
    fn zeros(&self, shape: &[usize]) -> Result<Self::Tensor>;

    /// All zeros, for a point that many small steps are [added to](Device::euler_update): in f32 where other tensors are
    /// narrower. A step that vanishes beside the point would be lost. Otherwise only [`linear`](Device::linear) and
    /// [`select`](Device::select) read it, and [`write`](Device::write), [`copy`](Device::copy) and
    /// [`read_back`](Device::read_back) move it.
    fn zeros_for_sums(&self, shape: &[usize]) -> Result<Self::Tensor> {
        self.zeros(shape)
    }

    /// An image cut into patches: `[tokens, 3 · patch_size²]`. A row is a patch: channel by channel, each from top to bottom and
    /// from left to right, as a convolution reads it. Tokens are the patches, up to the next tile; rows behind them are zero.
    fn patches(&self, image: &Self::Tensor, grid: PatchGrid) -> Result<Self::Tensor>;

    /// `activation(x · weightᵀ + bias)`: `[rows, inputs]` to `[rows, outputs]`.
    fn linear(&self, x: &Self::Tensor, layer: &Self::Linear, activation: Activation) -> Result<Self::Tensor>;

    /// The layer with another bias, `[1, outputs]`, and the same weight in memory.
    fn with_bias(&self, layer: &Self::Linear, bias: &Self::Tensor) -> Result<Self::Linear>;

    /// `residual + x · weightᵀ + bias`, the residual `[rows, outputs]`.
    fn linear_add(
        &self,
        x: &Self::Tensor,
        layer: &Self::Linear,
        residual: &Self::Tensor,
    ) -> Result<Self::Tensor>;

    /// `gelu_tanh(x · gateᵀ) · (x · upᵀ)`, gate and up stacked in one layer: `[rows, outputs / 2]` (Shazeer 2020).
    fn geglu(&self, x: &Self::Tensor, gate_up: &Self::Linear) -> Result<Self::Tensor>;

    /// Rows of the table, each times `scale`: `[tokens, width]`.
    fn embedding(&self, table: &Self::Table, tokens: &[u32], scale: f32) -> Result<Self::Tensor>;

    /// Mean and variance over the width taken out, then `weight · x + bias`.
    fn layer_norm(
        &self,
        x: &Self::Tensor,
        weight: &Self::Tensor,
        bias: &Self::Tensor,
        eps: f32,
    ) -> Result<Self::Tensor>;

    /// `x / rms(x) · weight` (Zhang and Sennrich 2019), the mean square in f32.
    fn rms_norm(&self, x: &Self::Tensor, weight: &Self::Tensor, eps: f32) -> Result<Self::Tensor>;

    /// `[sequences · tokens, (num_heads + 2 · num_kv_heads) · head_dim]`, queries then keys then values, to heads.
    fn split_heads(&self, qkv: &Self::Tensor, layout: HeadLayout) -> Result<Heads<Self::Tensor>>;

    /// Rotates `[heads, tokens, head_dim]`: the first half of each head against the second (RoFormer, Su et al.
    /// 2021, in the half-split form).
    fn rope(&self, x: &Self::Tensor, table: &RopeTable<Self::Tensor>) -> Result<Self::Tensor>;

    /// `softmax(scale · q · kᵀ + mask) · v`, heads merged: `[sequences · queries, num_heads · head_dim]`.
    ///
    /// Queries `[sequences · num_heads, queries, head_dim]`; each key head serves `num_heads / num_kv_heads` query
    /// heads. The mask `[queries, keys]` is added to the scores of every head of every sequence.
    fn attention(
        &self,
        queries: &Self::Tensor,
        attended: &KeysValues<Self::Tensor>,
        sequences: usize,
        mask: Option<&Self::Tensor>,
        scale: f32,
    ) -> Result<Self::Tensor>;

    /// The values of a tensor into the place of another of its shape. Clones made before may keep the old ones.
    fn copy(&self, from: &Self::Tensor, to: &mut Self::Tensor) -> Result<()>;

    /// `x + y`; `y` is repeated down the rows of `x` where it has fewer.
    fn add(&self, x: &Self::Tensor, y: &Self::Tensor) -> Result<Self::Tensor>;

    /// Tensors of one width, one below the other.
    fn concat_rows(&self, parts: &[&Self::Tensor]) -> Result<Self::Tensor>;

    /// These rows of `[rows, width]`.
    fn slice_rows(&self, x: &Self::Tensor, rows: Range<usize>) -> Result<Self::Tensor>;

    /// Writes keys and values of tokens into a cache `[heads, capacity, head_dim]`, from token `start` on.
    fn write_tokens(
        &self,
        cache: &mut KeysValues<Self::Tensor>,
        start: usize,
        tokens: &KeysValues<Self::Tensor>,
    ) -> Result<()>;

    /// The values of `x` where the mask is not 0, those of `y` where it is, unchanged: three tensors of one shape. They come out
    /// in the type of [sums](Device::zeros_for_sums).
    fn select(&self, mask: &Self::Tensor, x: &Self::Tensor, y: &Self::Tensor) -> Result<Self::Tensor>;

    /// One Euler step of the flow: `x_t + dt · v_t`.
    fn euler_update(&self, x_t: &Self::Tensor, v_t: &Self::Tensor, dt: f32) -> Result<Self::Tensor>;
}

#[cfg(all(test, feature = "tenstorrent"))]
mod tests {
    use tt_metal_sys::Error;

    use super::*;

    #[test]
    fn a_card_that_fails_during_work_is_lost_and_one_that_is_not_there_or_in_use_is_not() {
        let (operation, shapes, message) = ("linear", "[1, 2]".to_owned(), "why".to_owned());
        let during_work = [
            Error::OutOfMemory {
                operation,
                shapes: shapes.clone(),
                message: message.clone(),
            },
            Error::Hung {
                operation,
                shapes: shapes.clone(),
                message: message.clone(),
            },
            // What TT-NN says when the driver is gone is not known, so everything that it says counts.
            Error::Operation {
                operation,
                shapes,
                message: message.clone(),
            },
        ];
        for error in during_work {
            let error = DeviceError::from(error);
            assert!(matches!(&error, DeviceError::Lost(reason) if reason.contains("linear of [1, 2]")));
        }
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
