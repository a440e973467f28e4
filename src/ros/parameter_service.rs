//! The parameter services of the node.
//!
//! r2r's own handler describes neither ranges nor what is read-only, cannot refuse one parameter for the sake of
//! another, and publishes no parameter events; so the services are answered here, from the definitions.

use std::sync::Arc;

use parking_lot::Mutex;
use r2r::rcl_interfaces::msg;
use r2r::rcl_interfaces::srv::{
    DescribeParameters, GetParameterTypes, GetParameters, ListParameters, SetParameters,
    SetParametersAtomically,
};
use r2r::{Node, QosProfile, WrappedServiceTypeSupport};
use tokio::runtime::Handle;

use super::node_error::NodeError;
use super::service;
use crate::parameters::{
    Allowed, Changeable, Definition, Parameter, ParameterProblem, ParameterValue, Parameters, Settings,
};

/// Told of the settings after a change, and of the names of what was set.
pub type OnChange = dyn Fn(&Settings, &[&str]) -> Result<(), Vec<ParameterProblem>> + Send + Sync;

/// The parameters, and who is told when they change.
pub struct ParameterService {
    parameters: Arc<Mutex<Parameters>>,
    is_unconfigured: Box<dyn Fn() -> bool + Send + Sync>,
    on_change: Box<OnChange>,
    events: Mutex<r2r::Publisher<msg::ParameterEvent>>,
    node_name: String,
}

impl ParameterService {
    /// Serves `parameters` under the names of the node. `is_unconfigured` tells whether the policy may be changed, and
    /// `on_change` may still refuse a change.
    ///
    /// # Errors
    /// When a service or publisher cannot be made.
    pub fn start(
        node: &mut Node,
        runtime: &Handle,
        parameters: &Arc<Mutex<Parameters>>,
        is_unconfigured: impl Fn() -> bool + Send + Sync + 'static,
        on_change: Box<OnChange>,
    ) -> Result<(), NodeError> {
        let topic = "/parameter_events";
        let events = node.create_publisher(topic, QosProfile::parameter_events());
        let events = events.map_err(|source| NodeError::ros(topic, source))?;
        let node_name = node.fully_qualified_name();
        let node_name = node_name.map_err(|source| NodeError::ros("the node's name", source))?;
        let service = Arc::new(Self {
            parameters: Arc::clone(parameters),
            is_unconfigured: Box::new(is_unconfigured),
            on_change,
            events: Mutex::new(events),
            node_name,
        });
        serve::<SetParameters::Service>(node, runtime, &service, "~/set_parameters", |service, request| {
            let results = request.parameters.iter();
            let results = results.map(|parameter| service.set(std::slice::from_ref(parameter)));
            SetParameters::Response {
                results: results.collect(),
            }
        })?;
        serve::<SetParametersAtomically::Service>(
            node,
            runtime,
            &service,
            "~/set_parameters_atomically",
            |service, request| SetParametersAtomically::Response {
                result: service.set(&request.parameters),
            },
        )?;
        serve::<GetParameters::Service>(node, runtime, &service, "~/get_parameters", |service, request| {
            let parameters = service.parameters.lock();
            let values = request.names.iter().map(|name| parameters.get(name));
            GetParameters::Response {
                values: values
                    .map(|found| found.map_or_else(Default::default, |found| message(&found.value)))
                    .collect(),
            }
        })?;
        serve::<GetParameterTypes::Service>(
            node,
            runtime,
            &service,
            "~/get_parameter_types",
            |service, request| {
                let parameters = service.parameters.lock();
                let types = request.names.iter().map(|name| parameters.get(name));
                GetParameterTypes::Response {
                    types: types
                        .map(|found| found.map_or(0, |found| message(&found.value).type_))
                        .collect(),
                }
            },
        )?;
        serve::<DescribeParameters::Service>(
            node,
            runtime,
            &service,
            "~/describe_parameters",
            |service, request| {
                let parameters = service.parameters.lock();
                let descriptors = request.names.iter().map(|name| match parameters.get(name) {
                    Some(parameter) => descriptor(name, parameter),
                    None => msg::ParameterDescriptor {
                        name: name.clone(),
                        ..Default::default()
                    },
                });
                DescribeParameters::Response {
                    descriptors: descriptors.collect(),
                }
            },
        )?;
        serve::<ListParameters::Service>(
            node,
            runtime,
            &service,
            "~/list_parameters",
            |service, request| {
                let parameters = service.parameters.lock();
                let listed = parameters.iter().map(|(name, _)| name.clone());
                let listed = listed.filter(|name| is_listed(name, &request.prefixes, request.depth));
                let names: Vec<String> = listed.collect();
                let mut prefixes: Vec<String> = names
                    .iter()
                    .filter_map(|name| Some(name.rsplit_once('.')?.0.to_owned()))
                    .collect();
                prefixes.dedup();
                ListParameters::Response {
                    result: msg::ListParametersResult { names, prefixes },
                }
            },
        )
    }

