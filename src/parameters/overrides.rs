//! For tests: parameters as a user sets them, of a robot with the joints waist, elbow and grip and the camera top.

use super::{ParameterProblem, ParameterValue, Parameters, Settings};

/// The robot's parameters with these, of which the last of a name counts.
pub fn parameters(overrides: &[(&str, ParameterValue)]) -> Result<Parameters, Vec<ParameterProblem>> {
    let robot = [
        ("checkpoint", text("/checkpoint")),
        ("cameras.top.topic", text("/top")),
        ("joint_names", names("waist elbow grip")),
    ];
    Parameters::from_overrides(owned(&robot).chain(owned(overrides)))
}

/// The parameters with names of their own.
pub fn owned(overrides: &[(&str, ParameterValue)]) -> impl Iterator<Item = (String, ParameterValue)> {
    overrides
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
}

/// The names of the parameters that are refused.
pub fn problems(overrides: &[(&str, ParameterValue)]) -> Vec<String> {
    let problems = parameters(overrides).err().unwrap_or_default();
    problems.into_iter().map(|problem| problem.name).collect()
}

/// The only refusal.
pub fn problem(overrides: &[(&str, ParameterValue)]) -> String {
    let problems = parameters(overrides).err().unwrap_or_default();
    let [problem] = &problems[..] else {
        panic!("{overrides:?}: {problems:?}")
    };
    problem.to_string()
}

pub fn settings(overrides: &[(&str, ParameterValue)]) -> Settings {
    parameters(overrides).unwrap().settings().clone()
}

pub fn text(text: &str) -> ParameterValue {
    ParameterValue::String(text.to_owned())
}

/// An array of the words of a text.
pub fn names(text: &str) -> ParameterValue {
    ParameterValue::StringArray(text.split_whitespace().map(str::to_owned).collect())
}
