//! The parameters of the node: defined once in a table, checked, and turned into settings.

mod definition;
mod file;
mod help;
mod inputs;
mod joints;
mod names;
mod outputs;
#[cfg(test)]
mod overrides;
mod policy_device;
mod poses;
mod qos_overrides;
mod reader;
mod reference;
mod ros_arguments;
mod runtime_settings;
mod server;
mod settings;
mod state_order;
mod table;
mod typed;
mod value;

use std::collections::BTreeMap;

use crate::observation::shortened;

pub use definition::{Allowed, Changeable, Definition, FILL_IN};
pub use file::{ParameterFileError, parameters_of, parse_override};
pub use help::answer;
pub use qos_overrides::{QosEnd, QosOverride, QosOverrides};
pub use reader::Parameter;
use reader::Reader;
pub use reference::{table_rows, template};
pub use ros_arguments::{RosArgumentError, parameters_of_arguments};
pub use runtime_settings::{GoalSettings, RuntimeSettings, SecondGoal};
pub use settings::{PolicyShape, Settings};
use table::NodeParameters;
pub use value::ParameterValue;

/// What is wrong with one parameter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: found {found}, expected {expected}")]
pub struct ParameterProblem {
    /// Full name of the parameter.
    pub name: String,
    /// Value that was found, as YAML.
    pub found: String,
    /// Description of what is expected.
    pub expected: String,
}

impl ParameterProblem {
    fn new(name: impl Into<String>, found: impl ToString, expected: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            found: shortened(&found.to_string()),
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
    /// As they were set, at start or later.
    given: BTreeMap<String, ParameterValue>,
    /// Every parameter that the node has, by its full name.
    parameters: BTreeMap<String, Parameter>,
    settings: Settings,
    qos_overrides: QosOverrides,
}

impl Parameters {
    /// The defaults with what was set at start; of two values of one name the later counts.
    ///
    /// # Errors
    /// Every parameter that is unknown, of the wrong type, out of range, or does not fit another one.
    pub fn from_overrides(
        overrides: impl Iterator<Item = (String, ParameterValue)>,
    ) -> Result<Self, Vec<ParameterProblem>> {
        Self::read(overrides.collect())
    }

    fn read(given: BTreeMap<String, ParameterValue>) -> Result<Self, Vec<ParameterProblem>> {
        let mut reader = Reader::new(&given);
        let typed = NodeParameters::read(&mut reader);
        inputs::check(&typed, &mut reader);
        joints::check(&typed, &mut reader);
        poses::check(&typed, &mut reader);
        state_order::check(&typed, &mut reader);
        server::check(&typed, &mut reader);
        let settings = Settings::new(&typed);
        // Which joints are commanded is known only where the joints are whole.
        if reader.is_fine() {
            let (joints, poses) = (settings.commanded_joints(), settings.commanded_poses());
            outputs::check(&typed, &joints, &poses, &mut reader);
        }
        reader.refuse_unknown();
        let (parameters, mut problems) = reader.finish();
        let qos = given.iter().filter(|(name, _)| QosOverrides::is_one(name));
        let (subscribed, published) = (settings.subscribed_topics(), settings.published_topics());
        match QosOverrides::from_parameters(qos, &subscribed, &published) {
            Ok(qos_overrides) if problems.is_empty() => Ok(Self {
                given,
                parameters,
                settings,
                qos_overrides,
            }),
            of_topics => {
                problems.extend(of_topics.err().into_iter().flatten());
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

    /// The parameter of a full name; none when the node has none of that name.
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.parameters.get(name)
    }

    /// Every parameter by its full name.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Parameter)> {
        self.parameters.iter()
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
        let mut given = self.given.clone();
        for (name, value) in changes {
            let Some(Parameter {
                value: current,
                definition,
            }) = self.get(name)
            else {
                let expected = names::expected_name(name, self.parameters.keys());
                return Err(ParameterProblem::new(name, value, expected));
            };
            let refused = match definition.changeable {
                Changeable::Never => Some("needs a restart"),
                Changeable::Unconfigured if !is_unconfigured => {
                    Some("needs the lifecycle transition cleanup first, or a restart")
                }
                Changeable::Unconfigured | Changeable::Always => None,
            };
            let is_change = || definition.check(&value).is_ok_and(|value| value != *current);
            if let Some(needs) = refused.filter(|_| is_change()) {
                let expected = format!("{current}: a change {needs}");
                return Err(ParameterProblem::new(name, value, expected));
            }
            given.insert(name.to_owned(), value);
        }
        Self::read(given).map_err(|mut problems| problems.swap_remove(0))
    }
}

#[cfg(test)]
mod tests {
    use super::overrides::{names, parameters, problem, problems, text};
    use super::*;

