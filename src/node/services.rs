//! The services: parameters, `~/reset`, `~/enable`, `~/stop`.

use std::sync::Arc;

use futures::StreamExt;
use r2r::std_srvs::srv::{SetBool, Trigger};
use r2r::{Node, QosProfile};
use tokio::runtime::Handle;

use super::parameter_service::ParameterService;
use super::parameters::{Parameters, PolicyShape, Settings};
use super::ros_node::{NodeError, ros};
use super::{Inputs, PlaybackSettings, RosClock, Shared};
use crate::control::Command;

/// The services of the parameters. A change that fits reaches control and the inputs.
///
/// # Errors
/// When ROS 2 refuses a service.
pub fn serve_parameters(
    node: &mut Node,
    runtime: &Handle,
    parameters: Parameters,
    shape: PolicyShape,
    playback: &Arc<Shared<PlaybackSettings>>,
    inputs: &Arc<Inputs>,
) -> Result<(), NodeError> {
    let (playback, inputs) = (Arc::clone(playback), Arc::clone(inputs));
    let on_change = move |settings: &Settings, names: &[&str]| {
        settings.check_against(shape)?;
        playback.set(settings.playback.clone());
        if names.contains(&"prompt") {
            inputs.take_prompt(&settings.prompt);
        }
        Ok(())
    };
    ParameterService::start(node, runtime, parameters, Box::new(on_change))
        .map_err(|source| ros("the parameter services", source))
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
    let name = "~/reset";
    let mut requests = node
        .create_service::<Trigger::Service>(name, QosProfile::services_default())
        .map_err(|source| ros(name, source))?;
    let (inputs, clock) = (Arc::clone(inputs), Arc::clone(clock));
    runtime.spawn(async move {
        while let Some(request) = requests.next().await {
            clock.reset();
            inputs.forget_before_reset(clock.resets());
            tracing::info!("reset: waiting for new inputs");
            let response = Trigger::Response {
                success: true,
                message: "waiting for new inputs".to_owned(),
            };
            if let Err(error) = request.respond(response) {
                tracing::warn!("a request of {name} could not be answered: {error}");
            }
        }
    });
    Ok(())
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
    let name = "~/enable";
    let mut requests = node
        .create_service::<SetBool::Service>(name, QosProfile::services_default())
        .map_err(|source| ros(name, source))?;
    let command = Arc::clone(command);
    runtime.spawn(async move {
        while let Some(request) = requests.next().await {
            let (new, message) = match request.message.data {
                true => (Command::Enabled, "enabled: the robot moves with the next chunk"),
                false => (Command::Disabled, "disabled: the robot comes to rest and is held"),
            };
            command.set(new);
            tracing::info!("{message}");
            let response = SetBool::Response {
                success: true,
                message: message.to_owned(),
            };
            if let Err(error) = request.respond(response) {
                tracing::warn!("a request of {name} could not be answered: {error}");
            }
        }
    });
    Ok(())
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
    let name = "~/stop";
    let mut requests = node
        .create_service::<Trigger::Service>(name, QosProfile::services_default())
        .map_err(|source| ros(name, source))?;
    let command = Arc::clone(command);
    runtime.spawn(async move {
        while let Some(request) = requests.next().await {
            command.set(Command::Stopped);
            let message = "stopped: the robot comes to rest and is held until ~/enable";
            tracing::warn!("{message}");
            let response = Trigger::Response {
                success: true,
                message: message.to_owned(),
            };
            if let Err(error) = request.respond(response) {
                tracing::warn!("a request of {name} could not be answered: {error}");
            }
        }
    });
    Ok(())
}
