//! Checked values in the types that the settings want.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::{ParameterProblem, ParameterValue, Values};

pub fn text(values: &Values, name: &str) -> String {
    match &values[name] {
        ParameterValue::String(text) => text.clone(),
        other => unreachable!("{name} was checked to be a string and is {other:?}"),
    }
}

pub fn texts(values: &Values, name: &str) -> Vec<String> {
    match &values[name] {
        ParameterValue::StringArray(texts) => texts.clone(),
        other => unreachable!("{name} was checked to be a string array and is {other:?}"),
    }
}

pub fn double(values: &Values, name: &str) -> f64 {
    match values[name] {
        ParameterValue::Double(double) => double,
        ref other => unreachable!("{name} was checked to be a double and is {other:?}"),
    }
}

pub fn doubles(values: &Values, name: &str) -> Vec<f64> {
    match &values[name] {
        ParameterValue::DoubleArray(doubles) => doubles.clone(),
        other => unreachable!("{name} was checked to be a double array and is {other:?}"),
    }
}

pub fn integers(values: &Values, name: &str) -> Vec<i64> {
    match &values[name] {
        ParameterValue::IntegerArray(integers) => integers.clone(),
        other => unreachable!("{name} was checked to be an integer array and is {other:?}"),
    }
}

pub fn count(values: &Values, name: &str) -> usize {
    match values[name] {
        ParameterValue::Integer(integer) if integer >= 0 => integer as usize,
        ref other => unreachable!("{name} was checked to be a count and is {other:?}"),
    }
}

/// None for 0.
pub fn nonzero(values: &Values, name: &str) -> Option<NonZeroUsize> {
    NonZeroUsize::new(count(values, name))
}

pub fn period(values: &Values, name: &str) -> Duration {
    period_of(double(values, name))
}

/// For ever when the rate is so low that no clock reaches its period.
pub fn period_of(rate_hz: f64) -> Duration {
    Duration::try_from_secs_f64(1.0 / rate_hz).unwrap_or(Duration::MAX)
}

pub fn problem(values: &Values, name: &str, expected: impl Into<String>) -> ParameterProblem {
    ParameterProblem::new(name, &values[name], expected)
}

/// Values of an array.
fn length(values: &Values, name: &str) -> usize {
    match &values[name] {
        ParameterValue::StringArray(texts) => texts.len(),
        ParameterValue::DoubleArray(doubles) => doubles.len(),
        ParameterValue::IntegerArray(integers) => integers.len(),
        other => unreachable!("{name} was checked to be an array and is {other:?}"),
    }
}

/// The problem of an array with another number of values than one for each of `count` things.
pub fn one_for_each(values: &Values, name: &str, count: usize, what: &str) -> Option<ParameterProblem> {
    let expected = || format!("one for each of the {count} {what}");
    (length(values, name) != count).then(|| problem(values, name, expected()))
}

/// As [`one_for_each`], but an empty array is right too.
pub fn one_for_each_or_none(
    values: &Values,
    name: &str,
    count: usize,
    what: &str,
) -> Option<ParameterProblem> {
    if length(values, name) == 0 {
        return None;
    }
    let mut problem = one_for_each(values, name, count, what)?;
    problem.expected.push_str(", or none");
    Some(problem)
}

/// The problem of a name that is there twice.
pub fn each_once(values: &Values, name: &str) -> Option<ParameterProblem> {
    let twice = first_duplicate(&texts(values, name))?;
    Some(problem(values, name, format!("{twice} only once")))
}

pub fn first_duplicate(names: &[String]) -> Option<String> {
    let mut rest = names.iter().enumerate();
    rest.find(|(index, name)| names[..*index].contains(name))
        .map(|(_, name)| name.clone())
}
