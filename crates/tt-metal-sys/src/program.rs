//! Programs of kernels that are not TT-NN's, through its generic operation.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::{Device, Dtype, Error, Result, Tensor};

/// A reader and a writer for the same rectangle of cores, from the first core on.
pub struct Program {
    /// Columns of cores.
    pub columns: u32,
    /// Rows of cores.
    pub rows: u32,
    /// Runs on the processor that reads.
    pub reader: Kernel,
    /// Runs on the processor that writes.
    pub writer: Kernel,
    /// Memory that the two share.
    pub circular_buffers: Vec<CircularBuffer>,
}

/// What one data movement processor of every core runs.
pub struct Kernel {
    /// C++ that defines `kernel_main`. It stands alone: a path would have to be there where the program runs.
    pub source: &'static str,
    /// Before those that say how the tensors lie in memory.
    pub compile_time_args: Vec<u32>,
    /// Which tensors of the call it uses: what TT-Metalium's accessor takes of each is appended to the compile-time
    /// arguments, and their addresses are its common arguments.
    pub tensors: Vec<usize>,
    /// Of each core, row by row.
    pub core_args: Vec<Vec<u32>>,
}

/// Memory of every core through which its processors pass pages on.
pub struct CircularBuffer {
    /// Number by which kernels name it.
    pub index: u8,
    /// Pages that it holds.
    pub pages: u32,
    /// Bytes of a page.
    pub page_bytes: u32,
    /// Type of the values.
    pub dtype: Dtype,
}

impl Device {
    /// Runs a program. The last tensor is the one that it writes.
    ///
    /// # Errors
    /// When a kernel is not compiled, its buffers are larger than a core's memory, or the card fails.
    pub fn run_program(&self, operation: &'static str, program: &Program, tensors: &[&Tensor]) -> Result<()> {
        Python::attach(|python| {
            let ttnn = self.runtime.ttnn.bind(python);
            let tensors: Vec<_> = tensors.iter().map(|tensor| tensor.bind(python)).collect();
            let run = || {
                let descriptor = program.descriptor(ttnn, &tensors)?;
                ttnn.call_method1("generic_op", (&tensors, descriptor))
            };
            run().map(drop).map_err(|error| {
                let shapes = tensors.iter().map(|tensor| {
                    tensor
                        .getattr("shape")
                        .map_or_else(|_| "?".to_owned(), |s| s.to_string())
                });
                Error::of_operation(operation, shapes.collect::<Vec<_>>().join(", "), &error)
            })
        })
    }
}

impl Program {
    fn descriptor<'py>(
        &self,
        ttnn: &Bound<'py, PyModule>,
        tensors: &[Bound<'py, PyAny>],
    ) -> PyResult<Bound<'py, PyAny>> {
        let core = |x: u32, y: u32| ttnn.call_method1("CoreCoord", (x, y));
        let last = core(self.columns - 1, self.rows - 1)?;
        let rectangle = ttnn.call_method1("CoreRange", (core(0, 0)?, last))?;
        let cores = ttnn.call_method1("CoreRangeSet", (vec![rectangle],))?;
        let kernel = |kernel: &Kernel, config: &str| -> PyResult<Bound<'py, PyAny>> {
            let mut compile_time_args = kernel.compile_time_args.clone();
            let mut addresses: Vec<u32> = Vec::new();
            for &index in &kernel.tensors {
                let accessor = ttnn.call_method1("TensorAccessorArgs", (&tensors[index],))?;
                let args: Vec<u32> = accessor
                    .call_method0("get_compile_time_args")?
                    .try_iter()?
                    .map(|arg| arg?.extract())
                    .collect::<PyResult<_>>()?;
                compile_time_args.extend(args);
                addresses.push(tensors[index].call_method0("buffer_address")?.extract()?);
            }
            let mut core_args = Vec::new();
            for (index, args) in (0..self.columns * self.rows).zip(&kernel.core_args) {
                core_args.push((core(index % self.columns, index / self.columns)?, args.clone()));
            }
            let source_type = ttnn.getattr("KernelDescriptor")?.getattr("SourceType")?;
            let keywords = PyDict::new(ttnn.py());
            keywords.set_item("kernel_source", kernel.source)?;
            keywords.set_item("source_type", source_type.getattr("SOURCE_CODE")?)?;
            keywords.set_item("core_ranges", &cores)?;
            keywords.set_item("compile_time_args", compile_time_args)?;
            keywords.set_item("common_runtime_args", addresses)?;
            keywords.set_item("runtime_args", core_args)?;
            keywords.set_item("config", ttnn.call_method0(config)?)?;
            ttnn.call_method("KernelDescriptor", (), Some(&keywords))
        };
        let circular_buffer = |buffer: &CircularBuffer| -> PyResult<Bound<'py, PyAny>> {
            let format = PyDict::new(ttnn.py());
            format.set_item("buffer_index", buffer.index)?;
            format.set_item("data_format", buffer.dtype.object(ttnn)?)?;
            format.set_item("page_size", buffer.page_bytes)?;
            let format = ttnn.call_method("CBFormatDescriptor", (), Some(&format))?;
            let keywords = PyDict::new(ttnn.py());
            keywords.set_item("total_size", buffer.pages * buffer.page_bytes)?;
            keywords.set_item("core_ranges", &cores)?;
            keywords.set_item("format_descriptors", vec![format])?;
            ttnn.call_method("CBDescriptor", (), Some(&keywords))
        };
        let kernels = vec![
            kernel(&self.reader, "ReaderConfigDescriptor")?,
            kernel(&self.writer, "WriterConfigDescriptor")?,
        ];
        let buffers = self.circular_buffers.iter().map(circular_buffer);
        let keywords = PyDict::new(ttnn.py());
        keywords.set_item("kernels", kernels)?;
        keywords.set_item("cbs", buffers.collect::<PyResult<Vec<_>>>()?)?;
        ttnn.call_method("ProgramDescriptor", (), Some(&keywords))
    }
}
