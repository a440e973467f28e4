//! Command queues, the events that order them, and traces: recorded commands that run again by one.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::{Device, Error, Result};

/// Each keeps the order of its own commands; between the two only events do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Operations and read-backs.
    Operations = 0,
    /// New values for tensors that stay.
    Uploads = 1,
}

/// How many queues a device is opened with.
pub(crate) const QUEUES: u8 = 2;

/// A point in a queue, reached when everything before it is done.
pub struct Event(Py<PyAny>);

/// Recorded commands; the card's memory for them is freed when this is dropped.
pub struct Trace {
    device: Arc<Device>,
    id: Option<Py<PyAny>>,
}

/// A recording under way: operations that are asked for while it lives are recorded and not run.
pub struct TraceCapture {
    trace: Trace,
    ended: bool,
}

impl Device {
    /// The point behind everything that is in a queue now.
    ///
    /// # Errors
    /// When the card fails.
    pub fn record_event(&self, queue: Queue) -> Result<Event> {
        self.command("record_event", |ttnn, device| {
            ttnn.call_method1("record_event", (device, queue as u8))
        })
        .map(Event)
    }

    /// What comes into the queue from now on waits for the event.
    ///
    /// # Errors
    /// When the card fails.
    pub fn wait_for_event(&self, queue: Queue, event: &Event) -> Result<()> {
        self.command("wait_for_event", |ttnn, _| {
            ttnn.call_method1("wait_for_event", (queue as u8, event.0.bind(ttnn.py())))
        })
        .map(drop)
    }

    /// Starts to record operations. Each must have run before, for its program must be on the card.
    ///
    /// # Errors
    /// When another recording is under way.
    pub fn begin_trace(self: &Arc<Self>) -> Result<TraceCapture> {
        let id = self.command("begin_trace_capture", |ttnn, device| {
            let keywords = operations_queue(ttnn)?;
            ttnn.call_method("begin_trace_capture", (device,), Some(&keywords))
        })?;
        let trace = Trace {
            device: Arc::clone(self),
            id: Some(id),
        };
        Ok(TraceCapture { trace, ended: false })
    }

    /// Runs recorded commands, without waiting for their end.
    ///
    /// # Errors
    /// When the card fails.
    pub fn execute_trace(&self, trace: &Trace) -> Result<()> {
        self.command("execute_trace", |ttnn, device| {
            let keywords = operations_queue(ttnn)?;
            keywords.set_item("blocking", false)?;
            ttnn.call_method("execute_trace", (device, trace.id(ttnn.py())), Some(&keywords))
        })
        .map(drop)
    }

    fn command(
        &self,
        command: &'static str,
        call: impl for<'py> FnOnce(&Bound<'py, PyModule>, &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
    ) -> Result<Py<PyAny>> {
        Python::attach(|python| {
            call(self.runtime.ttnn.bind(python), self.handle.bind(python))
                .map(Bound::unbind)
                .map_err(|error| Error::of_operation(command, "the device".to_owned(), &error))
        })
    }
}

impl TraceCapture {
    /// The recorded commands, on the card.
    ///
    /// # Errors
    /// When the device was opened with less room for traces than these take; TT-NN says how much that is.
    pub fn end(mut self) -> Result<Trace> {
        self.ended = true;
        self.trace.end_capture()?;
        Ok(Trace {
            device: Arc::clone(&self.trace.device),
            id: self.trace.id.take(),
        })
    }
}

impl Drop for TraceCapture {
    fn drop(&mut self) {
        if !self.ended {
            // What failed within the capture is what the caller hears of.
            let _ = self.trace.end_capture();
        }
    }
}

impl Trace {
    fn id<'py>(&self, python: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.id.as_ref().map(|id| id.bind(python).clone())
    }

    fn end_capture(&self) -> Result<()> {
        let device = &self.device;
        device
            .command("end_trace_capture", |ttnn, handle| {
                let keywords = operations_queue(ttnn)?;
                ttnn.call_method("end_trace_capture", (handle, self.id(ttnn.py())), Some(&keywords))
            })
            .map(drop)
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if self.id.is_some() {
            // A card that is gone has no memory to free, and nobody is left to be told.
            let _ = self.device.command("release_trace", |ttnn, device| {
                ttnn.call_method1("release_trace", (device, self.id(ttnn.py())))
            });
        }
    }
}

fn operations_queue<'py>(ttnn: &Bound<'py, PyModule>) -> PyResult<Bound<'py, PyDict>> {
    let keywords = PyDict::new(ttnn.py());
    keywords.set_item("cq_id", Queue::Operations as u8)?;
    Ok(keywords)
}
