//! The time of the stamps: the system's, or a simulation's from `/clock`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::{Condvar, Mutex};

/// The node's clock (ROS time), shared by everything that stamps or compares stamps.
#[derive(Debug)]
pub struct Clock {
    simulation: Option<Simulation>,
    resets: AtomicU64,
}

#[derive(Debug, Default)]
struct Simulation {
    now: Mutex<Option<Duration>>,
    changed: Condvar,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self {
            simulation: None,
            resets: AtomicU64::new(0),
        }
    }

    /// A clock that stands still until it is [set](Self::set).
    pub fn simulated() -> Self {
        Self {
            simulation: Some(Simulation::default()),
            resets: AtomicU64::new(0),
        }
    }

    /// Whether time comes from a simulation.
    pub fn is_simulated(&self) -> bool {
        self.simulation.is_some()
    }

    /// Time since the epoch; none before the first message of a simulation's clock.
    pub fn now(&self) -> Option<Duration> {
        match &self.simulation {
            Some(simulation) => *simulation.now.lock(),
            None => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok(),
        }
    }

    /// Number of resets: simulated time jumped back, or [`reset`](Self::reset) was called. Data from before a reset is void.
    pub fn resets(&self) -> u64 {
        self.resets.load(Ordering::Acquire)
    }

    /// Makes everything from before void.
    pub fn reset(&self) {
        self.resets.fetch_add(1, Ordering::AcqRel);
    }

    /// Sets simulated time, and returns whether it jumped back. The system's clock is not set.
    pub fn set(&self, now: Duration) -> bool {
        let Some(simulation) = &self.simulation else {
            return false;
        };
        let mut time = simulation.now.lock();
        let jumped_back = time.is_some_and(|previous| now < previous);
        if jumped_back {
            self.reset();
        }
        *time = Some(now);
        simulation.changed.notify_all();
        jumped_back
    }

    /// Waits until simulated time is another than `seen`, at most `patience`. At once on the system's clock.
    pub fn wait_for_change(&self, seen: Option<Duration>, patience: Duration) {
        if let Some(simulation) = &self.simulation {
            let unchanged = |now: &mut Option<Duration>| *now == seen;
            let mut time = simulation.now.lock();
            // Whoever was woken reads the clock again, so it does not matter here what ended the wait.
            let _ = simulation.changed.wait_while_for(&mut time, unchanged, patience);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulated_time_is_unknown_until_it_is_set() {
        let clock = Clock::simulated();
        assert_eq!(clock.now(), None);
        clock.set(Duration::from_secs(3));
        assert_eq!(clock.now(), Some(Duration::from_secs(3)));
    }

    #[test]
    fn a_jump_back_is_counted() {
        let clock = Clock::simulated();
        for (seconds, jumps) in [(5, false), (6, false), (6, false), (1, true), (2, false)] {
            assert_eq!(clock.set(Duration::from_secs(seconds)), jumps, "{seconds}");
        }
        assert_eq!(clock.resets(), 1);
    }

    #[test]
    fn every_clock_can_be_reset() {
        for clock in [Clock::simulated(), Clock::system()] {
            clock.reset();
            assert_eq!(clock.resets(), 1);
        }
    }
}
