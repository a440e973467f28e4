//! Parameters as a user set them, read into typed structs.

use std::collections::BTreeMap;

use super::names::expected_name;
use super::typed::Typed;
use super::{Definition, ParameterProblem, ParameterValue, QosOverrides};

/// ROS itself sets it on any node, beside the parameters that are defined here.
const ROS_PARAMETER: &str = "start_type_description_service";

/// A parameter that the node has, with its value.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Current value.
    pub value: ParameterValue,
    /// Definition of the parameter.
    pub definition: &'static Definition,
}

/// Parameters that are defined together: a typed struct and its definitions.
pub trait Section: Default + Clone {
    const DEFINITIONS: &'static [Definition];

    /// Reads every parameter under `prefix`; `defaults` has the values of those that are not set.
    fn read(reader: &mut Reader, prefix: &str, defaults: &Self) -> Self;
}

/// Reads parameters, and collects every problem.
#[derive(Debug)]
pub struct Reader<'a> {
    given: &'a BTreeMap<String, ParameterValue>,
    parameters: BTreeMap<String, Parameter>,
    problems: Vec<ParameterProblem>,
}

impl<'a> Reader<'a> {
    /// A reader of the parameters that somebody set.
    pub fn new(given: &'a BTreeMap<String, ParameterValue>) -> Self {
        Self {
            given,
            parameters: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    /// Reads one parameter under `prefix`. One that does not fit is a problem, and its default stands in for it, so that
    /// the checks between parameters can find their problems too.
    pub fn read<T: Typed>(&mut self, prefix: &str, definition: &'static Definition, default: &T) -> T {
        let name = format!("{prefix}{}", definition.name);
        let given = self.given.get(&name);
        let checked = definition
            .check(given.unwrap_or(&default.to_value()))
            .and_then(|value| {
                let typed = T::from_value(&value).ok_or_else(|| definition.expected())?;
                Ok((value, typed))
            });
        let (value, typed) = checked.unwrap_or_else(|expected| {
            let found = given.unwrap_or(&ParameterValue::NotSet);
            self.problems.push(ParameterProblem::new(&name, found, expected));
            (default.to_value(), default.clone())
        });
        self.parameters.insert(name, Parameter { value, definition });
        typed
    }

    /// Reads the entries of a map by these names.
    pub fn read_map<S: Section>(&mut self, map: &str, names: Vec<String>, defaults: &S) -> Vec<(String, S)> {
        let entries = names.into_iter().map(|name| {
            let section = S::read(self, &format!("{map}.{name}."), defaults);
            (name, section)
        });
        entries.collect()
    }

    /// Takes back that a parameter is missing, where another one makes it needless.
    pub fn do_not_require(&mut self, name: &str) {
        if !self.given.contains_key(name) {
            self.problems.retain(|problem| problem.name != name);
        }
    }

    /// The names of a map's entries for which somebody set `field`.
    pub fn names_with(&self, map: &str, field: &str) -> Vec<String> {
        let names = self.given.keys().filter_map(|name| {
            let entry = name.strip_prefix(map)?.strip_prefix('.')?;
            entry.strip_suffix(field)?.strip_suffix('.').map(str::to_owned)
        });
        names.collect()
    }

    /// Notes that a parameter does not fit another one.
    pub fn refuse(&mut self, name: impl AsRef<str>, expected: impl Into<String>) {
        let name = name.as_ref();
        let parameter = self.parameters.get(name);
        let found = parameter.map_or(&ParameterValue::NotSet, |parameter| &parameter.value);
        self.problems.push(ParameterProblem::new(name, found, expected));
    }

    /// Whether every parameter fits so far.
    pub fn is_fine(&self) -> bool {
        self.problems.is_empty()
    }

    /// Refuses every given name that the node does not have.
    pub fn refuse_unknown(&mut self) {
        let unknown: Vec<ParameterProblem> = self
            .given
            .iter()
            .filter(|(name, _)| !self.parameters.contains_key(*name))
            .filter(|(name, _)| *name != ROS_PARAMETER && !QosOverrides::is_one(name))
            .map(|(name, value)| {
                ParameterProblem::new(name, value, expected_name(name, self.parameters.keys()))
            })
            .collect();
        self.problems.extend(unknown);
    }

    /// The parameters and their problems.
    pub fn finish(self) -> (BTreeMap<String, Parameter>, Vec<ParameterProblem>) {
        (self.parameters, self.problems)
    }
}
