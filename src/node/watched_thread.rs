//! Threads whose end is told, unless it was meant.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::NodeError;

/// A thread that tells its name when it ends, however it ends, before anyone wants it to.
#[derive(Debug)]
pub struct WatchedThread {
    name: &'static str,
    end_is_meant: Arc<AtomicBool>,
    handle: JoinHandle<()>,
}

impl WatchedThread {
    /// Begins `work`. `ending` is told the name when it ends by itself.
    ///
    /// # Errors
    /// When the system has no thread.
    pub fn spawn(
        name: &'static str,
        ending: &UnboundedSender<&'static str>,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<Self, NodeError> {
        let end_is_meant = Arc::<AtomicBool>::default();
        let end = End {
            name,
            is_meant: Arc::clone(&end_is_meant),
            ending: ending.clone(),
        };
        let handle = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let _end = end;
                work();
            })
            .map_err(|source| NodeError::System { what: name, source })?;
        Ok(Self {
            name,
            end_is_meant,
            handle,
        })
    }

    /// To be called before the thread is told to end.
    pub fn mean_the_end(&self) {
        self.end_is_meant.store(true, Ordering::Relaxed);
    }

    /// Waits for the end.
    pub fn join(self) {
        if self.handle.join().is_err() {
            tracing::error!("the {} thread panicked", self.name);
        }
    }

    /// The same for no longer than `patience`; whether it ended.
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

struct End {
    name: &'static str,
    is_meant: Arc<AtomicBool>,
    ending: UnboundedSender<&'static str>,
}

impl Drop for End {
    fn drop(&mut self) {
        if !self.is_meant.load(Ordering::Relaxed) {
            // Nobody listens once the node is stopping.
            let _ = self.ending.send(self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    #[test]
    fn an_end_is_told_when_nobody_meant_it_even_by_a_panic() {
        let (ending, mut ended) = unbounded_channel();
        WatchedThread::spawn("broken", &ending, || panic!("on purpose"))
            .unwrap()
            .join();
        assert_eq!(ended.try_recv(), Ok("broken"));
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let thread = WatchedThread::spawn("told", &ending, move || {
            let _ = wait.recv();
        });
        let thread = thread.unwrap();
        thread.mean_the_end();
        drop(go_on);
        thread.join();
        assert!(ended.try_recv().is_err());
    }

    #[test]
    fn a_thread_that_works_on_is_not_waited_for_longer_than_the_patience() {
        let (ending, _ended) = unbounded_channel();
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let thread = WatchedThread::spawn("busy", &ending, move || {
            let _ = wait.recv();
        });
        assert!(!thread.unwrap().join_within(Duration::from_millis(20)));
        drop(go_on);
    }
}
