//! TT-NN as it comes in the `ttnn` wheel: typed handles, and every failure with its operation, shapes and message.
//!
//! The wheel has TT-Metalium's libraries and no headers, so the way to them is Python's stable C API. Nothing here runs
//! Python code but the calls themselves, and the interpreter's lock is held for the length of a call. The crate builds
//! where no wheel is installed; [`Runtime::load`] says what to install.

mod device;
mod error;
mod graph;
mod operations;
mod program;
mod runtime;
mod tensor;
mod trace;

pub use device::{Arch, Device, DeviceMemory};
pub use error::{Error, Result};
pub use graph::GraphCapture;
pub use operations::{
    Activation, Affine, Attention, AttentionBlocks, ComputeKernel, Fidelity, GatedResidual, MatmulBlocks,
    Memory, QkvHeads, Sums,
};
pub use program::{CircularBuffer, Kernel, Program};
pub use runtime::{MockCard, Runtime, SUPPORTED_VERSIONS};
pub use tensor::{Dtype, HostValue, Layout, Tensor};
pub use trace::{Event, Queue, Trace, TraceCapture};
