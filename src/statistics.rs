//! Summary statistics of measurements: percentiles by nearest rank, and a window over the newest values.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Count, mean, percentiles and maximum of a set of values; all zero for an empty one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of values.
    pub count: usize,
    /// Arithmetic mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest value.
    pub max: f64,
}

impl Summary {
    /// Summarises values in any order.
    pub fn of(values: &[f64]) -> Self {
        let sorted = sorted(values.iter());
        let percentile = |percent| nearest_rank(&sorted, percent).unwrap_or_default();
        Self {
            count: sorted.len(),
            mean: mean(sorted.iter()).unwrap_or_default(),
            p50: percentile(50.0),
            p99: percentile(99.0),
            max: percentile(100.0),
        }
    }
}

/// Newest values, up to a fixed number of them.
#[derive(Clone, Debug)]
pub struct Window {
    values: VecDeque<f64>,
    capacity: usize,
}

impl Window {
    /// Creates an empty window that keeps `capacity` values.
    pub fn new(capacity: usize) -> Self {
        Self {
            values: VecDeque::with_capacity(capacity),
            capacity,
        }
    }

    /// Adds a value, and drops the oldest one when the window is full.
    pub fn push(&mut self, value: f64) {
        if self.values.len() == self.capacity {
            self.values.pop_front();
        }
        self.values.push_back(value);
    }

    /// Moves all values of another window into this one.
    pub fn append(&mut self, newer: &mut Self) {
        newer.values.drain(..).for_each(|value| self.push(value));
    }

    /// Arithmetic mean; `None` for an empty window.
    pub fn mean(&self) -> Option<f64> {
        mean(self.values.iter())
    }

    /// Value at a percentile, see [`percentile`].
    pub fn percentile(&self, percent: f64) -> Option<f64> {
        percentile(self.values.iter(), percent)
    }
}

/// Nearest-rank percentile: the smallest value that `percent` of all values do not exceed; `None` without values.
pub fn percentile<'a>(values: impl Iterator<Item = &'a f64>, percent: f64) -> Option<f64> {
    nearest_rank(&sorted(values), percent)
}

fn mean<'a>(values: impl ExactSizeIterator<Item = &'a f64>) -> Option<f64> {
    let count = values.len();
    (count > 0).then(|| values.sum::<f64>() / count as f64)
}

fn sorted<'a>(values: impl Iterator<Item = &'a f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.copied().collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn nearest_rank(sorted: &[f64], percent: f64) -> Option<f64> {
    let rank = (percent * sorted.len() as f64 / 100.0).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_value_of_the_nearest_rank() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        let at = |percent| percentile(values.iter(), percent);
        assert_eq!(
            [0.0, 50.0, 99.0, 99.5, 100.0].map(at),
            [1.0, 100.0, 198.0, 199.0, 200.0].map(Some)
        );
        assert_eq!(percentile([1.0, 2.0].iter(), 50.0), Some(1.0));
        assert_eq!(percentile([].iter(), 50.0), None);
    }

    #[test]
    fn a_summary_has_the_percentiles_of_its_values() {
        let summary = Summary::of(&[5.0, 1.0, 3.0]);
        let expected = Summary {
            count: 3,
            mean: 3.0,
            p50: 3.0,
            p99: 5.0,
            max: 5.0,
        };
        assert_eq!(summary, expected);
        assert_eq!(Summary::of(&[]), Summary::default());
    }

    #[test]
    fn a_window_measures_its_newest_values() {
        let mut window = Window::new(100);
        assert_eq!((window.percentile(50.0), window.mean()), (None, None));
        for value in 0..=1000 {
            window.push(f64::from(value));
        }
        assert_eq!(window.percentile(50.0), Some(950.0));
        assert_eq!(window.percentile(99.0), Some(999.0));
        assert_eq!(window.mean(), Some(950.5));
    }
}
