//! Work on several threads.

use std::any::Any;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle, available_parallelism};
use std::time::{Duration, Instant};

use crate::device::{DeviceError, Result};

/// Elementary operations below which work is not shared: another thread takes as long to begin.
const WORTH_SHARING: usize = 2_000_000;

/// Time for which an idle thread spins before it sleeps. The operations of a chunk follow each other faster,
/// and waking a thread takes longer than many of them.
const AWAKE: Duration = Duration::from_micros(200);

/// The threads of a CPU device: the one that calls, and others that help it.
///
/// Work is a number of tasks, which threads take one after the other, so that one that is slowed down by
/// something else takes fewer. One caller at a time is helped: a second one, or a task that calls again, does
/// its work alone.
pub(super) struct Threads {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
}

/// State that the threads share.
#[derive(Default)]
struct Shared {
    work: Mutex<Work>,
    /// Wakes sleepers when there is new work.
    news: Condvar,
    /// Copy of `Work::round`, to be read without its lock.
    round: AtomicU64,
    /// Helpers in the current work, to be read without its lock.
    active: AtomicUsize,
    /// The next task of the current work.
    next: AtomicUsize,
    /// Held by the caller that is helped.
    helped: Mutex<()>,
}

#[derive(Default)]
struct Work {
    /// Number of pieces of work so far.
    round: u64,
    /// `None` while there is nothing to help with.
    tasks: Option<Tasks>,
    stopped: bool,
    /// Panic of a helper's task.
    panic: Option<Box<dyn Any + Send>>,
}

/// Calls to make, of a closure that lives until its caller has seen that no helper is active.
#[derive(Clone, Copy)]
struct Tasks {
    task: *const (dyn Fn(usize) + Sync),
    count: usize,
}

// SAFETY: the closure may be called by several threads, and outlives the work.
unsafe impl Send for Tasks {}

