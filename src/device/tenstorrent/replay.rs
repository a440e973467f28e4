//! Work that is recorded and then done again by one command, and the order of uploads around it.
//!
//! Commands of a recording name places in the card's memory. What it frees is free for tensors made later, and every replay
//! writes there again; so a recording holds only as long as no tensor is made or freed but by recorded work.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tt_metal_sys as tt;
use tt_metal_sys::{GraphCapture, Queue};

use crate::device::{DeviceError, Result};

/// What a card is asked for.
pub trait Commands {
    type Trace;
    type Event;

    /// The commands of the work, recorded and not run.
    fn record(&self, work: impl FnOnce() -> Result<()>) -> Result<Self::Trace>;
    fn execute(&self, trace: &Self::Trace) -> Result<()>;
    /// The point behind what is in a queue now.
    fn event(&self, queue: Queue) -> Result<Self::Event>;
    /// What comes into the queue from now on waits for the event.
    fn wait(&self, queue: Queue, event: &Self::Event) -> Result<()>;
}

/// How far a piece of work has come.
pub struct Recording<C: Commands>(Progress<C::Trace>);

enum Progress<T> {
    New,
    /// Its programs are on the card.
    Compiled {
        tensors: u64,
    },
    Recorded {
        tensors: u64,
        trace: T,
    },
}

impl<C: Commands> Default for Recording<C> {
    fn default() -> Self {
        Self(Progress::New)
    }
}

/// The recordings of one card.
pub(super) struct Replays<C: Commands> {
    pub commands: C,
    tensors: Arc<AtomicU64>,
    working: AtomicBool,
    /// By the input's place.
    reads: Mutex<HashMap<usize, LastRead<C::Event>>>,
}

/// When an input was read the last time, and what tensors there were then.
struct LastRead<E> {
    tensors: u64,
    event: Arc<E>,
}

