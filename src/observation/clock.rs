//! The time of the stamps: the system's, or a simulation's from `/clock`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Condvar, Mutex};

/// Wall time without a change after which simulated time counts as stopped; slow simulations still step several times in it.
const STANDSTILL: Duration = Duration::from_secs(2);

/// The node's clock (ROS time), shared by everything that stamps or compares stamps.
#[derive(Debug)]
pub struct Clock {
    simulation: Option<Simulation>,
    resets: AtomicU64,
}

#[derive(Debug)]
struct Simulation {
    time: Mutex<SimulatedTime>,
    changed: Condvar,
}

#[derive(Debug)]
struct SimulatedTime {
    now: Option<Duration>,
    /// When `now` last became another, or when the wait for the first time began.
    changed_at: Instant,
}

/// State of a clock, for diagnostics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClockReport {
    /// Time since the epoch; none before the first message of a simulation's clock.
    pub now: Option<Duration>,
    /// Wall time for which simulated time has been the same or unknown; none on the system's clock.
    pub unchanged_for: Option<Duration>,
}

impl ClockReport {
    /// Whether simulated time stopped, or did not begin within that time.
    pub fn is_stopped(&self) -> bool {
        self.unchanged_for.is_some_and(|unchanged| unchanged > STANDSTILL)
    }

    /// Why there is no time now, in words; none while time goes on. The node publishes nothing then, because commands without
    /// time have no stamps.
    pub fn standstill(&self) -> Option<String> {
        let unchanged_for = self.unchanged_for?;
        match self.now {
            None => Some(
                "use_sim_time is set and no message came on /clock: start the simulation or play the bag with --clock, or \
                 set use_sim_time to false"
                    .to_owned(),
            ),
            Some(now) if self.is_stopped() => Some(format!(
                "/clock has been at {:.3} s for {:.1} s: let the simulation or the bag go on, or set use_sim_time to false",
                now.as_secs_f64(),
                unchanged_for.as_secs_f64()
            )),
            Some(_) => None,
        }
    }
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
            simulation: Some(Simulation {
                time: Mutex::new(SimulatedTime {
                    now: None,
                    changed_at: Instant::now(),
                }),
                changed: Condvar::new(),
            }),
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
            Some(simulation) => simulation.time.lock().now,
            None => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok(),
        }
    }

    /// State of the clock at this moment.
    pub fn report(&self) -> ClockReport {
        let Some(simulation) = &self.simulation else {
            return ClockReport {
                now: self.now(),
                unchanged_for: None,
            };
        };
        let time = simulation.time.lock();
        ClockReport {
            now: time.now,
            unchanged_for: Some(time.changed_at.elapsed()),
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
        let mut time = simulation.time.lock();
        let jumped_back = time.now.is_some_and(|previous| now < previous);
        if jumped_back {
            self.reset();
        }
        if time.now != Some(now) {
            *time = SimulatedTime {
                now: Some(now),
                changed_at: Instant::now(),
            };
        }
        simulation.changed.notify_all();
        jumped_back
    }

    /// Waits until simulated time is another than `seen`, at most `patience`. At once on the system's clock.
    pub fn wait_for_change(&self, seen: Option<Duration>, patience: Duration) {
        if let Some(simulation) = &self.simulation {
            let unchanged = |time: &mut SimulatedTime| time.now == seen;
            let mut time = simulation.time.lock();
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
    fn only_a_changed_time_counts_as_time_that_goes_on() {
        let clock = Clock::simulated();
        clock.set(Duration::from_secs(3));
        std::thread::sleep(Duration::from_millis(20));
        clock.set(Duration::from_secs(3));
        let unchanged_for = |clock: &Clock| clock.report().unchanged_for.unwrap();
        assert!(unchanged_for(&clock) >= Duration::from_millis(20));
        let before = unchanged_for(&clock);
        clock.set(Duration::from_secs(4));
        assert!(unchanged_for(&clock) < before);
        assert_eq!(Clock::system().report().unchanged_for, None);
    }

    #[test]
    fn a_clock_that_stands_still_is_described_with_the_remedy() {
        let report = |now, unchanged_s| ClockReport {
            now,
            unchanged_for: Some(Duration::from_secs(unchanged_s)),
        };
        let now = Some(Duration::from_secs(12));
        assert_eq!(report(now, 1).standstill(), None);
        for (report, words) in [
            (report(now, 3), "at 12.000 s for 3.0 s"),
            (report(None, 0), "no message came on /clock"),
        ] {
            let standstill = report.standstill().unwrap();
            assert!(
                standstill.contains(words) && standstill.contains("use_sim_time"),
                "{standstill}"
            );
        }
        assert!(!report(None, 1).is_stopped() && report(None, 3).is_stopped());
        assert_eq!(Clock::system().report().standstill(), None);
    }

    #[test]
    fn every_clock_can_be_reset() {
        for clock in [Clock::simulated(), Clock::system()] {
            clock.reset();
            assert_eq!(clock.resets(), 1);
        }
    }
}
