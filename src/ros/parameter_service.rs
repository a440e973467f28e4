//! The parameter services of the node.
//!
//! r2r's own handler describes neither ranges nor what is read-only, cannot refuse one parameter for the sake of
//! another, and publishes no parameter events; so the services are answered here, from the declarations.

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
    Allowed, Changeable, DECLARATIONS, Declaration, ParameterProblem, ParameterValue, Parameters, Settings,
    declaration,
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
                    .map(|value| value.map_or_else(Default::default, message))
                    .collect(),
            }
        })?;
        serve::<GetParameterTypes::Service>(
            node,
            runtime,
            &service,
            "~/get_parameter_types",
            |_, request| GetParameterTypes::Response {
                types: request.names.iter().map(|name| parameter_type(name)).collect(),
            },
        )?;
        serve::<DescribeParameters::Service>(
            node,
            runtime,
            &service,
            "~/describe_parameters",
            |_, request| DescribeParameters::Response {
                descriptors: request.names.iter().map(|name| descriptor(name)).collect(),
            },
        )?;
        serve::<ListParameters::Service>(node, runtime, &service, "~/list_parameters", |_, request| {
            // No name of a parameter has a separator, so a prefix can only be a whole name.
            let listed = DECLARATIONS.iter().map(|declaration| declaration.name.to_owned());
            let listed = listed.filter(|name| request.prefixes.is_empty() || request.prefixes.contains(name));
            ListParameters::Response {
                result: msg::ListParametersResult {
                    names: listed.collect(),
                    prefixes: Vec::new(),
                },
            }
        })
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
                *parameters = changed;
                self.publish_event(changes);
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

    fn publish_event(&self, changes: &[msg::Parameter]) {
        let stamp = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
        let event = msg::ParameterEvent {
            stamp: r2r::Clock::to_builtin_time(&stamp.unwrap_or_default()),
            node: self.node_name.clone(),
            changed_parameters: changes.to_vec(),
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

fn descriptor(name: &str) -> msg::ParameterDescriptor {
    let Some(declaration) = declaration(name) else {
        return msg::ParameterDescriptor {
            name: name.to_owned(),
            ..Default::default()
        };
    };
    let Declaration {
        allowed,
        unit,
        changeable,
        description,
        ..
    } = declaration;
    let mut descriptor = msg::ParameterDescriptor {
        name: name.to_owned(),
        type_: parameter_type(name),
        description: [
            (*description).to_owned(),
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
    match *allowed {
        Allowed::Integers { from, to } => descriptor.integer_range.push(msg::IntegerRange {
            from_value: from,
            to_value: to,
            step: 1,
        }),
        Allowed::Doubles { from, to } => descriptor.floating_point_range.push(msg::FloatingPointRange {
            from_value: from,
            to_value: to,
            step: 0.0,
        }),
        Allowed::OneOf(_) | Allowed::EachOneOf(_) | Allowed::NotEmpty => {
            descriptor.additional_constraints = declaration.expected()
        }
        Allowed::Any => {}
    }
    descriptor
}

fn parameter_type(name: &str) -> u8 {
    declaration(name).map_or(0, |declaration| message(&declaration.default.value()).type_)
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

    #[test]
    fn descriptors_carry_description_unit_and_range() {
        let descriptor = descriptor("control_rate_hz");
        assert!(descriptor.description.ends_with("Unit: hertz."));
        assert_eq!(descriptor.type_, 3);
        assert_eq!(descriptor.floating_point_range[0].to_value, 1000.0);
        assert!(!descriptor.read_only);
    }

    #[test]
    fn what_needs_a_restart_is_described_as_read_only() {
        assert!(descriptor("use_sim_time").read_only);
        assert!(!descriptor("prompt").read_only);
    }

    #[test]
    fn what_can_be_set_while_unconfigured_says_so_beside_its_choices() {
        let descriptor = descriptor("device");
        assert!(!descriptor.read_only);
        assert!(
            descriptor
                .description
                .ends_with("while the node is unconfigured.")
        );
        assert_eq!(descriptor.additional_constraints, "one of auto, cpu, tenstorrent");
    }

    #[test]
    fn every_value_survives_the_message() {
        for declaration in DECLARATIONS {
            let default = declaration.default.value();
            assert_eq!(value(&message(&default)), default);
        }
    }
}
