#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod attention;
mod call;
mod compute;
mod device;
mod element_wise;
mod error;
mod graph;
mod layout;
mod norms;
mod products;
mod program;
mod reset;
mod runtime;
mod tensor;
mod trace;

pub use attention::{Attention, AttentionBlocks, Exponential, QkvHeads};
pub use compute::{ComputeKernel, Fidelity, Memory, Sums};
pub use device::{Arch, Device, DeviceMemory};
pub use error::{Error, Result};
pub use graph::GraphCapture;
pub use norms::{Norm, NormBlocks, NormWeights};
pub use products::{Activation, Affine, ColumnBlocks, GatedResidual, GeluAccuracy, MatmulBlocks};
pub use program::{CircularBuffer, Kernel, Program};
pub use reset::{reset, reset_command};
pub use runtime::{MockCard, Runtime, SUPPORTED_VERSIONS};
pub use tensor::{Dtype, HostValue, Layout, Tensor};
pub use trace::{Event, Queue, Trace, TraceCapture};