    fn refusal(name: &str, value: ParameterValue) -> String {
        let refused = parameters(&[])
            .unwrap()
            .with_changes([(name, value)].into_iter(), false);
        refused.unwrap_err().to_string()
    }

    #[test]
    fn every_problem_at_start_is_listed_at_once() {
        let overrides = [
            ("control_rate_hs", ParameterValue::Double(50.0)),
            ("control_rate_hz", ParameterValue::Double(0.0)),
            ("device", ParameterValue::Bool(true)),
            ("joints.waist.scale", ParameterValue::Double(0.0)),
            ("joint_names", names("waist")),
            ("absent_cameras", names("top")),
            ("cameras.top.topic", text("/top")),
            ("camera_topics", names("/top")),
            (
                "qos_overrides./tap.subscription.depth",
                ParameterValue::Integer(1),
            ),
        ];
        let overrides = overrides.map(|(name, value)| (name.to_owned(), value));
        let problems = Parameters::from_overrides(overrides.into_iter()).unwrap_err();
        let names: Vec<&str> = problems.iter().map(|problem| problem.name.as_str()).collect();
        let expected = [
            "checkpoint",
            "device",
            "joints.waist.scale",
            "control_rate_hz",
            "absent_cameras",
            "camera_topics",
            "control_rate_hs",
            "qos_overrides./tap.subscription.depth",
        ];
        assert_eq!(names, expected);
        assert_eq!(
            problems[0].to_string(),
            "checkpoint: found nothing, expected not empty"
        );
        assert_eq!(
            problems[1].to_string(),
            "device: found true, expected a value of type string"
        );
        assert_eq!(problems[6].expected, "control_rate_hz, or another parameter");
    }

