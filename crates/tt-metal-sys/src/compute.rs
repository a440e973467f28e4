//! How a core computes, and where a result is kept.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::call::Call;

/// How often a product passes over the mantissas of its inputs: once takes their upper halves, four times everything
/// ([matrix engine](https://github.com/tenstorrent/tt-metal/blob/main/tech_reports/matrix_engine/matrix_engine.md)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fidelity {
    /// One pass.
    LoFi,
    /// Two passes.
    HiFi2,
    /// Four passes.
    HiFi4,
}

/// Type of a core's accumulators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sums {
    /// f32; a core then accumulates 4 tiles at once.
    F32,
    /// bfloat16; a core then accumulates 8 tiles at once.
    Bf16,
}

/// How a core computes: TT-NN's compute kernel config. Functions are exact, and sums of blocks stay in L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComputeKernel {
    /// Passes of a product.
    pub fidelity: Fidelity,
    /// Type of the accumulators.
    pub sums: Sums,
}

/// Where a result is kept, spread over all banks of a kind, tile by tile. What is made of it by an operation that takes no
/// memory is kept in the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// The card's DRAM.
    Dram,
    /// The L1 of the cores.
    L1,
}

impl Memory {
    pub(crate) fn object<'py>(self, ttnn: &Bound<'py, PyModule>) -> PyResult<Bound<'py, PyAny>> {
        ttnn.getattr(match self {
            Memory::Dram => "DRAM_MEMORY_CONFIG",
            Memory::L1 => "L1_MEMORY_CONFIG",
        })
    }
}

impl Call<'_, '_> {
    pub(crate) fn compute(&self, ComputeKernel { fidelity, sums }: ComputeKernel) -> PyResult<()> {
        let ttnn = &self.ttnn;
        let keywords = PyDict::new(self.python);
        let name = match fidelity {
            Fidelity::LoFi => "LoFi",
            Fidelity::HiFi2 => "HiFi2",
            Fidelity::HiFi4 => "HiFi4",
        };
        keywords.set_item("math_fidelity", ttnn.getattr("MathFidelity")?.getattr(name)?)?;
        keywords.set_item("math_approx_mode", false)?;
        keywords.set_item("fp32_dest_acc_en", sums == Sums::F32)?;
        keywords.set_item("packer_l1_acc", true)?;
        let arch = self.device.handle.bind(self.python).call_method0("arch")?;
        let config = ttnn.call_method("init_device_compute_kernel_config", (arch,), Some(&keywords))?;
        self.keyword("compute_kernel_config", config)
    }

    pub(crate) fn memory(&self, memory: Memory) -> PyResult<()> {
        self.keyword("memory_config", memory.object(&self.ttnn)?)
    }
}
