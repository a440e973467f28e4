//! One call of TT-NN: its arguments, and its error with the shapes.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::{Device, Dtype, Error, Result, Tensor};

/// A call being put together: positional tensors are in its error message.
pub(crate) struct Call<'a, 'py> {
    pub device: &'a Device,
    pub python: Python<'py>,
    pub ttnn: Bound<'py, PyModule>,
    pub keywords: Bound<'py, PyDict>,
}

impl<'py> Call<'_, 'py> {
    pub fn keyword(&self, name: &str, value: impl IntoPyObject<'py>) -> PyResult<()> {
        self.keywords.set_item(name, value)
    }

    pub fn tensor(&self, name: &str, tensor: Option<&Tensor>) -> PyResult<()> {
        match tensor {
            Some(tensor) => self.keyword(name, tensor.bind(self.python)),
            None => Ok(()),
        }
    }

    pub fn dtype(&self, dtype: Dtype) -> PyResult<()> {
        self.keyword("dtype", dtype.object(&self.ttnn)?)
    }

    /// Columns and rows of cores.
    pub fn grid(&self, grid: (u32, u32)) -> PyResult<Bound<'py, PyAny>> {
        self.ttnn.getattr("CoreCoord")?.call1(grid)
    }

    /// Calls `ttnn.<path>` with these arguments.
    pub fn run(
        &self,
        path: &str,
        arguments: impl pyo3::call::PyCallArgs<'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut function = self.ttnn.clone().into_any();
        for part in path.split('.') {
            function = function.getattr(part)?;
        }
        function.call(arguments, Some(&self.keywords))
    }
}

impl Device {
    pub(crate) fn call<T>(
        &self,
        operation: &'static str,
        tensors: &[&Tensor],
        call: impl for<'py> FnOnce(&Call<'_, 'py>) -> PyResult<T>,
    ) -> Result<T> {
        Python::attach(|python| {
            let prepared = Call {
                device: self,
                python,
                ttnn: self.runtime.ttnn.bind(python).clone(),
                keywords: PyDict::new(python),
            };
            call(&prepared).map_err(|error| {
                let shapes: Vec<String> = tensors.iter().map(|tensor| tensor.shape_text(python)).collect();
                Error::of_operation(operation, shapes.join(", "), &error)
            })
        })
    }
}