    #[test]
    fn a_robot_without_joints_or_cameras_is_refused() {
        let checkpoint = ("checkpoint".to_owned(), text("/checkpoint"));
        let problems = Parameters::from_overrides([checkpoint].into_iter()).unwrap_err();
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let expected = [
            "joint_names: found nothing, expected at least one, none of them empty",
            "cameras: found nothing, expected cameras.<name>.topic of at least one camera",
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn names_that_no_parameter_has_are_refused_with_what_is_there() {
        assert_eq!(
            problem(&[("cameras.topp.crop", ParameterValue::NotSet)]),
            "cameras.topp.crop: found nothing, expected one of the cameras with a topic: top"
        );
        let none = problem(&[("outputs.arm.joints", names("waist"))]);
        assert!(
            none.contains("one of the outputs with a topic: there are none"),
            "{none}"
        );
        let unlike = problem(&[("something_else", ParameterValue::Integer(1))]);
        assert!(unlike.contains("--print-parameters"), "{unlike}");
    }

    #[test]
    fn parameters_that_ros_sets_on_any_node_are_no_problem() {
        let overrides = [
            (
                "qos_overrides./clock.subscription.depth",
                ParameterValue::Integer(1),
            ),
            ("start_type_description_service", ParameterValue::Bool(false)),
        ];
        assert_eq!(problems(&overrides), [""; 0]);
    }

    #[test]
    fn a_change_while_running_arrives_in_the_settings() {
        let changes = [("control_rate_hz", ParameterValue::Double(10.0))];
        let changed = parameters(&[])
            .unwrap()
            .with_changes(changes.into_iter(), false)
            .unwrap();
        let period = changed.settings().runtime.control_period;
        assert_eq!(period, std::time::Duration::from_millis(100));
        assert_eq!(
            changed.get("control_rate_hz").unwrap().value,
            ParameterValue::Double(10.0)
        );
    }

    #[test]
    fn a_limit_of_one_joint_or_of_all_changes_while_running() {
        let started = parameters(&[("joints.grip.max_velocity", ParameterValue::Double(1.0))]).unwrap();
        let changes = [
            ("joint_defaults.max_velocity", ParameterValue::Double(2.0)),
            ("joints.elbow.max_velocity", ParameterValue::Integer(4)),
        ];
        let changed = started.with_changes(changes.into_iter(), false).unwrap();
        let limits = changed.settings().runtime.control.limits.clone().unwrap();
        assert_eq!(
            limits.iter().map(|limits| limits.velocity).collect::<Vec<_>>(),
            [2.0, 4.0, 1.0]
        );
        let waist = &changed.get("joints.waist.max_velocity").unwrap().value;
        assert_eq!(*waist, ParameterValue::Double(2.0));
        assert!(refusal("joints.waist.scale", ParameterValue::Double(2.0)).contains("needs a restart"));
    }

    #[test]
    fn a_refusal_quotes_a_long_value_in_short() {
        let refused = refusal("device", text(&"x".repeat(100_000)));
        assert!(refused.contains("xxx…") && refused.len() < 400, "{refused}");
    }

    #[test]
    fn a_new_entry_of_a_map_needs_a_restart() {
        let refused = refusal("cameras.wrist.topic", text("/wrist"));
        assert!(
            refused.starts_with("cameras.wrist.topic: found \"/wrist\", expected"),
            "{refused}"
        );
    }

    #[test]
    fn a_change_that_needs_a_restart_is_refused_and_setting_the_value_it_has_is_not() {
        let simulated = ParameterValue::Bool(true);
        assert!(refusal("use_sim_time", simulated).contains("needs a restart"));
        let same = [("use_sim_time", ParameterValue::Bool(false))];
        assert!(
            parameters(&[])
                .unwrap()
                .with_changes(same.into_iter(), false)
                .is_ok()
        );
    }

    #[test]
    fn the_policy_is_changed_while_the_node_is_unconfigured_and_not_else() {
        assert!(refusal("device", text("cpu")).contains("cleanup"));
        let started = parameters(&[]).unwrap();
        let changed = started
            .with_changes([("device", text("cpu"))].into_iter(), true)
            .unwrap();
        assert_eq!(changed.get("device").unwrap().value, text("cpu"));
        let never = [("use_sim_time", ParameterValue::Bool(true))];
        assert!(started.with_changes(never.into_iter(), true).is_err());
    }

    #[test]
    fn a_wrong_change_is_refused_with_the_reason() {
        let refused = refusal("control_rate_hz", ParameterValue::Double(-3.0));
        assert_eq!(refused, "control_rate_hz: found -3.0, expected 1 to 1000");
        assert!(refusal("control_rate", ParameterValue::Integer(1)).contains("control_rate_hz"));
    }

    /// The value that `ros2 param load` sets for one that `ros2 param dump` wrote. It reads Python's text of the value as
    /// YAML 1.1: `[]` is an array of booleans, and numbers without a point are texts.
    fn loaded(value: &ParameterValue) -> ParameterValue {
        use ParameterValue::{BoolArray, Double};
        match value {
            empty if empty.is_empty_array() => BoolArray(Vec::new()),
            Double(number) if number.is_infinite() => text(&number.to_string()),
            Double(number) if *number != 0.0 && number.abs() < 1e-4 => text(&format!("{number:e}")),
            other => other.clone(),
        }
    }

    #[test]
    fn every_value_that_ros2_dumps_can_be_loaded_again() {
        let started = parameters(&[
            ("joint_defaults.max_acceleration", ParameterValue::Double(2.0)),
            ("joints.grip.max_velocity", ParameterValue::Double(f64::INFINITY)),
            ("joints.grip.scale", ParameterValue::Double(1e-5)),
        ])
        .unwrap();
        for (name, parameter) in started.iter() {
            let change = [(name.as_str(), loaded(&parameter.value))];
            let again = started.with_changes(change.into_iter(), false);
            let again = again.unwrap_or_else(|refusal| panic!("{refusal}"));
            assert_eq!(again.get(name).unwrap().value, parameter.value, "{name}");
        }
        let all = started
            .iter()
            .map(|(name, parameter)| (name.clone(), loaded(&parameter.value)));
        let again = Parameters::from_overrides(all).unwrap();
        assert_eq!(again.settings(), started.settings());
    }

    #[test]
    fn a_limit_is_cleared_by_infinity_however_it_is_written() {
        let limit = ("joints.grip.max_acceleration", ParameterValue::Double(2.0));
        let started = parameters(&[limit]).unwrap();
        for none in [ParameterValue::Double(f64::INFINITY), text("inf")] {
            let change = [("joints.grip.max_acceleration", none)];
            let cleared = started.with_changes(change.into_iter(), false).unwrap();
            let limit = &cleared.get("joints.grip.max_acceleration").unwrap().value;
            assert_eq!(*limit, ParameterValue::Double(f64::INFINITY));
        }
    }

    #[test]
    fn every_parameter_set_to_the_value_it_has_changes_nothing() {
        let ends = |first, last| ParameterValue::DoubleArray(vec![first, last]);
        let started = parameters(&[
            ("joint_defaults.scale", ParameterValue::Double(57.3)),
            ("joints.grip.robot_range", ends(0.0, 0.8)),
            ("joints.grip.policy_range", ends(0.0, 100.0)),
            ("joint_states.left.topic", text("/left/joint_states")),
            ("outputs.all.topic", text("/commands")),
            ("outputs.all.joints", names("grip waist elbow")),
        ]);
        let started = started.unwrap();
        let dumped = started
            .iter()
            .map(|(name, parameter)| (name.clone(), parameter.value.clone()));
        let again = Parameters::from_overrides(dumped).unwrap();
        assert_eq!(again.settings(), started.settings());
    }
}
