//! Normalisation of states and actions between the robot's units and the model's.

use super::config::Dims;
use super::error::CheckpointError;
use super::options::JointLabels;

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
    /// `2 · (x − low) / (high − low + epsilon) − 1`: minimum and maximum, or quantiles, become −1 and 1.
    Range {
        /// Value that becomes −1.
        low: Vec<f32>,
        /// Value that becomes 1.
        high: Vec<f32>,
        /// Summand that keeps openpi's divisor above zero; 0 in LeRobot.
        epsilon: f32,
    },
    /// Values that are 0 in the model's units whatever they are, and constants on the way back; the others as
    /// `others` says.
    PartlyConstant {
        /// Index and constant of each of these values.
        constants: Vec<(usize, f32)>,
        /// Normalisation of the other values.
        others: Box<Normalisation>,
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
                epsilon: 0.0,
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
            Self::PartlyConstant { others, .. } => others.dim(),
        }
    }

    /// Normalisation of the values that are not constant.
    fn scaling(&self) -> &Self {
        match self {
            Self::PartlyConstant { others, .. } => others.scaling(),
            _ => self,
        }
    }

    /// Value in the middle of the statistics.
    fn centre(&self, index: usize) -> f32 {
        match self {
            Self::Identity => 0.0,
            Self::MeanStd { mean, .. } => mean[index],
            Self::Range { low, high, .. } => low[index] + (high[index] - low[index]) / 2.0,
            Self::PartlyConstant { others, .. } => others.centre(index),
        }
    }

    /// Values between which most of the data lie, for each value: three standard deviations around the mean, or the two ends of
    /// the scaling. `None` where there are no statistics.
    pub fn usual_range(&self) -> Option<Vec<[f32; 2]>> {
        match self {
            Self::Identity => None,
            Self::MeanStd { mean, std, .. } => {
                let ranges = mean.iter().zip(std);
                Some(
                    ranges
                        .map(|(mean, std)| [mean - 3.0 * std, mean + 3.0 * std])
                        .collect(),
                )
            }
            Self::Range { low, high, .. } => {
                Some(low.iter().zip(high).map(|(low, high)| [*low, *high]).collect())
            }
            Self::PartlyConstant { others, .. } => others.usual_range(),
        }
    }

    /// Makes these values constants: the middle of their statistics.
    fn with_constants(self, indices: impl Iterator<Item = usize>) -> Self {
        let dim = self.dim().unwrap_or(0);
        let constants: Vec<(usize, f32)> = indices
            .filter(|index| *index < dim)
            .map(|index| (index, self.centre(index)))
            .collect();
        match constants.is_empty() {
            true => self,
            false => Self::PartlyConstant {
                constants,
                others: Box::new(self),
            },
        }
    }

    /// Whether a value has no scale: a standard deviation of 0, or two ends that are one.
    fn has_no_extent(&self, index: usize) -> bool {
        match self {
            Self::Identity => false,
            Self::MeanStd { std, .. } => std.get(index) == Some(&0.0),
            Self::Range { low, high, .. } => low.get(index).is_some_and(|low| high.get(index) == Some(low)),
            Self::PartlyConstant { constants, others } => {
                constants.iter().all(|(constant, _)| *constant != index) && others.has_no_extent(index)
            }
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
            Self::Range { low, high, .. } => {
                check("low end", low);
                check("high end", high);
                for (index, (low, high)) in low.iter().zip(high).enumerate() {
                    if low > high {
                        problems.push(format!(
                            "{name}[{index}] ranges from {low} to {high}, expected the second to be larger"
                        ));
                    }
                }
            }
            Self::PartlyConstant { others, .. } => return others.problems(name, dim),
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

    /// Checks the statistics against the lengths of the robot's state and action, and makes the values constant
    /// whose joints `joints` says so of.
    ///
    /// # Errors
    /// Every statistic that is not finite, has no extent, or has another length than its vector, and lengths
    /// above the model's padded ones.
    pub(super) fn check(
        mut self,
        folder: &std::path::Path,
        dims: Dims,
        padded: Dims,
        joints: &JointLabels,
    ) -> Result<Self, CheckpointError> {
        let mut problems = self.state.problems("state", dims.state);
        problems.extend(self.action.problems("action", dims.action));
        if problems.is_empty() {
            self.make_constant(dims, joints);
        }
        problems.extend(self.without_extent(dims, joints));
        if self.relative.len() > dims.state {
            problems.push(format!(
                "actions of {} values are relative to a state of {}, expected at least as many",
                self.relative.len(),
                dims.state
            ));
        }
        if self.relative.len() > dims.action {
            problems.push(format!(
                "{} values of an action are relative to the state, an action has {}",
                self.relative.len(),
                dims.action
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

    /// Makes the values of constant joints constants, and those of actions that never changed or that no joint
    /// gets: they are their mean again.
    fn make_constant(&mut self, dims: Dims, joints: &JointLabels) {
        let is_constant = |joint: &String| joints.constant.contains(joint);
        let of_state = |index: &usize| joints.state.get(*index).is_some_and(is_constant);
        let state = std::mem::replace(&mut self.state, Normalisation::Identity);
        self.state = state.with_constants((0..dims.state).filter(of_state));

        let action = std::mem::replace(&mut self.action, Normalisation::Identity);
        let has_no_extent: Vec<bool> = (0..action.dim().unwrap_or(0))
            .map(|index| action.has_no_extent(index))
            .collect();
        let is_range = matches!(action, Normalisation::Range { .. });
        let of_action = |index: &usize| {
            let joint = joints.actions.get(*index);
            let has_no_extent = has_no_extent.get(*index) == Some(&true);
            match joint {
                Some(Some(joint)) if is_constant(joint) => true,
                Some(None) => has_no_extent,
                _ => has_no_extent && !is_range,
            }
        };
        self.action = action.with_constants((0..dims.action).filter(of_action));
    }

    /// Sentences about values that have no scale. The joint never moved while the data were recorded: the
    /// smallest deviation of a live one would enter the network a million times as large.
    fn without_extent(&self, dims: Dims, joints: &JointLabels) -> Vec<String> {
        let action_joints: Vec<String> = joints
            .actions
            .iter()
            .map(|joint| joint.clone().unwrap_or_default())
            .collect();
        let vectors = [
            ("state", &self.state, dims.state, &joints.state),
            ("action", &self.action, dims.action, &action_joints),
        ];
        let mut problems = Vec::new();
        for (name, normalisation, dim, joints) in vectors {
            for index in (0..dim).filter(|index| normalisation.has_no_extent(*index)) {
                let found = match normalisation.scaling() {
                    Normalisation::Range { low, .. } => {
                        format!(
                            "{name}[{index}] ranges from {0} to {0}, expected the second to be larger",
                            low[index]
                        )
                    }
                    _ => format!("{name}.std[{index}] is 0, expected more than 0"),
                };
                let remedy = match joints.get(index) {
                    Some(joint) => format!(
                        "the joint {joint} never moved in the data; set joints.{joint}.constant to true to leave it out"
                    ),
                    None => "the value never changed in the data".to_owned(),
                };
                problems.push(format!("{found}: {remedy}"));
            }
        }
        problems
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
    fn most_of_the_data_lie_around_the_mean_or_between_the_ends_of_the_scaling() {
        let expected = Some(vec![[-3.0, 3.0], [0.5, 3.5]]);
        assert_eq!(mean_std(&[0.0, 2.0], &[1.0, 0.5]).usual_range(), expected);
        assert_eq!(range(&[-1.0], &[7.0]).usual_range(), Some(vec![[-1.0, 7.0]]));
        assert_eq!(Normalisation::Identity.usual_range(), None);
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
        let problems = range(&[0.0, 1.0], &[1.0, 0.0]).problems("state", 2);
        assert_eq!(
            problems,
            ["state[1] ranges from 1 to 0, expected the second to be larger"]
        );
    }

    fn range(low: &[f32], high: &[f32]) -> Normalisation {
        Normalisation::Range {
            low: low.to_vec(),
            high: high.to_vec(),
            epsilon: 0.0,
        }
    }

    const DIMS: Dims = Dims { state: 2, action: 2 };

    fn checked(
        state: Normalisation,
        action: Normalisation,
        constant: &[&str],
        actions: [Option<&str>; 2],
    ) -> Result<Statistics, String> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let joints = JointLabels {
            state: owned(&["waist", "grip"]),
            actions: actions.map(|joint| joint.map(str::to_owned)).to_vec(),
            constant: owned(constant),
        };
        let statistics = Statistics {
            state,
            action,
            relative: Vec::new(),
        };
        let checked = statistics.check(std::path::Path::new("folder"), DIMS, DIMS, &joints);
        checked.map_err(|error| error.to_string())
    }

    #[test]
    fn a_joint_that_never_moved_is_refused_by_name_unless_it_is_constant() {
        let joints = [Some("waist"), Some("grip")];
        for state in [
            mean_std(&[0.0, 7.0], &[1.0, 0.0]),
            range(&[-1.0, 7.0], &[1.0, 7.0]),
        ] {
            let check = |constant: &[&str]| {
                checked(
                    state.clone(),
                    mean_std(&[0.0, 1.0], &[1.0, 1.0]),
                    constant,
                    joints,
                )
            };
            let error = check(&[]).unwrap_err();
            assert!(
                error.contains("set joints.grip.constant to true") && !error.contains("waist"),
                "{error}"
            );
            let expected = Normalisation::PartlyConstant {
                constants: vec![(1, 7.0)],
                others: Box::new(state.clone()),
            };
            assert_eq!(check(&["grip"]).unwrap().state, expected);
        }
    }

    #[test]
    fn an_action_that_never_changed_is_its_mean_and_one_without_a_joint_needs_no_extent() {
        let state = mean_std(&[0.0, 0.0], &[1.0, 1.0]);
        let constant = |others: Normalisation| Normalisation::PartlyConstant {
            constants: vec![(1, 3.0)],
            others: Box::new(others),
        };
        let never = mean_std(&[0.0, 3.0], &[1.0, 0.0]);
        let joints = [Some("waist"), Some("grip")];
        let statistics = checked(state.clone(), never.clone(), &[], joints).unwrap();
        assert_eq!(statistics.action, constant(never));
        let never = range(&[0.0, 3.0], &[1.0, 3.0]);
        let error = checked(state.clone(), never.clone(), &[], joints).unwrap_err();
        assert!(error.contains("joints.grip.constant"), "{error}");
        let statistics = checked(state, never.clone(), &[], [Some("waist"), None]).unwrap();
        assert_eq!(statistics.action, constant(never));
    }
}