/// Counts a tensor that was made outside of recorded work, and that it goes.
pub(super) struct Counted(Arc<AtomicU64>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl<C: Commands> Replays<C> {
    pub fn new(commands: C) -> Self {
        Self {
            commands,
            tensors: Arc::default(),
            working: AtomicBool::new(false),
            reads: Mutex::default(),
        }
    }

    /// For a tensor that is made now; none within recorded work.
    pub fn count_tensor(&self) -> Option<Counted> {
        if self.is_working() {
            return None;
        }
        self.tensors.fetch_add(1, Ordering::Relaxed);
        Some(Counted(Arc::clone(&self.tensors)))
    }

    /// Whether recorded work is under way.
    pub fn is_working(&self) -> bool {
        self.working.load(Ordering::Relaxed)
    }

    /// # Errors
    /// Within recorded work: what goes between host and card cannot be recorded.
    pub fn expect_no_work(&self, operation: &'static str) -> Result<()> {
        match self.is_working() {
            false => Ok(()),
            true => Err(DeviceError::shape(operation, "within recorded work")),
        }
    }

    /// Runs work the first time as it is, records it the second time, and replays it from then on. The inputs are places that
    /// [`write`](Self::write) fills.
    pub fn replay(
        &self,
        recording: &mut Recording<C>,
        inputs: &[usize],
        work: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let now = self.tensors.load(Ordering::Relaxed);
        match &recording.0 {
            Progress::Recorded { tensors, trace } if *tensors == now => self.commands.execute(trace)?,
            Progress::Compiled { tensors } if *tensors == now => {
                let trace = self.commands.record(|| self.within_work(work))?;
                self.commands.execute(&trace)?;
                recording.0 = Progress::Recorded { tensors: now, trace };
            }
            _ => {
                // A trace that does not hold any more is released first.
                recording.0 = Progress::New;
                self.within_work(work)?;
                recording.0 = Progress::Compiled { tensors: now };
            }
        }
        if !inputs.is_empty() {
            let event = Arc::new(self.commands.event(Queue::Operations)?);
            let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
            reads.extend(inputs.iter().map(|&input| {
                let (tensors, event) = (now, Arc::clone(&event));
                (input, LastRead { tensors, event })
            }));
        }
        Ok(())
    }

    /// Uploads to a place behind the work that reads what is there, and ahead of all that comes.
    pub fn write(&self, place: usize, upload: impl FnOnce(Queue) -> Result<()>) -> Result<()> {
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        let read = match reads.remove(&place) {
            Some(LastRead { tensors, event }) if tensors == self.tensors.load(Ordering::Relaxed) => event,
            // Who else reads it is not known.
            _ => Arc::new(self.commands.event(Queue::Operations)?),
        };
        drop(reads);
        self.commands.wait(Queue::Uploads, &read)?;
        upload(Queue::Uploads)?;
        let written = self.commands.event(Queue::Uploads)?;
        self.commands.wait(Queue::Operations, &written)
    }

    fn within_work(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        self.working.store(true, Ordering::Relaxed);
        let result = work();
        self.working.store(false, Ordering::Relaxed);
        result
    }
}

/// The queues of a card. A mock card records, and has nothing that could run or be waited for.
pub struct CardCommands {
    pub(super) card: Arc<tt::Device>,
    pub(super) mock: bool,
    /// Whether a graph is being captured, and nothing is dispatched.
    pub(super) capturing: AtomicBool,
}

impl Commands for CardCommands {
    type Trace = tt::Trace;
    type Event = tt::Event;

    fn record(&self, work: impl FnOnce() -> Result<()>) -> Result<tt::Trace> {
        // Where something is dispatched, TT-NN writes commands for a trace that a mock card has no memory for.
        let dispatches = self.mock && !self.capturing.load(Ordering::Relaxed);
        let _nothing_dispatched = match dispatches {
            true => Some(GraphCapture::begin(&self.card)?),
            false => None,
        };
        let capture = self.card.begin_trace()?;
        work()?;
        Ok(capture.end()?)
    }

    fn execute(&self, trace: &tt::Trace) -> Result<()> {
        match self.mock {
            true => Ok(()),
            false => Ok(self.card.execute_trace(trace)?),
        }
    }

    fn event(&self, queue: Queue) -> Result<tt::Event> {
        Ok(self.card.record_event(queue)?)
    }

    fn wait(&self, queue: Queue, event: &tt::Event) -> Result<()> {
        match self.mock {
            true => Ok(()),
            false => Ok(self.card.wait_for_event(queue, event)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    /// Writes down what it is asked for.
    #[derive(Clone, Default)]
    struct Log(Rc<RefCell<Vec<String>>>);

    struct LoggedTrace(Log);

    impl Drop for LoggedTrace {
        fn drop(&mut self) {
            self.0.say("release");
        }
    }

    impl Log {
        fn say(&self, what: impl Into<String>) {
            self.0.borrow_mut().push(what.into());
        }

        /// What was asked for since the last time.
        fn said(&self) -> Vec<String> {
            self.0.take()
        }
    }

    impl Commands for Log {
        type Trace = LoggedTrace;
        type Event = usize;

        fn record(&self, work: impl FnOnce() -> Result<()>) -> Result<LoggedTrace> {
            self.say("record");
            work()?;
            Ok(LoggedTrace(self.clone()))
        }
        fn execute(&self, _: &LoggedTrace) -> Result<()> {
            self.say("execute");
            Ok(())
        }
        fn event(&self, queue: Queue) -> Result<usize> {
            let event = self.0.borrow().len();
            self.say(format!("event {event} of {queue:?}"));
            Ok(event)
        }
        fn wait(&self, queue: Queue, event: &usize) -> Result<()> {
            self.say(format!("{queue:?} waits for {event}"));
            Ok(())
        }
    }

    fn work(log: &Log) -> impl FnOnce() -> Result<()> {
        let log = log.clone();
        move || {
            log.say("work");
            Ok(())
        }
    }

    #[test]
    fn work_runs_then_is_recorded_then_replayed() {
        let log = Log::default();
        let replays = Replays::new(log.clone());
        let mut recording = Recording::default();
        let mut again = || {
            replays.replay(&mut recording, &[], work(&log)).unwrap();
            log.said()
        };
        assert_eq!(again(), ["work"]);
        assert_eq!(again(), ["record", "work", "execute"]);
        assert_eq!(again(), ["execute"]);
        assert_eq!(again(), ["execute"]);
    }

    #[test]
    fn a_tensor_made_or_freed_outside_of_work_ends_a_recording() {
        let log = Log::default();
        let replays = Replays::new(log.clone());
        let mut recording = Recording::default();
        let mut again = || {
            replays.replay(&mut recording, &[], work(&log)).unwrap();
            log.said()
        };
        again();
        let tensor = replays.count_tensor();
        assert!(tensor.is_some());
        assert_eq!(again(), ["work"], "made before it was recorded");
        again();
        drop(tensor);
        assert_eq!(again(), ["release", "work"], "freed");
        assert_eq!(again(), ["record", "work", "execute"]);
        assert_eq!(again(), ["execute"]);
        drop(replays.count_tensor());
        assert_eq!(again(), ["release", "work"], "made and freed");
    }

    #[test]
    fn tensors_within_work_end_no_recording_and_uploads_within_it_are_refused() {
        let log = Log::default();
        let replays = Replays::new(log.clone());
        let mut recording = Recording::default();
        for _ in 0..2 {
            let work = || {
                assert!(replays.count_tensor().is_none());
                assert!(replays.expect_no_work("upload").is_err());
                Ok(())
            };
            replays.replay(&mut recording, &[], work).unwrap();
        }
        assert!(replays.expect_no_work("upload").is_ok());
        log.said();
        replays.replay(&mut recording, &[], work(&log)).unwrap();
        assert_eq!(log.said(), ["execute"]);
    }

    #[test]
    fn work_that_fails_is_not_taken_for_recorded() {
        let log = Log::default();
        let replays = Replays::new(log.clone());
        let mut recording = Recording::default();
        let fail = || Err(DeviceError::Lost("it hangs".to_owned()));
        assert!(replays.replay(&mut recording, &[], fail).is_err());
        assert!(replays.expect_no_work("upload").is_ok());
        replays.replay(&mut recording, &[], work(&log)).unwrap();
        assert_eq!(log.said(), ["work"]);
        assert!(replays.replay(&mut recording, &[], fail).is_err());
        log.said();
        replays.replay(&mut recording, &[], work(&log)).unwrap();
        assert_eq!(log.said(), ["record", "work", "execute"]);
    }

    #[test]
    fn an_upload_comes_behind_the_work_that_reads_its_place_and_ahead_of_the_next() {
        let log = Log::default();
        let replays = Replays::new(log.clone());
        let write = |place| {
            let upload = |queue| {
                log.say(format!("upload on {queue:?}"));
                Ok(())
            };
            replays.write(place, upload).unwrap();
            log.said()
        };
        let behind_everything = [
            "event 0 of Operations",
            "Uploads waits for 0",
            "upload on Uploads",
            "event 3 of Uploads",
            "Operations waits for 3",
        ];
        assert_eq!(write(7), behind_everything, "never read before");

        let (mut reader, mut other) = (Recording::default(), Recording::default());
        replays.replay(&mut reader, &[7], work(&log)).unwrap();
        replays.replay(&mut other, &[8], work(&log)).unwrap();
        assert_eq!(
            log.said(),
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

        replays.replay(&mut reader, &[7], work(&log)).unwrap();
        log.said();
        drop(replays.count_tensor());
        assert_eq!(write(7), behind_everything, "perhaps read by what made a tensor");
    }
}
