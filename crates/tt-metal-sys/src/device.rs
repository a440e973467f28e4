//! An opened card.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::trace::QUEUES;
use crate::{Error, Result, Runtime};

/// One card, closed when dropped. Tensors keep it open.
pub struct Device {
    pub(crate) runtime: Runtime,
    pub(crate) handle: Py<PyAny>,
}

/// The family of a card's chips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// n150, n300 and Galaxy.
    Wormhole,
    /// p100, p150 and p300.
    Blackhole,
}

/// Memory of one kind on a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceMemory {
    /// Banks of DRAM, or cores with L1.
    pub banks: u64,
    /// Bytes of one bank that tensors can use.
    pub bytes_per_bank: u64,
    /// Bytes of them that tensors have.
    pub allocated_bytes_per_bank: u64,
}

impl Device {
    /// Opens the card of this number, with this much of its DRAM, over all banks, kept free for traces.
    ///
    /// # Errors
    /// When there is none, or it is in use or does not start.
    pub fn open(runtime: Runtime, device_id: u32, trace_bytes: u64) -> Result<Self> {
        Python::attach(|python| {
            let ttnn = runtime.ttnn.bind(python);
            let cards: PyResult<usize> = ttnn
                .call_method0("GetNumAvailableDevices")
                .and_then(|n| n.extract());
            match cards {
                Ok(0) => return Err(Error::NoCard("TT-Metalium sees no device".to_owned())),
                Err(error) => return Err(Error::of_opening(&error)),
                Ok(_) => {}
            }
            let arguments = PyDict::new(python);
            let opened = arguments
                .set_item("device_id", device_id)
                .and_then(|()| arguments.set_item("trace_region_size", trace_bytes))
                .and_then(|()| arguments.set_item("num_command_queues", QUEUES))
                .and_then(|()| ttnn.call_method("open_device", (), Some(&arguments)));
            let handle = opened.map_err(|error| Error::of_opening(&error))?.unbind();
            Ok(Self {
                runtime: runtime.clone_ref(python),
                handle,
            })
        })
    }

    /// The family of the card's chips.
    ///
    /// # Errors
    /// When TT-NN names one that is not known here.
    pub fn arch(&self) -> Result<Arch> {
        let name: String = self.ask("arch", |device| device.call_method0("arch")?.str()?.extract())?;
        match name.to_lowercase() {
            name if name.contains("wormhole") => Ok(Arch::Wormhole),
            name if name.contains("blackhole") => Ok(Arch::Blackhole),
            name => Err(Error::Open(format!("{name} is neither Wormhole nor Blackhole"))),
        }
    }

    /// Columns and rows of the Tensix cores that compute.
    ///
    /// # Errors
    /// When the card does not say.
    pub fn core_grid(&self) -> Result<(u32, u32)> {
        self.ask("compute_with_storage_grid_size", |device| {
            let grid = device.call_method0("compute_with_storage_grid_size")?;
            Ok((grid.getattr("x")?.extract()?, grid.getattr("y")?.extract()?))
        })
    }

    /// The card's DRAM and the L1 of its cores, as far as tensors can use them.
    ///
    /// # Errors
    /// When the card does not say.
    pub fn memory(&self) -> Result<(DeviceMemory, DeviceMemory)> {
        let of = |kind: &str| {
            self.ask("get_memory_view", |device| {
                let ttnn = self.runtime.ttnn.bind(device.py());
                let kind = ttnn.getattr("BufferType")?.getattr(kind)?;
                let view = ttnn.call_method1("get_memory_view", (device, kind))?;
                Ok(DeviceMemory {
                    banks: view.getattr("num_banks")?.extract()?,
                    bytes_per_bank: view.getattr("total_bytes_per_bank")?.extract()?,
                    allocated_bytes_per_bank: view.getattr("total_bytes_allocated_per_bank")?.extract()?,
                })
            })
        };
        Ok((of("DRAM")?, of("L1")?))
    }

    fn ask<T>(&self, what: &'static str, ask: impl FnOnce(&Bound<PyAny>) -> PyResult<T>) -> Result<T> {
        Python::attach(|python| {
            ask(self.handle.bind(python))
                .map_err(|error| Error::of_operation(what, "the device".to_owned(), &error))
        })
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        Python::attach(|python| {
            let ttnn = self.runtime.ttnn.bind(python);
            // A card that is gone cannot be closed, and nobody is left to be told.
            let _ = ttnn.call_method1("close_device", (self.handle.bind(python),));
        });
    }
}
