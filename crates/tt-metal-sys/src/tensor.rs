//! A tensor on the card.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyDict};

use crate::{Device, Error, Queue, Result};

/// Element types on the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 32 bits, IEEE 754.
    F32,
    /// The upper half of f32.
    Bf16,
    /// 16 values of a row share an exponent, 8 bits each: 1,088 bytes a tile.
    Bf8,
    /// Bytes.
    U8,
    /// 16 bits without a sign.
    U16,
    /// 32 bits without a sign.
    U32,
}

/// How values lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// In tiles of 32 × 32.
    Tile,
    /// Row after row, a page a row.
    RowMajor,
}

/// A type of values on the host.
pub trait HostValue: Copy {
    /// numpy's name for it.
    const NUMPY: &'static str;

    /// As they lie in memory.
    fn write(values: &[Self], bytes: &mut [u8]);
}

macro_rules! host_value {
    ($($value:ty: $name:literal),*) => {$(
        impl HostValue for $value {
            const NUMPY: &'static str = $name;

            fn write(values: &[Self], bytes: &mut [u8]) {
                let (places, _) = bytes.as_chunks_mut();
                for (place, value) in places.iter_mut().zip(values) {
                    *place = value.to_ne_bytes();
                }
            }
        }
    )*};
}
host_value!(f32: "float32", u8: "uint8", u16: "uint16", u32: "uint32");

/// Shared between clones; the last one to go frees the card's memory.
#[derive(Clone)]
pub struct Tensor(Arc<Handle>);

struct Handle {
    object: Option<Py<PyAny>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // With the lock held the memory is free when this returns, not some call later.
        Python::attach(|_| drop(self.object.take()));
    }
}

impl Dtype {
    fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "float32",
            Dtype::Bf16 => "bfloat16",
            Dtype::Bf8 => "bfloat8_b",
            Dtype::U8 => "uint8",
            Dtype::U16 => "uint16",
            Dtype::U32 => "uint32",
        }
    }

    pub(crate) fn object<'py>(self, ttnn: &Bound<'py, PyModule>) -> PyResult<Bound<'py, PyAny>> {
        ttnn.getattr(self.name())
    }
}

impl Layout {
    pub(crate) fn object<'py>(self, ttnn: &Bound<'py, PyModule>) -> PyResult<Bound<'py, PyAny>> {
        ttnn.getattr(match self {
            Layout::Tile => "TILE_LAYOUT",
            Layout::RowMajor => "ROW_MAJOR_LAYOUT",
        })
    }
}

impl Tensor {
    pub(crate) fn new(object: Bound<PyAny>) -> Self {
        Self(Arc::new(Handle {
            object: Some(object.unbind()),
        }))
    }

    pub(crate) fn bind<'py>(&self, python: Python<'py>) -> Bound<'py, PyAny> {
        let object = self
            .0
            .object
            .as_ref()
            .expect("an object until the handle is dropped");
        object.bind(python).clone()
    }

    /// Tells this tensor and its clones from all others that live.
    pub fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// For errors.
    pub(crate) fn shape_text(&self, python: Python) -> String {
        let shape = self
            .bind(python)
            .getattr("shape")
            .and_then(|shape| Ok(shape.str()?.to_string()));
        shape.unwrap_or_else(|_| "a tensor without shape".to_owned())
    }
}

impl Device {
    /// Values to the card, converted on the host to `dtype`.
    ///
    /// # Errors
    /// When they are not as many as the shape says, or the card has no room.
    pub fn upload<T: HostValue>(
        &self,
        values: &[T],
        shape: &[usize],
        dtype: Dtype,
        layout: Layout,
    ) -> Result<Tensor> {
        self.create("upload", shape, |python, ttnn| {
            on_host(ttnn, values, shape, dtype, layout)?.call_method1("to", (self.handle.bind(python),))
        })
    }

    /// New values in the place of a tensor, converted on the host to its `dtype`, through a queue of choice and without
    /// waiting.
    ///
    /// # Errors
    /// When shape, type or layout are not the tensor's, or the card fails.
    pub fn overwrite<T: HostValue>(
        &self,
        tensor: &Tensor,
        values: &[T],
        shape: &[usize],
        dtype: Dtype,
        layout: Layout,
        queue: Queue,
    ) -> Result<()> {
        Python::attach(|python| {
            let ttnn = self.runtime.ttnn.bind(python);
            let write = || -> PyResult<()> {
                let values = on_host(ttnn, values, shape, dtype, layout)?;
                let arguments = PyDict::new(python);
                arguments.set_item("cq_id", queue as u8)?;
                let places = (values, tensor.bind(python));
                ttnn.call_method("copy_host_to_device_tensor", places, Some(&arguments))
                    .map(drop)
            };
            write().map_err(|error| Error::of_operation("overwrite", tensor.shape_text(python), &error))
        })
    }

