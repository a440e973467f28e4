//! The parameters of the node: declared as data, checked, and turned into settings.

mod control;
mod declaration;
#[cfg(test)]
mod documentation;
mod file;
mod help;
mod inputs;
mod outputs;
#[cfg(test)]
mod overrides;
mod qos_overrides;
mod read;
mod robot;
mod runtime_settings;
mod settings;
mod value;

use std::collections::BTreeMap;

pub use declaration::{Allowed, Changeable, DECLARATIONS, Declaration, DefaultValue, in_yaml};
pub use file::{ParameterFileError, parameters_of, parse_override};
pub use help::answer;
pub use qos_overrides::{QosEnd, QosOverride, QosOverrides};
pub use runtime_settings::RuntimeSettings;
pub use settings::{PolicyShape, Settings};
pub use value::ParameterValue;

/// ROS itself sets it on any node, beside the parameters declared here.
const ROS_PARAMETER: &str = "start_type_description_service";

/// A value for every declared parameter.
type Values = BTreeMap<&'static str, ParameterValue>;

/// What is wrong with one parameter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: found {found}, expected {expected}")]
pub struct ParameterProblem {
    pub name: String,
    pub found: String,
    pub expected: String,
}

impl ParameterProblem {
    fn new(name: &str, found: &ParameterValue, expected: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            found: in_yaml(found),
            expected: expected.into(),
        }
    }

    /// One line for each problem, indented, each after a line break.
    pub(crate) fn list(problems: &[Self]) -> String {
        problems.iter().map(|problem| format!("\n  {problem}")).collect()
    }
}

/// The parameters as they are now. They are whole at any time: a change that does not fit is refused.
#[derive(Clone, Debug)]
pub struct Parameters {
    values: Values,
    settings: Settings,
    qos_overrides: QosOverrides,
}

impl Parameters {
    /// The defaults with what was set at start.
    ///
    /// # Errors
    /// Every parameter that is unknown, of the wrong type, out of range, or does not fit another one.
    pub fn from_overrides(
        overrides: impl Iterator<Item = (String, ParameterValue)>,
    ) -> Result<Self, Vec<ParameterProblem>> {
        let mut overrides: BTreeMap<String, ParameterValue> = overrides.collect();
        let mut problems = Vec::new();
        let mut values = Values::new();
        for declaration in DECLARATIONS {
            let value = overrides
                .remove(declaration.name)
                .unwrap_or_else(|| declaration.default.value());
            match declaration.check(&value) {
                Ok(value) => {
                    values.insert(declaration.name, value);
                }
                Err(expected) => {
                    problems.push(ParameterProblem::new(declaration.name, &value, expected));
                    // Its default stands in, so that the checks between parameters can list their problems too.
                    values.insert(declaration.name, declaration.default.value());
                }
            }
        }
        let unknown = overrides
            .iter()
            .filter(|(name, _)| *name != ROS_PARAMETER && !QosOverrides::is_one(name));
        problems.extend(unknown.map(|(name, value)| {
            ParameterProblem::new(name, value, format!("one of the parameters {}", declared_names()))
        }));
        let settings = match Settings::from_values(&values) {
            Ok(settings) => settings,
            Err(between) => {
                problems.extend(between);
                return Err(problems);
            }
        };
        let qos = overrides.iter().filter(|(name, _)| QosOverrides::is_one(name));
        match QosOverrides::from_parameters(qos, &settings.subscribed_topics(), &settings.published_topics())
        {
            Ok(qos_overrides) if problems.is_empty() => Ok(Self {
                values,
                settings,
                qos_overrides,
            }),
            Ok(_) => Err(problems),
            Err(of_topics) => {
                problems.extend(of_topics);
                Err(problems)
            }
        }
    }

    /// What the values mean.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What was set of the topics' quality of service.
    pub fn qos_overrides(&self) -> &QosOverrides {
        &self.qos_overrides
    }

    /// The value of a parameter; none when it is not declared.
    pub fn get(&self, name: &str) -> Option<&ParameterValue> {
        self.values.get(name)
    }