    /// Makes all of the changes, or none of them.
    fn set(&self, changes: &[msg::Parameter]) -> msg::SetParametersResult {
        let values = changes
            .iter()
            .map(|parameter| (parameter.name.as_str(), value(&parameter.value)));
        let names: Vec<&str> = changes.iter().map(|parameter| parameter.name.as_str()).collect();
        let mut parameters = self.parameters.lock();
        let is_unconfigured = (self.is_unconfigured)();
        let changed = parameters
            .with_changes(values, is_unconfigured)
            .and_then(|changed| {
                (self.on_change)(changed.settings(), &names)
                    .map_err(|mut problems| problems.swap_remove(0))?;
                Ok(changed)
            });
        match changed {
            Ok(changed) => {
                let event = event(&parameters, &changed, &names);
                *parameters = changed;
                self.publish(event);
                msg::SetParametersResult {
                    successful: true,
                    reason: String::new(),
                }
            }
            Err(problem) => {
                tracing::warn!("a change of parameters is refused: {problem}");
                msg::SetParametersResult {
                    successful: false,
                    reason: problem.to_string(),
                }
            }
        }
    }

    fn publish(&self, changed_parameters: Vec<msg::Parameter>) {
        let stamp = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
        let event = msg::ParameterEvent {
            stamp: r2r::Clock::to_builtin_time(&stamp.unwrap_or_default()),
            node: self.node_name.clone(),
            changed_parameters,
            ..msg::ParameterEvent::default()
        };
        if let Err(error) = self.events.lock().publish(&event) {
            tracing::warn!("a change of parameters could not be published on /parameter_events: {error}");
        }
    }
}

/// Answers every request of one parameter service.
fn serve<T>(
    node: &mut Node,
    runtime: &Handle,
    service: &Arc<ParameterService>,
    name: &'static str,
    answer: impl Fn(&ParameterService, &T::Request) -> T::Response + Send + 'static,
) -> Result<(), NodeError>
where
    T: WrappedServiceTypeSupport + 'static,
    T::Request: Send,
{
    let service = Arc::clone(service);
    service::serve_with_qos::<T>(node, runtime, name, QosProfile::parameters(), move |request| {
        answer(&service, request)
    })
}

/// The parameters that were `set`, and those that follow one that was, as a joint's limit follows that of all joints.
fn event(before: &Parameters, after: &Parameters, set: &[&str]) -> Vec<msg::Parameter> {
    let changed = after.iter().filter(|(name, parameter)| {
        let is_set = set.contains(&name.as_str());
        is_set
            || before
                .get(name)
                .is_none_or(|before| before.value != parameter.value)
    });
    let messages = changed.map(|(name, parameter)| msg::Parameter {
        name: name.clone(),
        value: message(&parameter.value),
    });
    messages.collect()
}

/// Whether a name is below one of the prefixes, and so many dots deep, as ROS 2 lists parameters; a depth of 0 is any.
fn is_listed(name: &str, prefixes: &[String], depth: u64) -> bool {
    let is_within = |rest: &str| depth == 0 || (rest.matches('.').count() as u64) < depth;
    let is_below = |prefix: &String| match name.strip_prefix(prefix.as_str()) {
        Some("") => true,
        Some(rest) => rest.strip_prefix('.').is_some_and(is_within),
        None => false,
    };
    match prefixes.is_empty() {
        true => is_within(name),
        false => prefixes.iter().any(is_below),
    }
}

fn descriptor(name: &str, parameter: &Parameter) -> msg::ParameterDescriptor {
    let Definition {
        allowed,
        unit,
        changeable,
        ..
    } = parameter.definition;
    let mut descriptor = msg::ParameterDescriptor {
        name: name.to_owned(),
        type_: message(&parameter.value).type_,
        description: [
            parameter.definition.description().to_owned(),
            match *unit {
                "" => String::new(),
                unit => format!(" Unit: {unit}."),
            },
            match changeable {
                Changeable::Unconfigured => " Can be set while the node is unconfigured.".to_owned(),
                Changeable::Never | Changeable::Always => String::new(),
            },
        ]
        .concat(),
        read_only: *changeable == Changeable::Never,
        ..Default::default()
    };
    match (allowed, &parameter.value) {
        (Allowed::Range(range), ParameterValue::Integer(_)) => {
            descriptor.integer_range.push(msg::IntegerRange {
                from_value: *range.start() as i64,
                to_value: *range.end() as i64,
                step: 1,
            });
        }
        (Allowed::Range(range), _) => descriptor.floating_point_range.push(msg::FloatingPointRange {
            from_value: *range.start(),
            to_value: *range.end(),
            step: 0.0,
        }),
        _ => match parameter.definition.expected() {
            any if any == "any" => {}
            expected => descriptor.additional_constraints = expected,
        },
    }
    descriptor
}

