//! Capture of a card's commands in a trace, which one command runs again, and the order of uploads around it.
//!
//! The commands of a trace name addresses in the card's memory. Memory that captured work frees is free for
//! tensors made later, and every run of the trace writes there again; so a trace is valid only as long as no
//! tensor is made or freed but by captured work.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tt_metal_sys as tt;
use tt_metal_sys::{GraphCapture, Queue};

use crate::device::{DeviceError, Result};

/// Queues and traces of a card.
pub trait Commands {
    /// Captured commands.
    type Trace;
    /// A point in a queue.
    type Event;

    /// Whether commands reach the card. A graph is captured without dispatching anything, and a mock card has nothing to
    /// dispatch to: what runs or waits all the same then runs on commands that were never written, and hangs the card.
    fn is_dispatching(&self) -> bool;
    /// Captures the commands of the work without running them.
    fn capture(&self, work: impl FnOnce() -> Result<()>) -> Result<Self::Trace>;
    /// Runs captured commands.
    fn execute(&self, trace: &Self::Trace) -> Result<()>;
    /// The point behind everything that is in a queue now.
    fn event(&self, queue: Queue) -> Result<Self::Event>;
    /// Makes all later commands of a queue wait for the event.
    fn wait(&self, queue: Queue, event: &Self::Event) -> Result<()>;
}

/// State of one piece of work: new, compiled or captured.
pub struct WorkTrace<C: Commands>(Progress<C::Trace>);

enum Progress<T> {
    New,
    /// Its programs are on the card.
    Compiled(Moment),
    Captured(Moment, T),
}

/// What the addresses and programs of a trace depend on.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Moment {
    /// Count of tensors made and freed.
    tensors: u64,
    /// Whether commands reached the card. What was captured while they did not is no trace that it could run.
    dispatched: bool,
}

impl<C: Commands> Default for WorkTrace<C> {
    fn default() -> Self {
        Self(Progress::New)
    }
}

/// Traces of one card.
pub(super) struct Traces<C: Commands> {
    pub commands: C,
    /// Count of tensors made and freed outside of captured work.
    tensors: Arc<AtomicU64>,
    is_working: AtomicBool,
    /// The newest read of each input, by its address.
    reads: Mutex<HashMap<usize, LastRead<C::Event>>>,
}

/// The newest work that read an input.
struct LastRead<E> {
    moment: Moment,
    event: Arc<E>,
}

