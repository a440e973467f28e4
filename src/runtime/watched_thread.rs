//! Threads whose unexpected end is reported.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Receives the name of a thread that ends unexpectedly.
pub type UnexpectedExit = Arc<dyn Fn(&'static str) + Send + Sync>;

/// A thread that reports its name when it ends, by a return or by a panic, before its end is expected.
#[derive(Debug)]
pub struct WatchedThread {
    name: &'static str,
    exit_is_expected: Arc<AtomicBool>,
    handle: JoinHandle<()>,
}

impl WatchedThread {
    /// Starts `work` on a thread of this name.
    ///
    /// # Errors
    /// When the system has no thread.
    pub fn spawn(
        name: &'static str,
        on_unexpected_exit: &UnexpectedExit,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let exit_is_expected = Arc::<AtomicBool>::default();
        let exit = Exit {
            name,
            is_expected: Arc::clone(&exit_is_expected),
            on_unexpected_exit: Arc::clone(on_unexpected_exit),
        };
        let handle = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _exit = exit;
            work();
        })?;
        Ok(Self {
            name,
            exit_is_expected,
            handle,
        })
    }

    /// Marks the coming exit as intentional.
    pub fn expect_exit(&self) {
        self.exit_is_expected.store(true, Ordering::Relaxed);
    }

    /// Waits for the end.
    pub fn join(self) {
        if self.handle.join().is_err() {
            tracing::error!("the {} thread panicked", self.name);
        }
    }

    /// Waits for the end, for no longer than `patience`; answers whether the thread ended.
    pub fn join_within(self, patience: Duration) -> bool {
        let started = Instant::now();
        while !self.handle.is_finished() {
            if started.elapsed() >= patience {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.join();
        true
    }
}

struct Exit {
    name: &'static str,
    is_expected: Arc<AtomicBool>,
    on_unexpected_exit: UnexpectedExit,
}

impl Drop for Exit {
    fn drop(&mut self) {
        if !self.is_expected.load(Ordering::Relaxed) {
            (self.on_unexpected_exit)(self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    fn unexpected_exits() -> (UnexpectedExit, Receiver<&'static str>) {
        let (sender, receiver) = channel();
        let report = move |name| sender.send(name).expect("the test listens");
        (Arc::new(report), receiver)
    }

    #[test]
    fn an_exit_is_reported_unless_it_is_expected_even_after_a_panic() {
        let (report, exits) = unexpected_exits();
        WatchedThread::spawn("broken", &report, || panic!("on purpose"))
            .unwrap()
            .join();
        assert_eq!(exits.try_recv(), Ok("broken"));
        let (go_on, wait) = channel::<()>();
        let thread = WatchedThread::spawn("stopped", &report, move || {
            let _ = wait.recv();
        });
        let thread = thread.unwrap();
        thread.expect_exit();
        drop(go_on);
        thread.join();
        assert!(exits.try_recv().is_err());
    }

    #[test]
    fn a_thread_that_works_on_is_not_waited_for_longer_than_the_patience() {
        let (report, _exits) = unexpected_exits();
        let (go_on, wait) = channel::<()>();
        let thread = WatchedThread::spawn("busy", &report, move || {
            let _ = wait.recv();
        });
        let thread = thread.unwrap();
        thread.expect_exit();
        assert!(!thread.join_within(Duration::from_millis(20)));
        drop(go_on);
    }
}
