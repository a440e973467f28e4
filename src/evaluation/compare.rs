//! Whether one evaluation is worse than another.

use std::fmt::Write;

use super::result::Report;
use super::table::number;

/// A figure of two reports.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    pub figure: &'static str,
    pub before: Option<f64>,
    pub after: Option<f64>,
    /// By how much it is worse, as a share of what it was: positive is worse. None without one of the two.
    pub worse_by: Option<f64>,
}

/// Two reports, the second held against the first.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    pub differences: Vec<Difference>,
    /// What makes the comparison doubtful: other bags, other actions, other settings.
    pub warnings: Vec<String>,
    /// A figure that is worse by a larger share than this counts.
    pub threshold: f64,
}

/// The figures that a comparison is made by. The others are there to explain them.
const DECIDING: [&str; 7] = [
    "mse",
    "mae",
    "first_action_mae",
    "direction_agreement",
    "chunk_difference",
    "seam_velocity",
    "flow_matching_loss",
];
/// A difference of less than this is none: zero errors are compared too.
const NEGLIGIBLE: f64 = 1e-9;

impl Comparison {
    pub fn new(before: &Report, after: &Report, threshold: f64) -> Self {
        let figures = before
            .combined
            .figures()
            .into_iter()
            .zip(after.combined.figures());
        let differences = figures
            .filter(|((figure, _), _)| DECIDING.contains(figure))
            .map(|((figure, before), (_, after))| Difference {
                figure,
                before,
                after,
                worse_by: before
                    .zip(after)
                    .map(|(before, after)| worse_by(figure, before, after)),
            })
            .collect();
        Self {
            differences,
            warnings: warnings(before, after),
            threshold,
        }
    }

    /// Figures that are worse beyond the threshold, or that only the first report has.
    pub fn worse(&self) -> impl Iterator<Item = &Difference> {
        self.differences
            .iter()
            .filter(|difference| match difference.worse_by {
                Some(share) => share > self.threshold,
                None => difference.before.is_some(),
            })
    }

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
                one.figure
            );
        }
        text
    }
}

fn worse_by(figure: &str, before: f64, after: f64) -> f64 {
    // Of direction agreement more is better, and what can be lost or won of it is the share that disagrees.
    let (before, after) = match figure {
        "direction_agreement" => (1.0 - before, 1.0 - after),
        _ => (before, after),
    };
    if (after - before).abs() < NEGLIGIBLE {
        return 0.0;
    }
    (after - before) / before.max(NEGLIGIBLE)
}

fn warnings(before: &Report, after: &Report) -> Vec<String> {
    let mut warnings = Vec::new();
    let names = |report: &Report| -> Vec<String> {
        let name = |bag: &super::result::BagResult| bag.bag.rsplit('/').next().unwrap_or("").to_owned();
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
    for (one, other) in before.bags.iter().zip(&after.bags) {
        let (one, other) = (&one.settings, &other.settings);
        for (what, differs) in [
            (
                "the topic of the recorded actions",
                one.actions_topic != other.actions_topic,
            ),
            ("the joints", one.joints != other.joints),
            ("the action rate", one.action_rate_hz != other.action_rate_hz),
            ("the horizon", one.action_horizon != other.action_horizon),
            ("the seed", one.seed != other.seed),
            (
                "how often an observation is taken",
                one.actions_between != other.actions_between,
            ),
        ] {
            let warning = format!("{what} differs between the reports");
            if differs && !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::super::result::{Accuracy, FORMAT};
    use super::*;

    fn report(mse: f64, direction_agreement: f64) -> Report {
        Report {
            format: FORMAT,
            bags: Vec::new(),
            combined: Accuracy {
                mse: Some(mse),
                direction_agreement: Some(direction_agreement),
                ..Accuracy::default()
            },
        }
    }

    fn worse(before: &Report, after: &Report) -> Vec<&'static str> {
        let comparison = Comparison::new(before, after, 0.05);
        comparison.worse().map(|difference| difference.figure).collect()
    }

    #[test]
    fn only_what_is_worse_beyond_the_threshold_counts() {
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
    fn any_error_is_worse_than_none_and_none_is_as_good_as_none() {
        assert_eq!(worse(&report(0.0, 1.0), &report(1e-6, 1.0)), ["mse"]);
        assert_eq!(worse(&report(0.0, 1.0), &report(0.0, 1.0)), [""; 0]);
    }

    #[test]
    fn a_figure_that_is_gone_counts_as_worse() {
        let mut gone = report(1.0, 0.9);
        gone.combined.mse = None;
        assert_eq!(worse(&report(1.0, 0.9), &gone), ["mse"]);
    }
}