impl Threads {
    /// Starts `count` threads; 0 for as many as the machine runs at once.
    pub fn new(count: usize) -> Result<Self> {
        let count = match count {
            0 => available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let shared = Arc::new(Shared::default());
        let mut threads = Self {
            shared,
            helpers: Vec::new(),
        };
        for index in 1..count {
            let shared = Arc::clone(&threads.shared);
            let helper = Builder::new()
                .name(format!("cpu-device-{index}"))
                .spawn(move || shared.help())
                .map_err(|error| {
                    DeviceError::Unavailable(format!("could not start {count} threads: {error}"))
                })?;
            threads.helpers.push(helper);
        }
        Ok(threads)
    }

    pub fn count(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Calls `task` for every index below `count`; `operations` is the whole work, in elementary operations.
    pub fn for_each(&self, count: usize, operations: usize, task: impl Fn(usize) + Sync) {
        if operations > WORTH_SHARING && count > 1 && !self.helpers.is_empty() {
            self.shared.run(count, &task);
        } else {
            (0..count).for_each(task);
        }
    }

    /// Calls `task` for every chunk of `length` values, with the chunk's index.
    pub fn for_each_chunk<T: Send>(
        &self,
        values: &mut [T],
        length: usize,
        operations: usize,
        task: impl Fn(usize, &mut [T]) + Sync,
    ) {
        let chunks = Chunks {
            values: values.as_mut_ptr(),
            count: values.len(),
            length,
        };
        self.for_each(values.len().div_ceil(length), operations, |index| {
            // SAFETY: every index is that of a chunk, and is taken once.
            task(index, unsafe { chunks.chunk(index) });
        });
    }

    /// Calls `work` on every thread at the same time.
    pub fn on_each(&self, work: impl Fn() + Sync) {
        let arrived = AtomicUsize::new(0);
        self.shared.run(self.count(), &|_| {
            // A thread that has not arrived would leave its task to another one.
            arrived.fetch_add(1, Ordering::Relaxed);
            while arrived.load(Ordering::Relaxed) < self.count() {
                spin_loop();
            }
            work();
        });
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.round.fetch_add(1, Ordering::Release);
        self.shared.news.notify_all();
        for helper in self.helpers.drain(..) {
            // Panics of tasks were passed on to their callers.
            let _ = helper.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Work> {
        // Nothing panics while the lock is held.
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `task` for every index below `count`, with the helpers' help if nobody else has it.
    fn run(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        let Ok(helped) = self.helped.try_lock() else {
            return (0..count).for_each(task);
        };
        // SAFETY: `Withdrawal` ends only when no helper can call the task any more.
        let task: &'static (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(task) };
        let tasks = Tasks { task, count };
        self.next.store(0, Ordering::Relaxed);
        let mut work = self.lock();
        work.round += 1;
        work.tasks = Some(tasks);
        self.round.store(work.round, Ordering::Release);
        drop(work);
        self.news.notify_all();
        let withdrawal = Withdrawal(self);
        self.take(tasks);
        drop(withdrawal);
        let panic = self.lock().panic.take();
        // Before a panic, which would poison it.
        drop(helped);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Runs tasks until none is left.
    fn take(&self, Tasks { task, count }: Tasks) {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return;
            }
            // SAFETY: the caller waits for helpers that are active.
            unsafe { (*task)(index) };
        }
    }

    /// Loop of a helper thread.
    fn help(&self) {
        let mut seen = 0;
        loop {
            self.look_for_work(seen);
            let mut work = self.lock();
            while work.round == seen && !work.stopped {
                work = self.news.wait(work).unwrap_or_else(PoisonError::into_inner);
            }
            if work.stopped {
                return;
            }
            seen = work.round;
            let Some(tasks) = work.tasks else {
                continue;
            };
            self.active.fetch_add(1, Ordering::Relaxed);
            drop(work);
            let result = catch_unwind(AssertUnwindSafe(|| self.take(tasks)));
            if let Err(panic) = result {
                self.lock().panic.get_or_insert(panic);
            }
            self.active.fetch_sub(1, Ordering::Release);
        }
    }

    /// Waits for new work, or for a while.
    fn look_for_work(&self, seen: u64) {
        let started = Instant::now();
        while self.round.load(Ordering::Acquire) == seen && started.elapsed() < AWAKE {
            for _ in 0..32 {
                spin_loop();
            }
        }
    }
}

/// Ends the current work: lets no more helpers begin, and waits for those that have.
struct Withdrawal<'a>(&'a Shared);

impl Drop for Withdrawal<'_> {
    fn drop(&mut self) {
        self.0.lock().tasks = None;
        let mut turns = 0u32;
        while self.0.active.load(Ordering::Acquire) > 0 {
            turns += 1;
            match turns % 1024 {
                // A helper may wait for this core.
                0 => std::thread::yield_now(),
                _ => spin_loop(),
            }
        }
    }
}

/// A slice whose chunks go to several threads.
struct Chunks<T> {
    values: *mut T,
    count: usize,
    length: usize,
}

// SAFETY: chunks do not overlap, and each is taken once.
unsafe impl<T: Send> Sync for Chunks<T> {}

impl<T> Chunks<T> {
    /// # Safety
    /// The index is that of a chunk that nobody else has.
    #[expect(clippy::mut_from_ref, reason = "each chunk is taken once")]
    unsafe fn chunk(&self, index: usize) -> &mut [T] {
        let start = index * self.length;
        let length = self.length.min(self.count - start);
        // SAFETY: the chunk is inside of the values and, as promised, nobody else's.
        unsafe { std::slice::from_raw_parts_mut(self.values.add(start), length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: usize = WORTH_SHARING + 1;

    #[test]
    fn every_task_is_done_once_however_many_threads_there_are() {
        for count in [1, 2, 3, 8] {
            let threads = Threads::new(count).unwrap();
            assert_eq!(threads.count(), count);
            for tasks in [0, 1, 2, 100, 1000] {
                let done: Vec<_> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                threads.for_each(tasks, SHARED, |index| {
                    done[index].fetch_add(1, Ordering::Relaxed);
                });
                assert!(done.into_iter().all(|done| done.into_inner() == 1));
            }
        }
    }

    #[test]
    fn chunks_are_those_of_the_slice() {
        let threads = Threads::new(3).unwrap();
        let mut values = [0; 1000];
        threads.for_each_chunk(&mut values, 7, SHARED, |index, chunk| {
            chunk.fill(index);
        });
        assert!(
            values
                .iter()
                .enumerate()
                .all(|(index, value)| *value == index / 7)
        );
    }

    #[test]
    fn a_task_may_share_work_itself() {
        let threads = Threads::new(2).unwrap();
        let done = AtomicUsize::new(0);
        threads.for_each(10, SHARED, |_| {
            threads.for_each(10, SHARED, |_| {
                done.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(done.into_inner(), 100);
    }

    #[test]
    fn several_callers_get_all_of_their_work_done() {
        let threads = Threads::new(3).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let done = AtomicUsize::new(0);
                        threads.for_each(20, SHARED, |_| {
                            done.fetch_add(1, Ordering::Relaxed);
                        });
                        assert_eq!(done.into_inner(), 20);
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_of_a_task_reaches_the_caller_and_threads_go_on() {
        let threads = Threads::new(2).unwrap();
        for bad in 0..8 {
            let result = catch_unwind(AssertUnwindSafe(|| {
                threads.for_each(8, SHARED, |index| assert_ne!(index, bad));
            }));
            assert!(result.is_err(), "task {bad}");
            let done = AtomicUsize::new(0);
            threads.for_each(8, SHARED, |_| {
                done.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(done.into_inner(), 8);
        }
    }

    #[test]
    fn helpers_that_sleep_are_woken() {
        let threads = Threads::new(2).unwrap();
        for _ in 0..3 {
            std::thread::sleep(5 * AWAKE);
            let calls = AtomicUsize::new(0);
            threads.on_each(|| {
                calls.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(calls.into_inner(), 2);
        }
    }
}
