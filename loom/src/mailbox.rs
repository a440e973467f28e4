//! The mailboxes between inference and control in every order in which their threads can run, by loom's model of them.
#![cfg(all(test, loom))]

/// Loom's primitives under the names of the library's.
mod sync {
    use std::fmt;

    pub use loom::sync::MutexGuard;
    pub use loom::sync::atomic::{AtomicBool, Ordering};

    pub struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }

        pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }

    impl<T: Default> Default for Mutex<T> {
        fn default() -> Self {
            Self::new(T::default())
        }
    }

    impl<T> fmt::Debug for Mutex<T> {
        fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("Mutex")
        }
    }
}

mod control {
    /// A chunk by its number.
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub struct TimedChunk(pub u64);
}

#[path = "../../src/locking.rs"]
#[allow(dead_code)]
mod locking;
#[path = "../../src/runtime/mailbox.rs"]
#[allow(dead_code)]
mod mailbox;

use control::TimedChunk;
use locking::Locking;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use mailbox::{ChunkSlot, NewChunk, Shared};

fn chunk(number: u64) -> NewChunk {
    NewChunk {
        chunk: TimedChunk(number),
        clock_resets: 0,
    }
}

fn taken(slot: &ChunkSlot, locking: Locking) -> Option<u64> {
    slot.take(locking)?.chunk.map(|new| new.chunk.0)
}

#[test]
fn the_newest_chunk_arrives_once_and_none_after_a_newer_one() {
    loom::model(|| {
        let slot = Arc::new(ChunkSlot::default());
        let inference = thread::spawn({
            let slot = Arc::clone(&slot);
            move || (1..=2).for_each(|number| slot.put(chunk(number)))
        });
        let mut seen: Vec<u64> = (0..3).filter_map(|_| taken(&slot, Locking::Try)).collect();
        inference.join().unwrap();
        seen.extend(taken(&slot, Locking::Wait));
        assert!(matches!(seen[..], [2] | [1, 2]), "{seen:?}");
        assert_eq!(taken(&slot, Locking::Wait), None);
    });
}

#[test]
fn nothing_is_pending_only_once_control_s_report_covers_the_chunk_that_was_put() {
    loom::model(|| {
        let slot = Arc::new(ChunkSlot::default());
        let reported = Arc::new(AtomicBool::new(false));
        slot.put(chunk(1));
        let control = thread::spawn({
            let (slot, reported) = (Arc::clone(&slot), Arc::clone(&reported));
            move || {
                if taken(&slot, Locking::Try).is_some() {
                    reported.store(true, Ordering::Relaxed);
                    slot.report_published();
                }
            }
        });
        if !slot.is_pending() {
            assert!(
                reported.load(Ordering::Relaxed),
                "nobody has reported on the chunk"
            );
        }
        control.join().unwrap();
    });
}

#[test]
fn a_value_is_seen_whole_and_a_thread_that_must_not_wait_keeps_what_it_had() {
    loom::model(|| {
        let shared = Arc::new(Shared::new([0, 0]));
        let writer = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.set([1, 1])
        });
        let mut copy = [7, 7];
        shared.refresh(&mut copy, Locking::Try);
        assert!(matches!(copy, [7, 7] | [0, 0] | [1, 1]), "{copy:?}");
        writer.join().unwrap();
        shared.refresh(&mut copy, Locking::Wait);
        assert_eq!(copy, [1, 1]);
    });
}

#[test]
fn a_chunk_that_is_not_finite_is_known_until_the_next_one_is_put() {
    loom::model(|| {
        let slot = Arc::new(ChunkSlot::default());
        let inference = thread::spawn({
            let slot = Arc::clone(&slot);
            move || {
                slot.put_not_finite("NaN".to_owned());
                slot.put(chunk(2));
            }
        });
        for _ in 0..2 {
            if let Some(newest) = slot.take(Locking::Try) {
                assert!(newest.chunk.is_none() || newest.not_finite.is_none());
            }
        }
        inference.join().unwrap();
        let newest = slot.take(Locking::Wait).unwrap();
        assert_eq!(newest.not_finite, None);
    });
}

#[test]
fn control_ends_its_tick_while_a_thread_that_waits_for_it_holds_every_lock() {
    loom::model(|| {
        let slot = Arc::new(ChunkSlot::default());
        let shared = Arc::new(Shared::new(0));
        let held = (slot.locked(), shared.locked());
        let control = thread::spawn({
            let (slot, shared) = (Arc::clone(&slot), Arc::clone(&shared));
            move || {
                let mut copy = 7;
                shared.refresh(&mut copy, Locking::Try);
                (copy, taken(&slot, Locking::Try))
            }
        });
        assert_eq!(control.join().unwrap(), (7, None));
        drop(held);
    });
}
