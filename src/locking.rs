//! Locks of threads that must keep a rate.

use crate::sync::{Mutex, MutexGuard};

/// Whether a thread may wait for a lock. One that keeps a rate must not: the other thread may be one of low priority that
/// the system lets run much later (priority inversion).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locking {
    /// Waits until the lock is free.
    Wait,
    /// Skips a lock that is held.
    Try,
}

impl Locking {
    /// The lock; none where another thread holds it and this one must not wait.
    pub(crate) fn lock<T>(self, mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
        match self {
            Self::Wait => Some(mutex.lock()),
            Self::Try => mutex.try_lock(),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_held_is_skipped_by_a_thread_that_must_not_wait() {
        let mutex = Mutex::new(1);
        assert!(Locking::Try.lock(&mutex).is_some());
        let held = mutex.lock();
        assert!(Locking::Try.lock(&mutex).is_none());
        drop(held);
        assert_eq!(Locking::Wait.lock(&mutex).as_deref(), Some(&1));
    }
}
