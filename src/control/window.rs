//! Figures over the newest measurements.

use std::collections::VecDeque;

/// The newest measurements, at most as many as it was made for.
#[derive(Clone, Debug)]
pub struct Window {
    values: VecDeque<f64>,
    capacity: usize,
}

impl Window {
    pub fn new(capacity: usize) -> Self {
        Self {
            values: VecDeque::with_capacity(capacity),
            capacity,
        }
    }

    pub fn push(&mut self, value: f64) {
        if self.values.len() == self.capacity {
            self.values.pop_front();
        }
        self.values.push_back(value);
    }

    /// Takes the measurements of another one, which has none afterwards.
    pub fn append(&mut self, newer: &mut Self) {
        newer.values.drain(..).for_each(|value| self.push(value));
    }

    /// None without measurements.
    pub fn mean(&self) -> Option<f64> {
        let sum: f64 = self.values.iter().sum();
        (!self.values.is_empty()).then(|| sum / self.values.len() as f64)
    }

    /// The smallest measurement that `percent` of all measurements do not exceed; none without measurements.
    pub fn percentile(&self, percent: f64) -> Option<f64> {
        let mut sorted: Vec<f64> = self.values.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted
            .get(rank.saturating_sub(1).min(sorted.len().saturating_sub(1)))
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_newest_measurements() {
        let mut window = Window::new(100);
        for value in 0..=1000 {
            window.push(f64::from(value));
        }
        assert_eq!(window.percentile(50.0), Some(950.0));
        assert_eq!(window.percentile(99.0), Some(999.0));
        assert_eq!(window.mean(), Some(950.5));
    }

    #[test]
    fn without_measurements_there_are_no_figures() {
        let window = Window::new(3);
        assert_eq!((window.percentile(50.0), window.mean()), (None, None));
    }
}
