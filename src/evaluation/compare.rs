//! Comparison of two reports: whether the second evaluation is worse.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::accuracy::{Direction, Metric};
use super::report::{BagResult, Report, number};

/// Metric of two reports.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Name of the metric.
    pub metric: &'static str,
    /// Value in the first report.
    pub before: Option<f64>,
    /// Value in the second report.
    pub after: Option<f64>,
    /// Relative change, positive for worse; `None` without one of the values.
    pub worse_by: Option<f64>,
}

/// Comparison of a report with an earlier one.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Metrics that the comparison depends on.
    pub differences: Vec<Difference>,
    /// Doubts about the comparison: other bags, other actions, other settings.
    pub warnings: Vec<String>,
    /// Relative change from which on a metric counts as worse.
    pub threshold: f64,
}

/// Change that counts as none, so that errors of zero can be compared.
const NEGLIGIBLE: f64 = 1e-9;

impl Comparison {
    /// Compares `after` with `before`.
    pub fn new(before: &Report, after: &Report, threshold: f64) -> Self {
        let metrics = before
            .combined
            .metrics()
            .into_iter()
            .zip(after.combined.metrics());
        let differences = metrics
            .filter(|(before, _)| before.decides)
            .map(|(before, after)| Difference {
                metric: before.name,
                before: before.value,
                after: after.value,
                worse_by: worse_by(before, after),
            })
            .collect();
        Self {
            differences,
            warnings: warnings(before, after),
            threshold,
        }
    }

    /// Metrics that are worse beyond the threshold, or that only the first report has.
    pub fn worse(&self) -> impl Iterator<Item = &Difference> {
        let differences = self.differences.iter();
        differences.filter(|difference| match difference.worse_by {
            Some(share) => share > self.threshold,
            None => difference.before.is_some(),
        })
    }

    /// Formats the comparison as a table.
    pub fn table(&self) -> String {
        let mut text = String::new();
        for warning in &self.warnings {
            // Writing to a text cannot fail, here and below.
            let _ = writeln!(text, "warning: {warning}");
        }
        let _ = writeln!(
            text,
            "{:<22}  {:>10}  {:>10}  {:>9}",
            "", "before", "after", "worse by"
        );
        for one in &self.differences {
            let change = match one.worse_by {
                Some(share) => format!("{:+.1} %", 100.0 * share),
                None => "–".to_owned(),
            };
            let mark = if self.worse().any(|worse| worse == one) {
                "  worse"
            } else {
                ""
            };
            let (before, after) = (number(one.before), number(one.after));
            let _ = writeln!(
                text,
                "{:<22}  {before:>10}  {after:>10}  {change:>9}{mark}",
                one.metric
            );
        }
        text
    }
}

/// Relative change of a metric, positive for worse. For a share that should be one, the rest of it is compared.
fn worse_by(before: Metric, after: Metric) -> Option<f64> {
    let distance = |metric: Metric| {
        metric.value.map(|value| match metric.better {
            Direction::Lower => value,
            Direction::Higher => 1.0 - value,
        })
    };
    let (before, after) = (distance(before)?, distance(after)?);
    if (after - before).abs() < NEGLIGIBLE {
        return Some(0.0);
    }
    Some((after - before) / before.max(NEGLIGIBLE))
}

fn warnings(before: &Report, after: &Report) -> Vec<String> {
    let mut warnings = Vec::new();
    let names = |report: &Report| -> Vec<String> {
        let name = |bag: &BagResult| bag.bag.rsplit('/').next().unwrap_or("").to_owned();
        report.bags.iter().map(name).collect()
    };
    let (bags_before, bags_after) = (names(before), names(after));
    if bags_before != bags_after {
        warnings.push(format!(
            "the bags differ: {} and {}",
            bags_before.join(", "),
            bags_after.join(", ")
        ));
    }
    let differing: BTreeSet<&str> = before
        .bags
        .iter()
        .zip(&after.bags)
        .flat_map(|(one, other)| one.settings.differing(&other.settings))
        .collect();
    warnings.extend(
        differing
            .iter()
            .map(|name| format!("{name} differs between the reports")),
    );
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::accuracy::Accuracy;

    fn report(mse: f64, direction_agreement: f64) -> Report {
        Report {
            combined: Accuracy {
                mse: Some(mse),
                direction_agreement: Some(direction_agreement),
                ..Accuracy::default()
            },
            ..Report::new(Vec::new())
        }
    }

    fn worse(before: &Report, after: &Report) -> Vec<&'static str> {
        let comparison = Comparison::new(before, after, 0.05);
        comparison.worse().map(|difference| difference.metric).collect()
    }

    #[test]
    fn only_a_change_beyond_the_threshold_counts() {
        assert_eq!(worse(&report(1.0, 0.9), &report(1.04, 0.9)), [""; 0]);
        assert_eq!(worse(&report(1.0, 0.9), &report(1.06, 0.9)), ["mse"]);
        assert_eq!(worse(&report(1.0, 0.9), &report(0.5, 0.95)), [""; 0]);
    }

    #[test]
    fn less_agreement_is_worse() {
        assert_eq!(
            worse(&report(1.0, 0.9), &report(1.0, 0.8)),
            ["direction_agreement"]
        );
    }

    #[test]
    fn any_error_is_worse_than_zero_and_zero_is_no_worse_than_zero() {
        assert_eq!(worse(&report(0.0, 1.0), &report(1e-6, 1.0)), ["mse"]);
        assert_eq!(worse(&report(0.0, 1.0), &report(0.0, 1.0)), [""; 0]);
    }

    #[test]
    fn a_metric_that_is_missing_counts_as_worse() {
        let mut missing = report(1.0, 0.9);
        missing.combined.mse = None;
        assert_eq!(worse(&report(1.0, 0.9), &missing), ["mse"]);
    }
}