/// The numbers are those of `rcl_interfaces/msg/ParameterType`.
fn message(value: &ParameterValue) -> msg::ParameterValue {
    let mut message = msg::ParameterValue::default();
    match value.clone() {
        ParameterValue::NotSet => message.type_ = 0,
        ParameterValue::Bool(value) => (message.type_, message.bool_value) = (1, value),
        ParameterValue::Integer(value) => (message.type_, message.integer_value) = (2, value),
        ParameterValue::Double(value) => (message.type_, message.double_value) = (3, value),
        ParameterValue::String(value) => (message.type_, message.string_value) = (4, value),
        ParameterValue::ByteArray(value) => (message.type_, message.byte_array_value) = (5, value),
        ParameterValue::BoolArray(value) => (message.type_, message.bool_array_value) = (6, value),
        ParameterValue::IntegerArray(value) => (message.type_, message.integer_array_value) = (7, value),
        ParameterValue::DoubleArray(value) => (message.type_, message.double_array_value) = (8, value),
        ParameterValue::StringArray(value) => (message.type_, message.string_array_value) = (9, value),
    }
    message
}

fn value(message: &msg::ParameterValue) -> ParameterValue {
    let message = message.clone();
    match message.type_ {
        1 => ParameterValue::Bool(message.bool_value),
        2 => ParameterValue::Integer(message.integer_value),
        3 => ParameterValue::Double(message.double_value),
        4 => ParameterValue::String(message.string_value),
        5 => ParameterValue::ByteArray(message.byte_array_value),
        6 => ParameterValue::BoolArray(message.bool_array_value),
        7 => ParameterValue::IntegerArray(message.integer_array_value),
        8 => ParameterValue::DoubleArray(message.double_array_value),
        9 => ParameterValue::StringArray(message.string_array_value),
        _ => ParameterValue::NotSet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters() -> Parameters {
        let text = |text: &str| ParameterValue::String(text.to_owned());
        let given = [
            ("checkpoint", text("/checkpoint")),
            (
                "joint_names",
                ParameterValue::StringArray(vec!["waist".to_owned(), "grip".to_owned()]),
            ),
            ("cameras.top.topic", text("/top")),
        ];
        Parameters::from_overrides(given.map(|(name, value)| (name.to_owned(), value)).into_iter()).unwrap()
    }

    fn described(name: &str) -> msg::ParameterDescriptor {
        descriptor(name, parameters().get(name).unwrap())
    }

    #[test]
    fn descriptors_carry_description_unit_and_range() {
        let descriptor = described("control_rate_hz");
        assert!(descriptor.description.ends_with("Unit: hertz."));
        assert_eq!(descriptor.type_, 3);
        assert_eq!(descriptor.floating_point_range[0].to_value, 1000.0);
        assert!(!descriptor.read_only);
        let threads = described("threads");
        assert_eq!(
            (
                threads.integer_range[0].from_value,
                threads.integer_range[0].to_value
            ),
            (0, 1024)
        );
    }

    #[test]
    fn every_joint_and_camera_has_its_own_parameters() {
        let velocity = described("joints.grip.max_velocity");
        assert_eq!((velocity.type_, velocity.read_only), (3, false));
        assert_eq!(velocity.floating_point_range[0].from_value, 0.001);
        assert!(described("cameras.top.crop").read_only);
    }

    #[test]
    fn what_needs_a_restart_is_described_as_read_only() {
        assert!(described("use_sim_time").read_only);
        assert!(!described("prompt").read_only);
    }

    #[test]
    fn a_parameter_that_can_be_set_while_unconfigured_has_that_beside_its_choices() {
        let descriptor = described("device");
        assert!(!descriptor.read_only);
        assert!(
            descriptor
                .description
                .ends_with("while the node is unconfigured.")
        );
        assert_eq!(
            descriptor.additional_constraints,
            "one of auto, cpu, tenstorrent, remote"
        );
    }

    #[test]
    fn names_are_listed_by_prefix_and_depth() {
        let prefixes = |prefixes: &[&str]| {
            prefixes
                .iter()
                .map(|&prefix| prefix.to_owned())
                .collect::<Vec<_>>()
        };
        for (given, depth, expected) in [
            (&[][..], 0, true),
            (&[], 2, false),
            (&[], 3, true),
            (&["joints"], 0, true),
            (&["joints"], 1, false),
            (&["joints"], 2, true),
            (&["joints.grip"], 1, true),
            (&["joints.gr"], 0, false),
            (&["cameras", "joints.grip.scale"], 1, true),
        ] {
            let found = is_listed("joints.grip.scale", &prefixes(given), depth);
            assert_eq!(found, expected, "{given:?} {depth}");
        }
    }

    #[test]
    fn a_change_for_all_joints_is_an_event_of_each_that_follows_it() {
        let before = parameters();
        let own = [("joints.grip.max_velocity", ParameterValue::Double(1.0))];
        let before = before.with_changes(own.into_iter(), false).unwrap();
        let all = [("joint_defaults.max_velocity", ParameterValue::Double(2.0))];
        let after = before.with_changes(all.into_iter(), false).unwrap();
        let event = event(&before, &after, &["joint_defaults.max_velocity"]);
        let names: Vec<&str> = event.iter().map(|parameter| parameter.name.as_str()).collect();
        assert_eq!(
            names,
            ["joint_defaults.max_velocity", "joints.waist.max_velocity"]
        );
    }

    #[test]
    fn every_value_survives_the_message() {
        for (name, parameter) in parameters().iter() {
            assert_eq!(value(&message(&parameter.value)), parameter.value, "{name}");
        }
    }
}
