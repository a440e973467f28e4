//! Normalisation of states and actions between the robot's units and the model's.

use super::config::Dims;
use super::error::CheckpointError;

/// Normalisation of a checkpoint's states and actions.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Normalisation of the state.
    pub state: Normalisation,
    /// Normalisation of an action.
    pub action: Normalisation,
    /// Whether the model's value is relative to the state, for each value of an action; empty when none is.
    pub relative: Vec<bool>,
}

/// Normalisation of one vector. Its statistics are as long as that vector.
#[derive(Clone, Debug, PartialEq)]
pub enum Normalisation {
    /// The model's units are the robot's.
    Identity,
    /// `(x − mean) / (std + epsilon)`, and back `x · (std + epsilon_back) + mean`.
    MeanStd {
        /// Mean of each value.
        mean: Vec<f32>,
        /// Standard deviation of each value.
        std: Vec<f32>,
        /// Summand that keeps the divisor above zero.
        epsilon: f32,
        /// Summand on the way back: openpi adds its epsilon there too, LeRobot does not.
        epsilon_back: f32,
    },
    /// `low` to −1 and `high` to 1, linearly: minimum and maximum, or quantiles.
    Range {
        /// Value that becomes −1.
        low: Vec<f32>,
        /// Value that becomes 1.
        high: Vec<f32>,
    },
}

/// Way in which LeRobot scales a feature (`NormalizationMode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Identity,
    MeanStd,
    /// The statistics that become −1 and 1.
    Range(&'static str, &'static str),
}

impl Mode {
    /// Mode of LeRobot's name; `None` for an unknown one.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "IDENTITY" => Some(Self::Identity),
            "MEAN_STD" => Some(Self::MeanStd),
            "MIN_MAX" => Some(Self::Range("min", "max")),
            "QUANTILES" => Some(Self::Range("q01", "q99")),
            "QUANTILE10" => Some(Self::Range("q10", "q90")),
            _ => None,
        }
    }

    /// Names of the statistics that the mode uses.
    pub fn statistics(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Identity => None,
            Self::MeanStd => Some(("mean", "std")),
            Self::Range(low, high) => Some((low, high)),
        }
    }

    /// Normalisation with the statistics that `values` finds by name; identity where one is not found.
    pub fn normalisation(
        self,
        epsilon: f32,
        mut values: impl FnMut(&str) -> Option<Vec<f32>>,
    ) -> Normalisation {
        let Some((first, second)) = self.statistics() else {
            return Normalisation::Identity;
        };
        let (Some(first), Some(second)) = (values(first), values(second)) else {
            return Normalisation::Identity;
        };
        match self {
            Self::MeanStd => Normalisation::MeanStd {
                mean: first,
                std: second,
                epsilon,
                epsilon_back: 0.0,
            },
            _ => Normalisation::Range {
                low: first,
                high: second,
            },
        }
    }
}

impl Normalisation {
    /// Values of the normalised vector; `None` where there are no statistics.
    pub fn dim(&self) -> Option<usize> {
        match self {
            Self::Identity => None,
            Self::MeanStd { mean, .. } => Some(mean.len()),
            Self::Range { low, .. } => Some(low.len()),
        }
    }

    /// Problems of the statistics of a vector of `dim` values, a sentence about `name` each.
    pub(super) fn problems(&self, name: &str, dim: usize) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |statistic: &str, values: &[f32]| {
            if values.len() != dim || values.is_empty() {
                problems.push(format!(
                    "{name}.{statistic} has {} values, expected {dim}",
                    values.len()
                ));
            }
            for (index, value) in values.iter().enumerate().filter(|(_, value)| !value.is_finite()) {
                problems.push(format!(
                    "{name}.{statistic}[{index}] is {value}, expected a finite number"
                ));
            }
        };
        match self {
            Self::Identity => {}
            Self::MeanStd { mean, std, .. } => {
                check("mean", mean);
                check("std", std);
                for (index, std) in std.iter().enumerate().filter(|(_, std)| **std < 0.0) {
                    problems.push(format!("{name}.std[{index}] is {std}, expected at least 0"));
                }
            }
            Self::Range { low, high } => {
                check("low end", low);
                check("high end", high);
                for (index, (low, high)) in low.iter().zip(high).enumerate() {
                    if low >= high {
                        problems.push(format!(
                            "{name}[{index}] ranges from {low} to {high}, expected the second to be larger"
                        ));
                    }
                }
            }
        }
        problems
    }
}

