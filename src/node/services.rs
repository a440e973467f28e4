//! The services: parameters, `~/reset`, `~/enable`, `~/stop`.

use std::sync::{Arc, Mutex};

use futures::StreamExt;
use r2r::std_srvs::srv::{SetBool, Trigger};
use r2r::{Node, QosProfile, WrappedServiceTypeSupport};
use tokio::runtime::Handle;

use super::parameter_service::ParameterService;
use super::parameters::{Parameters, PolicyShape, Settings};
use super::{Inputs, NodeError, PlaybackSettings, RosClock, Shared};
use crate::control::Command;

/// The services of the parameters. A change that fits, also the `shape` of the policy if there is one, reaches control
/// and the inputs.
///
/// # Errors
/// When ROS 2 refuses a service.
pub fn serve_parameters(
    node: &mut Node,
    runtime: &Handle,
    parameters: &Arc<Mutex<Parameters>>,
    is_unconfigured: impl Fn() -> bool + Send + Sync + 'static,
    shape: &Arc<Shared<Option<PolicyShape>>>,
    playback: &Arc<Shared<PlaybackSettings>>,
    inputs: &Arc<Inputs>,
) -> Result<(), NodeError> {
    let (playback, inputs, shape) = (Arc::clone(playback), Arc::clone(inputs), Arc::clone(shape));
    let on_change = move |settings: &Settings, names: &[&str]| {
        shape
            .get()
            .map_or(Ok(()), |shape| settings.check_against(shape))?;
        playback.set(settings.playback.clone());
        if names.contains(&"prompt") {
            inputs.take_prompt(&settings.prompt);
        }
        Ok(())
    };
    ParameterService::start(node, runtime, parameters, is_unconfigured, Box::new(on_change))
}

/// `~/reset`: for when the robot was moved by other hands.
///
/// # Errors
/// When ROS 2 refuses the service.
pub fn serve_reset(
    node: &mut Node,
    runtime: &Handle,
    inputs: &Arc<Inputs>,
    clock: &Arc<RosClock>,
) -> Result<(), NodeError> {
    let (inputs, clock) = (Arc::clone(inputs), Arc::clone(clock));
    serve::<Trigger::Service>(node, runtime, "~/reset", move |_| {
        clock.reset();
        inputs.forget_before_reset(clock.resets());
        tracing::info!("reset: waiting for new inputs");
        Trigger::Response {
            success: true,
            message: "waiting for new inputs".to_owned(),
        }
    })
}

/// `~/enable`: whether the node may move the robot.
///
/// # Errors
/// When ROS 2 refuses the service.
pub fn serve_enable(
    node: &mut Node,
    runtime: &Handle,
    command: &Arc<Shared<Command>>,
) -> Result<(), NodeError> {
    let command = Arc::clone(command);
    serve::<SetBool::Service>(node, runtime, "~/enable", move |request| {
        let (new, message) = match request.data {
            true => (Command::Enabled, "enabled: the robot moves with the next chunk"),
            false => (Command::Disabled, "disabled: the robot comes to rest and is held"),
        };
        command.set(new);
        tracing::info!("{message}");
        SetBool::Response {
            success: true,
            message: message.to_owned(),
        }
    })
}

/// `~/stop`: the robot comes to rest and is held until `~/enable`.
///
/// # Errors
/// When ROS 2 refuses the service.
pub fn serve_stop(
    node: &mut Node,
    runtime: &Handle,
    command: &Arc<Shared<Command>>,
) -> Result<(), NodeError> {
    let command = Arc::clone(command);
    serve::<Trigger::Service>(node, runtime, "~/stop", move |_| {
        command.set(Command::Stopped);
        let message = "stopped: the robot comes to rest and is held until ~/enable";
        tracing::warn!("{message}");
        Trigger::Response {
            success: true,
            message: message.to_owned(),
        }
    })
}

/// Answers every request of the service `name` with `answer`, on tokio.
///
/// # Errors
/// When ROS 2 refuses the service.
pub fn serve<T: WrappedServiceTypeSupport + 'static>(
    node: &mut Node,
    runtime: &Handle,
    name: &'static str,
    answer: impl FnMut(&T::Request) -> T::Response + Send + 'static,
) -> Result<(), NodeError>
where
    T::Request: Send,
{
    serve_with_qos::<T>(node, runtime, name, QosProfile::services_default(), answer)
}

/// The same with another quality of service than that of most services.
///
/// # Errors
/// As [`serve`].
pub fn serve_with_qos<T: WrappedServiceTypeSupport + 'static>(
    node: &mut Node,
    runtime: &Handle,
    name: &'static str,
    qos: QosProfile,
    mut answer: impl FnMut(&T::Request) -> T::Response + Send + 'static,
) -> Result<(), NodeError>
where
    T::Request: Send,
{
    let mut requests = node
        .create_service::<T>(name, qos)
        .map_err(|source| NodeError::ros(name, source))?;
    runtime.spawn(async move {
        while let Some(request) = requests.next().await {
            let response = answer(&request.message);
            if let Err(error) = request.respond(response) {
                tracing::warn!("a request of {name} could not be answered: {error}");
            }
        }
    });
    Ok(())
}