    /// Memory for a tensor, with values of no meaning.
    ///
    /// # Errors
    /// When the card has no room.
    pub fn empty(&self, shape: &[usize], dtype: Dtype, layout: Layout) -> Result<Tensor> {
        self.allocate("empty", shape, dtype, layout)
    }

    /// All zeros.
    ///
    /// # Errors
    /// When the card has no room.
    pub fn zeros(&self, shape: &[usize], dtype: Dtype, layout: Layout) -> Result<Tensor> {
        self.allocate("zeros", shape, dtype, layout)
    }

    fn allocate(&self, how: &'static str, shape: &[usize], dtype: Dtype, layout: Layout) -> Result<Tensor> {
        self.create(how, shape, |python, ttnn| {
            let arguments = PyDict::new(python);
            arguments.set_item("dtype", dtype.object(ttnn)?)?;
            arguments.set_item("layout", layout.object(ttnn)?)?;
            arguments.set_item("device", self.handle.bind(python))?;
            ttnn.call_method(how, (shape.to_vec(),), Some(&arguments))
        })
    }

    fn create<'a>(
        &self,
        operation: &'static str,
        shape: &[usize],
        create: impl for<'py> FnOnce(Python<'py>, &Bound<'py, PyModule>) -> PyResult<Bound<'py, PyAny>> + 'a,
    ) -> Result<Tensor> {
        Python::attach(|python| {
            create(python, self.runtime.ttnn.bind(python))
                .map(Tensor::new)
                .map_err(|error| Error::of_operation(operation, format!("{shape:?}"), &error))
        })
    }

    /// The values, row-major. Waits for everything before it.
    ///
    /// # Errors
    /// When the card fails, or is a mock and has no values.
    pub fn read_back(&self, tensor: &Tensor) -> Result<Vec<f32>> {
        Python::attach(|python| {
            let read = || -> PyResult<Vec<f32>> {
                let ttnn = self.runtime.ttnn.bind(python);
                let on_host = tensor.bind(python).call_method0("cpu")?;
                let arguments = PyDict::new(python);
                arguments.set_item("dtype", Dtype::F32.object(ttnn)?)?;
                let on_host = ttnn.call_method("to_dtype", (on_host,), Some(&arguments))?;
                let bytes = on_host
                    .call_method0("to_numpy")?
                    .call_method1("astype", ("float32",))?;
                let bytes: Vec<u8> = bytes.call_method0("tobytes")?.extract()?;
                let (values, _) = bytes.as_chunks::<4>();
                Ok(values.iter().map(|value| f32::from_ne_bytes(*value)).collect())
            };
            read().map_err(|error| Error::of_operation("read_back", tensor.shape_text(python), &error))
        })
    }

    /// Copies to the host and drops what comes: all that a mock card can do.
    ///
    /// # Errors
    /// When TT-NN refuses.
    pub fn read_back_nothing(&self, tensor: &Tensor) -> Result<()> {
        Python::attach(|python| {
            let read = tensor.bind(python).call_method0("cpu");
            read.map(drop)
                .map_err(|error| Error::of_operation("read_back", tensor.shape_text(python), &error))
        })
    }
}

/// A tensor of TT-NN in the host's memory.
fn on_host<'py, T: HostValue>(
    ttnn: &Bound<'py, PyModule>,
    values: &[T],
    shape: &[usize],
    dtype: Dtype,
    layout: Layout,
) -> PyResult<Bound<'py, PyAny>> {
    let python = ttnn.py();
    let bytes = PyByteArray::new_with(python, size_of_val(values), |bytes| {
        T::write(values, bytes);
        Ok(())
    })?;
    let values = python
        .import("numpy")?
        .call_method1("frombuffer", (bytes, T::NUMPY))?
        .call_method1("reshape", (shape.to_vec(),))?;
    let arguments = PyDict::new(python);
    arguments.set_item("data_type", dtype.object(ttnn)?)?;
    arguments.set_item("layout", layout.object(ttnn)?)?;
    ttnn.getattr("Tensor")?.call((values,), Some(&arguments))
}
