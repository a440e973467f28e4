//! When the next tick is due.

use std::time::Duration;

/// A deadline reached to within this share of a period is reached: simulations step in rounded times.
const TOLERANCE: u32 = 100;

/// Deadlines at whole periods after the first, whatever each tick took, so that no drift adds up.
#[derive(Clone, Debug)]
pub struct TickSchedule {
    period: Duration,
    deadline: Option<Duration>,
    newest_time: Duration,
}

impl TickSchedule {
    /// # Panics
    /// When the period is zero.
    pub fn new(period: Duration) -> Self {
        assert!(!period.is_zero(), "a schedule needs a period");
        Self {
            period,
            deadline: None,
            newest_time: Duration::ZERO,
        }
    }

    /// Time between ticks.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Whether a tick is due at `now`; if so the deadline moves to the next period after `now`. Periods that were
    /// missed are one tick. When time jumps back the schedule begins anew.
    pub fn is_due(&mut self, now: Duration) -> bool {
        if now < self.newest_time {
            self.deadline = None;
        }
        self.newest_time = now;
        let Some(deadline) = self.deadline else {
            self.deadline = Some(now + self.period);
            return true;
        };
        let reached = now + self.period / TOLERANCE;
        if reached < deadline {
            return false;
        }
        let missed = (reached - deadline).as_nanos() / self.period.as_nanos();
        let periods = u32::try_from(missed + 1).unwrap_or(u32::MAX);
        self.deadline = Some(deadline + self.period.saturating_mul(periods));
        true
    }

    /// Time from `now` to the next deadline.
    pub fn until_due(&self, now: Duration) -> Duration {
        self.deadline
            .map_or(Duration::ZERO, |deadline| deadline.saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(schedule: &mut TickSchedule, milliseconds: impl IntoIterator<Item = u64>) -> usize {
        let due = milliseconds
            .into_iter()
            .filter(|&time| schedule.is_due(Duration::from_millis(time)));
        due.count()
    }

    #[test]
    fn late_ticks_do_not_shift_the_deadlines_after_them() {
        let mut schedule = TickSchedule::new(Duration::from_millis(20));
        assert_eq!(ticks(&mut schedule, [0, 27, 40, 67, 80]), 5);
        assert_eq!(
            schedule.until_due(Duration::from_millis(80)),
            Duration::from_millis(20)
        );
    }

    #[test]
    fn missed_periods_are_one_tick() {
        let mut schedule = TickSchedule::new(Duration::from_millis(20));
        assert_eq!(ticks(&mut schedule, [0, 105, 106, 119, 120]), 3);
    }

    #[test]
    fn a_clock_that_steps_in_rounded_periods_gives_a_tick_each_step() {
        let mut schedule = TickSchedule::new(Duration::from_millis(20));
        let due = (0..100).filter(|step| {
            let rounded = step * 20_000_000 - u64::from(step % 3 == 1);
            schedule.is_due(Duration::from_nanos(rounded))
        });
        assert_eq!(due.count(), 100);
    }

    #[test]
    fn a_fine_clock_gives_a_tick_each_period() {
        let mut schedule = TickSchedule::new(Duration::from_millis(20));
        assert_eq!(ticks(&mut schedule, 0..200), 10);
    }

    #[test]
    fn a_jump_back_in_time_begins_anew() {
        let mut schedule = TickSchedule::new(Duration::from_millis(20));
        assert_eq!(ticks(&mut schedule, [5000, 5020, 0, 10, 20]), 4);
    }
}
