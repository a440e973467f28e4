//! For tests: parameters as a user sets them.

use super::{ParameterValue, Parameters, Settings};

fn parameters(overrides: &[(&str, ParameterValue)]) -> Result<Parameters, Vec<super::ParameterProblem>> {
    let checkpoint = ("checkpoint", ParameterValue::String("/checkpoint".to_owned()));
    let overrides = overrides.iter().chain([&checkpoint]);
    Parameters::from_overrides(overrides.map(|(name, value)| ((*name).to_owned(), value.clone())))
}

/// The names of the parameters that are refused.
pub fn problems(overrides: &[(&str, ParameterValue)]) -> Vec<String> {
    let problems = parameters(overrides).err().unwrap_or_default();
    problems.into_iter().map(|problem| problem.name).collect()
}

pub fn settings(overrides: &[(&str, ParameterValue)]) -> Settings {
    parameters(overrides).unwrap().settings().clone()
}

/// An array of the words of a text.
pub fn names(text: &str) -> ParameterValue {
    ParameterValue::StringArray(text.split_whitespace().map(str::to_owned).collect())
}

/// An array of whole texts.
pub fn texts(texts: &[&str]) -> ParameterValue {
    ParameterValue::StringArray(texts.iter().map(|&text| text.to_owned()).collect())
}

pub fn doubles(values: &[f64]) -> ParameterValue {
    ParameterValue::DoubleArray(values.to_vec())
}
