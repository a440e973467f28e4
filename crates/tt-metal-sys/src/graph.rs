//! What a program would do on a card, recorded instead of done.

use pyo3::prelude::*;

use crate::{Device, Error, Result};

/// A recording of everything asked of TT-NN while it lives. TT-NN checks shapes and layouts and builds every program, and
/// dispatches none.
pub struct GraphCapture<'a> {
    device: &'a Device,
    ended: bool,
}

impl<'a> GraphCapture<'a> {
    /// # Errors
    /// When another capture is under way.
    pub fn begin(device: &'a Device) -> Result<Self> {
        call(device, |graph| {
            let mode = graph.getattr("RunMode")?.getattr("NO_DISPATCH")?;
            graph.call_method1("begin_graph_capture", (mode,))
        })?;
        Ok(Self { device, ended: false })
    }

    /// The recording: TT-NN's list of nodes, as JSON.
    ///
    /// # Errors
    /// When TT-NN has none.
    pub fn end(mut self) -> Result<String> {
        self.ended = true;
        let nodes = call(self.device, |graph| graph.call_method0("end_graph_capture"))?;
        Python::attach(|python| {
            let text = python
                .import("json")
                .and_then(|json| json.call_method1("dumps", (nodes.bind(python),))?.extract());
            text.map_err(|error| Error::of_operation("end_graph_capture", "the graph".to_owned(), &error))
        })
    }
}

impl Drop for GraphCapture<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // What failed within the capture is what the caller hears of.
            let _ = call(self.device, |graph| graph.call_method0("end_graph_capture"));
        }
    }
}

fn call(
    device: &Device,
    call: impl for<'py> FnOnce(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
) -> Result<Py<PyAny>> {
    Python::attach(|python| {
        let ttnn = device.runtime.ttnn.bind(python);
        let graph = ttnn.getattr("_ttnn").and_then(|module| module.getattr("graph"));
        graph
            .and_then(|graph| call(&graph))
            .map(Bound::unbind)
            .map_err(|error| Error::of_operation("graph capture", "the graph".to_owned(), &error))
    })
}
