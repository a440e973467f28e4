//! Messages of a topic in time: how often they come, and how their stamps lie to the clocks.

use std::time::Duration;

/// Messages of a topic in time.
#[derive(Clone, Debug, Default)]
pub struct Arrivals {
    count: u64,
    unstamped: u64,
    first: Duration,
    last: Duration,
    longest_gap: Duration,
    /// Seconds from the stamp to the arrival.
    age_s: Option<Span>,
    /// Seconds from the stamp to the newest time on `/clock`.
    simulated_age_s: Option<Span>,
}

/// Lowest and highest of some numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// Lowest number.
    pub low: f64,
    /// Highest number.
    pub high: f64,
}

impl Span {
    fn with(span: Option<Self>, value: f64) -> Self {
        match span {
            None => Self {
                low: value,
                high: value,
            },
            Some(span) => Self {
                low: span.low.min(value),
                high: span.high.max(value),
            },
        }
    }
}

impl Arrivals {
    /// Adds a message that came at `now`. `simulated`: the newest time on `/clock` then.
    pub fn add(&mut self, now: Duration, stamp: Option<Duration>, simulated: Option<Duration>) {
        match self.count {
            0 => self.first = now,
            _ => self.longest_gap = self.longest_gap.max(now.saturating_sub(self.last)),
        }
        self.last = now;
        self.count += 1;
        let Some(stamp) = stamp else {
            self.unstamped += 1;
            return;
        };
        let seconds_since = |now: Duration| now.as_secs_f64() - stamp.as_secs_f64();
        self.age_s = Some(Span::with(self.age_s, seconds_since(now)));
        if let Some(simulated) = simulated {
            self.simulated_age_s = Some(Span::with(self.simulated_age_s, seconds_since(simulated)));
        }
    }

    /// Number of messages.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Messages a second between the first and the last; `None` with fewer than two.
    pub fn rate_hz(&self) -> Option<f64> {
        let seconds = self.last.saturating_sub(self.first).as_secs_f64();
        (self.count > 1 && seconds > 0.0).then(|| (self.count - 1) as f64 / seconds)
    }

    /// Longest time between two messages.
    pub fn longest_gap(&self) -> Duration {
        self.longest_gap
    }

    /// Whether a message came without a stamp.
    pub fn has_unstamped(&self) -> bool {
        self.unstamped > 0
    }

    /// How old messages were at their arrival in seconds, by the machine's time or by `/clock`; negative for stamps that
    /// are ahead. `None` where no stamp could be compared.
    pub fn age_s(&self, is_simulated: bool) -> Option<Span> {
        match is_simulated {
            true => self.simulated_age_s,
            false => self.age_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn rate_gap_and_age_are_those_of_the_messages() {
        let mut arrivals = Arrivals::default();
        assert_eq!(arrivals.rate_hz(), None);
        for (now, stamp) in [(1000, 990), (1100, 1080), (1400, 1390), (1500, 1520)] {
            arrivals.add(ms(now), Some(ms(stamp)), None);
        }
        assert_eq!((arrivals.count(), arrivals.longest_gap()), (4, ms(300)));
        assert!((arrivals.rate_hz().unwrap() - 6.0).abs() < 1e-9);
        let age = arrivals.age_s(false).unwrap();
        assert!(
            (age.low + 0.02).abs() < 1e-9 && (age.high - 0.02).abs() < 1e-9,
            "{age:?}"
        );
        assert_eq!((arrivals.age_s(true), arrivals.has_unstamped()), (None, false));
    }

    #[test]
    fn stamps_are_compared_with_simulated_time_where_there_is_some_and_are_missing_where_they_are_not_set() {
        let mut arrivals = Arrivals::default();
        arrivals.add(ms(1_000_000), Some(ms(40)), Some(ms(50)));
        arrivals.add(ms(1_000_000), None, Some(ms(50)));
        let age = arrivals.age_s(true).unwrap();
        assert!((age.low - 0.01).abs() < 1e-9, "{age:?}");
        assert!(arrivals.age_s(false).unwrap().low > 900.0);
        assert!(arrivals.has_unstamped());
    }
}