impl Statistics {
    /// Lengths of the robot's state and action. They are the configuration's, save where that has the padded
    /// length: a policy that was fine-tuned from a base keeps the base's features, and openpi's configuration
    /// has no others. There the statistics are as long as the robot's vectors.
    pub(super) fn dims(&self, configured: Dims, padded: Dims) -> Dims {
        let dim = |configured: usize, padded: usize, normalisation: &Normalisation| match normalisation.dim()
        {
            Some(dim) if configured == padded => dim,
            _ => configured,
        };
        Dims {
            state: dim(configured.state, padded.state, &self.state),
            action: dim(configured.action, padded.action, &self.action),
        }
    }

    /// Checks the statistics against the lengths of the robot's state and action.
    ///
    /// # Errors
    /// Every statistic that is not finite, cannot be divided by, or has another length than its vector, and
    /// lengths above the model's padded ones.
    pub(super) fn check(
        self,
        folder: &std::path::Path,
        dims: Dims,
        padded: Dims,
    ) -> Result<Self, CheckpointError> {
        let mut problems = self.state.problems("state", dims.state);
        // An action that never changed is its mean again. A joint that never moved while the data were
        // recorded has no scale: the smallest deviation of a live one would enter the network a million times
        // as large.
        if let Normalisation::MeanStd { std, .. } = &self.state {
            for (index, _) in std.iter().enumerate().filter(|(_, std)| **std == 0.0) {
                problems.push(format!("state.std[{index}] is 0, expected more than 0"));
            }
        }
        problems.extend(self.action.problems("action", dims.action));
        if self.relative.len() > dims.state {
            problems.push(format!(
                "actions of {} values are relative to a state of {}, expected at least as many",
                self.relative.len(),
                dims.state
            ));
        }
        for (name, dim, padded) in [
            ("state", dims.state, padded.state),
            ("action", dims.action, padded.action),
        ] {
            if dim > padded {
                problems.push(format!(
                    "statistics of {dim} values of the {name}, the model takes at most {padded}"
                ));
            }
        }
        if problems.is_empty() {
            Ok(self)
        } else {
            Err(CheckpointError::Statistics {
                path: folder.to_owned(),
                problems,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_std(mean: &[f32], std: &[f32]) -> Normalisation {
        Normalisation::MeanStd {
            mean: mean.to_vec(),
            std: std.to_vec(),
            epsilon: 1e-8,
            epsilon_back: 0.0,
        }
    }

    #[test]
    fn usable_statistics_have_no_problems() {
        assert!(mean_std(&[0.0, 1.0], &[1.0, 0.1]).problems("state", 2).is_empty());
        assert!(Normalisation::Identity.problems("state", 2).is_empty());
    }

    #[test]
    fn negative_std_not_a_number_and_wrong_length_are_listed_at_once() {
        let problems = mean_std(&[0.0, f32::NAN], &[-1.0, 1.0, 1.0]).problems("action", 2);
        assert_eq!(
            problems,
            [
                "action.mean[1] is NaN, expected a finite number",
                "action.std has 3 values, expected 2",
                "action.std[0] is -1, expected at least 0",
            ]
        );
    }

    #[test]
    fn a_range_without_extent_is_a_problem() {
        let range = Normalisation::Range {
            low: vec![0.0, 1.0],
            high: vec![1.0, 1.0],
        };
        let problems = range.problems("state", 2);
        assert_eq!(
            problems,
            ["state[1] ranges from 1 to 1, expected the second to be larger"]
        );
    }
}