/// Counts the end of a tensor that was made outside of captured work.
pub(super) struct Counted(Arc<AtomicU64>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl<C: Commands> Traces<C> {
    pub fn new(commands: C) -> Self {
        Self {
            commands,
            tensors: Arc::default(),
            is_working: AtomicBool::new(false),
            reads: Mutex::default(),
        }
    }

    /// Counts a tensor that is made now; `None` within captured work.
    pub fn count_tensor(&self) -> Option<Counted> {
        if self.is_working() {
            return None;
        }
        self.tensors.fetch_add(1, Ordering::Relaxed);
        Some(Counted(Arc::clone(&self.tensors)))
    }

    /// Whether captured work is under way.
    pub fn is_working(&self) -> bool {
        self.is_working.load(Ordering::Relaxed)
    }

    /// # Errors
    /// Within captured work: transfers between host and card cannot be captured.
    pub fn expect_no_work(&self, operation: &'static str) -> Result<()> {
        match self.is_working() {
            false => Ok(()),
            true => Err(DeviceError::shape(operation, "within captured work")),
        }
    }

    /// Runs work the first time as it is, captures it the second time, and runs the trace from then on.
    /// `inputs`: addresses that [`write`](Self::write) fills.
    pub fn run_captured(
        &self,
        work_trace: &mut WorkTrace<C>,
        inputs: &[usize],
        work: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let now = self.now();
        match &work_trace.0 {
            Progress::Captured(then, trace) if *then == now => self.execute(trace)?,
            Progress::Compiled(then) if *then == now => {
                let trace = self.commands.capture(|| self.within_work(work))?;
                self.execute(&trace)?;
                work_trace.0 = Progress::Captured(now, trace);
            }
            _ => {
                // An invalid trace is released before its memory is needed.
                work_trace.0 = Progress::New;
                self.within_work(work)?;
                work_trace.0 = Progress::Compiled(now);
            }
        }
        if !inputs.is_empty() {
            let event = Arc::new(self.commands.event(Queue::Operations)?);
            let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
            reads.extend(inputs.iter().map(|&input| {
                let event = Arc::clone(&event);
                (input, LastRead { moment: now, event })
            }));
        }
        Ok(())
    }

    /// Uploads to an address behind the work that reads it, and ahead of all later work.
    pub fn write(&self, address: usize, upload: impl FnOnce(Queue) -> Result<()>) -> Result<()> {
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        let read = match reads.remove(&address) {
            Some(LastRead { moment, event }) if moment == self.now() => event,
            // Other readers are unknown.
            _ => Arc::new(self.commands.event(Queue::Operations)?),
        };
        drop(reads);
        self.wait(Queue::Uploads, &read)?;
        upload(Queue::Uploads)?;
        let written = self.commands.event(Queue::Uploads)?;
        self.wait(Queue::Operations, &written)
    }

    fn now(&self) -> Moment {
        Moment {
            tensors: self.tensors.load(Ordering::Relaxed),
            dispatched: self.commands.is_dispatching(),
        }
    }

    fn execute(&self, trace: &C::Trace) -> Result<()> {
        match self.commands.is_dispatching() {
            true => self.commands.execute(trace),
            false => Ok(()),
        }
    }

    fn wait(&self, queue: Queue, event: &C::Event) -> Result<()> {
        match self.commands.is_dispatching() {
            true => self.commands.wait(queue, event),
            false => Ok(()),
        }
    }

    fn within_work(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        self.is_working.store(true, Ordering::Relaxed);
        let result = work();
        self.is_working.store(false, Ordering::Relaxed);
        result
    }
}

/// Queues of a real or a mock card.
pub struct CardCommands {
    pub(super) card: Arc<tt::Device>,
    pub(super) mock: bool,
    /// Whether a graph is being captured, and nothing is dispatched.
    pub(super) is_capturing_graph: AtomicBool,
}

impl Commands for CardCommands {
    type Trace = tt::Trace;
    type Event = tt::Event;

    fn is_dispatching(&self) -> bool {
        !self.mock && !self.is_capturing_graph.load(Ordering::Relaxed)
    }

    fn capture(&self, work: impl FnOnce() -> Result<()>) -> Result<tt::Trace> {
        // Where something is dispatched, TT-NN writes commands for a trace that a mock card has no memory
        // for.
        let dispatches = self.mock && !self.is_capturing_graph.load(Ordering::Relaxed);
        let _nothing_dispatched = match dispatches {
            true => Some(GraphCapture::begin(&self.card)?),
            false => None,
        };
        let capture = self.card.begin_trace()?;
        work()?;
        Ok(capture.end()?)
    }

    fn execute(&self, trace: &tt::Trace) -> Result<()> {
        Ok(self.card.execute_trace(trace)?)
    }

    fn event(&self, queue: Queue) -> Result<tt::Event> {
        Ok(self.card.record_event(queue)?)
    }

    fn wait(&self, queue: Queue, event: &tt::Event) -> Result<()> {
        Ok(self.card.wait_for_event(queue, event)?)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;

    use super::*;

    /// Notes every call.
    #[derive(Clone, Default)]
    struct Log {
        calls: Rc<RefCell<Vec<String>>>,
        is_capturing_graph: Rc<Cell<bool>>,
    }

    struct LoggedTrace(Log);

    impl Drop for LoggedTrace {
        fn drop(&mut self) {
            self.0.note("release");
        }
    }

    impl Log {
        fn note(&self, call: impl Into<String>) {
            self.calls.borrow_mut().push(call.into());
        }

        /// Takes the calls since the last time.
        fn calls(&self) -> Vec<String> {
            self.calls.take()
        }
    }

    impl Commands for Log {
        type Trace = LoggedTrace;
        type Event = usize;

        fn is_dispatching(&self) -> bool {
            !self.is_capturing_graph.get()
        }

        fn capture(&self, work: impl FnOnce() -> Result<()>) -> Result<LoggedTrace> {
            self.note("capture");
            work()?;
            Ok(LoggedTrace(self.clone()))
        }
        fn execute(&self, _: &LoggedTrace) -> Result<()> {
            assert!(
                self.is_dispatching(),
                "a card would read commands from beyond its L1"
            );
            self.note("execute");
            Ok(())
        }
        fn event(&self, queue: Queue) -> Result<usize> {
            let event = self.calls.borrow().len();
            self.note(format!("event {event} of {queue:?}"));
            Ok(event)
        }
        fn wait(&self, queue: Queue, event: &usize) -> Result<()> {
            assert!(
                self.is_dispatching(),
                "a card would wait for an event that never comes"
            );
            self.note(format!("{queue:?} waits for {event}"));
            Ok(())
        }
    }

    fn work(log: &Log) -> impl FnOnce() -> Result<()> {
        let log = log.clone();
        move || {
            log.note("work");
            Ok(())
        }
    }

    #[test]
    fn work_runs_then_is_captured_and_then_its_trace_runs() {
        let log = Log::default();
        let traces = Traces::new(log.clone());
        let mut trace = WorkTrace::default();
        let mut again = || {
            traces.run_captured(&mut trace, &[], work(&log)).unwrap();
            log.calls()
        };
        assert_eq!(again(), ["work"]);
        assert_eq!(again(), ["capture", "work", "execute"]);
        assert_eq!(again(), ["execute"]);
        assert_eq!(again(), ["execute"]);
    }

    #[test]
    fn nothing_runs_and_nothing_is_waited_for_while_a_graph_is_captured() {
        let log = Log::default();
        let traces = Traces::new(log.clone());
        let mut trace = WorkTrace::default();
        log.is_capturing_graph.set(true);
        for _ in 0..3 {
            traces.run_captured(&mut trace, &[7], work(&log)).unwrap();
            traces.write(7, |_| Ok(())).unwrap();
        }
        let captured = log.calls();
        assert_eq!(
            captured.iter().filter(|call| *call == "capture").count(),
            1,
            "{captured:?}"
        );
        log.is_capturing_graph.set(false);
        let mut again = || {
            traces.run_captured(&mut trace, &[], work(&log)).unwrap();
            log.calls()
        };
        assert_eq!(again(), ["release", "work"], "what was captured then is no trace");
        assert_eq!(again(), ["capture", "work", "execute"]);
        assert_eq!(again(), ["execute"]);
    }

    #[test]
    fn a_tensor_made_or_freed_outside_of_work_ends_a_trace() {
        let log = Log::default();
        let traces = Traces::new(log.clone());
        let mut trace = WorkTrace::default();
        let mut again = || {
            traces.run_captured(&mut trace, &[], work(&log)).unwrap();
            log.calls()
        };
        again();
        let tensor = traces.count_tensor();
        assert!(tensor.is_some());
        assert_eq!(again(), ["work"], "made before it was captured");
        again();
        drop(tensor);
        assert_eq!(again(), ["release", "work"], "freed");
        assert_eq!(again(), ["capture", "work", "execute"]);
        assert_eq!(again(), ["execute"]);
        drop(traces.count_tensor());
        assert_eq!(again(), ["release", "work"], "made and freed");
    }

    #[test]
    fn tensors_within_work_end_no_trace_and_uploads_within_it_are_refused() {
        let log = Log::default();
        let traces = Traces::new(log.clone());
        let mut trace = WorkTrace::default();
        for _ in 0..2 {
            let work = || {
                assert!(traces.count_tensor().is_none());
                assert!(traces.expect_no_work("upload").is_err());
                Ok(())
            };
            traces.run_captured(&mut trace, &[], work).unwrap();
        }
        assert!(traces.expect_no_work("upload").is_ok());
        log.calls();
        traces.run_captured(&mut trace, &[], work(&log)).unwrap();
        assert_eq!(log.calls(), ["execute"]);
    }

    #[test]
    fn work_that_fails_does_not_count_as_captured() {
        let log = Log::default();
        let traces = Traces::new(log.clone());
        let mut trace = WorkTrace::default();
        let fail = || Err(DeviceError::Lost("it hangs".to_owned()));
        assert!(traces.run_captured(&mut trace, &[], fail).is_err());
        assert!(traces.expect_no_work("upload").is_ok());
        traces.run_captured(&mut trace, &[], work(&log)).unwrap();
        assert_eq!(log.calls(), ["work"]);
        assert!(traces.run_captured(&mut trace, &[], fail).is_err());
        log.calls();
        traces.run_captured(&mut trace, &[], work(&log)).unwrap();
        assert_eq!(log.calls(), ["capture", "work", "execute"]);
    }

    #[test]
    fn an_upload_comes_behind_the_work_that_reads_its_address_and_ahead_of_the_next() {
        let log = Log::default();
        let traces = Traces::new(log.clone());
        let write = |address| {
            let upload = |queue| {
                log.note(format!("upload on {queue:?}"));
                Ok(())
            };
            traces.write(address, upload).unwrap();
            log.calls()
        };
        let behind_everything = [
            "event 0 of Operations",
            "Uploads waits for 0",
            "upload on Uploads",
            "event 3 of Uploads",
            "Operations waits for 3",
        ];
        assert_eq!(write(7), behind_everything, "never read before");

        let (mut reader, mut other) = (WorkTrace::default(), WorkTrace::default());
        traces.run_captured(&mut reader, &[7], work(&log)).unwrap();
        traces.run_captured(&mut other, &[8], work(&log)).unwrap();
        assert_eq!(
            log.calls(),
            ["work", "event 1 of Operations", "work", "event 3 of Operations"]
        );
        let behind_its_reader = [
            "Uploads waits for 1",
            "upload on Uploads",
            "event 2 of Uploads",
            "Operations waits for 2",
        ];
        assert_eq!(write(7), behind_its_reader, "while the other work runs");
        assert_eq!(write(7), behind_everything, "not read since");

        traces.run_captured(&mut reader, &[7], work(&log)).unwrap();
        log.calls();
        drop(traces.count_tensor());
        assert_eq!(write(7), behind_everything, "perhaps read by what made a tensor");
    }
}