    /// These parameters with changes made while the node runs, or `is_unconfigured`.
    ///
    /// # Errors
    /// The first change that is unknown, wrong, or cannot be made now.
    pub fn with_changes<'a>(
        &self,
        changes: impl Iterator<Item = (&'a str, ParameterValue)>,
        is_unconfigured: bool,
    ) -> Result<Self, ParameterProblem> {
        let mut values = self.values.clone();
        for (name, value) in changes {
            let Some(declaration) = declaration(name) else {
                let expected = format!("one of the parameters {}", declared_names());
                return Err(ParameterProblem::new(name, &value, expected));
            };
            let value = declaration
                .check(&value)
                .map_err(|expected| ParameterProblem::new(name, &value, expected))?;
            let current = &self.values[declaration.name];
            let refused = match declaration.changeable {
                Changeable::Never => Some("needs a restart"),
                Changeable::Unconfigured if !is_unconfigured => {
                    Some("needs the lifecycle transition cleanup first, or a restart")
                }
                Changeable::Unconfigured | Changeable::Always => None,
            };
            if let Some(needs) = refused.filter(|_| value != *current) {
                let expected = format!("{}: a change {needs}", in_yaml(current));
                return Err(ParameterProblem::new(name, &value, expected));
            }
            values.insert(declaration.name, value);
        }
        let settings = Settings::from_values(&values).map_err(|mut problems| problems.swap_remove(0))?;
        Ok(Self {
            values,
            settings,
            qos_overrides: self.qos_overrides.clone(),
        })
    }
}

/// The declaration of a parameter; none when there is none.
pub fn declaration(name: &str) -> Option<&'static Declaration> {
    DECLARATIONS.iter().find(|declaration| declaration.name == name)
}

fn declared_names() -> String {
    let names: Vec<&str> = DECLARATIONS.iter().map(|declaration| declaration.name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started() -> Parameters {
        let checkpoint = ParameterValue::String("/checkpoint".to_owned());
        Parameters::from_overrides([("checkpoint".to_owned(), checkpoint)].into_iter()).unwrap()
    }

    fn refusal(name: &str, value: ParameterValue) -> String {
        let refused = started().with_changes([(name, value)].into_iter(), false);
        refused.unwrap_err().to_string()
    }

    #[test]
    fn every_problem_at_start_is_listed_at_once() {
        let overrides = [
            ("control_rate_hs", ParameterValue::Double(50.0)),
            ("control_rate_hz", ParameterValue::Double(0.0)),
            ("device", ParameterValue::Bool(true)),
            ("camera_crops", ParameterValue::IntegerArray(vec![1])),
        ];
        let overrides = overrides.map(|(name, value)| (name.to_owned(), value));
        let problems = Parameters::from_overrides(overrides.into_iter()).unwrap_err();
        let names: Vec<&str> = problems.iter().map(|problem| problem.name.as_str()).collect();
        let expected = [
            "checkpoint",
            "device",
            "control_rate_hz",
            "control_rate_hs",
            "camera_crops",
        ];
        assert_eq!(names, expected);
        assert_eq!(
            problems[1].to_string(),
            "device: found true, expected a value of type string"
        );
    }

    #[test]
    fn what_ros_sets_on_any_node_is_no_problem() {
        let overrides = [
            ("checkpoint", ParameterValue::String("/checkpoint".to_owned())),
            (
                "qos_overrides./clock.subscription.depth",
                ParameterValue::Integer(1),
            ),
            ("start_type_description_service", ParameterValue::Bool(false)),
        ];
        let overrides = overrides.map(|(name, value)| (name.to_owned(), value));
        assert!(Parameters::from_overrides(overrides.into_iter()).is_ok());
    }

    #[test]
    fn a_change_while_running_arrives_in_the_settings() {
        let changes = [("control_rate_hz", ParameterValue::Double(10.0))];
        let changed = started().with_changes(changes.into_iter(), false).unwrap();
        let period = changed.settings().runtime.control_period;
        assert_eq!(period, std::time::Duration::from_millis(100));
        assert_eq!(
            changed.get("control_rate_hz"),
            Some(&ParameterValue::Double(10.0))
        );
    }

    #[test]
    fn a_change_that_needs_a_restart_is_refused_and_setting_what_is_already_so_is_not() {
        let simulated = ParameterValue::Bool(true);
        assert!(refusal("use_sim_time", simulated).contains("needs a restart"));
        let same = [("use_sim_time", ParameterValue::Bool(false))];
        assert!(started().with_changes(same.into_iter(), false).is_ok());
    }

    #[test]
    fn the_policy_is_changed_while_the_node_is_unconfigured_and_not_else() {
        let cpu = || ParameterValue::String("cpu".to_owned());
        assert!(refusal("device", cpu()).contains("cleanup"));
        let changed = started()
            .with_changes([("device", cpu())].into_iter(), true)
            .unwrap();
        assert_eq!(changed.get("device"), Some(&cpu()));
        let never = [("use_sim_time", ParameterValue::Bool(true))];
        assert!(started().with_changes(never.into_iter(), true).is_err());
    }

    #[test]
    fn a_wrong_change_is_refused_with_the_reason() {
        let refused = refusal("control_rate_hz", ParameterValue::Double(-3.0));
        assert_eq!(refused, "control_rate_hz: found -3.0, expected 1 to 1000");
        assert!(refusal("rate", ParameterValue::Integer(1)).contains("one of the parameters"));
    }
}
