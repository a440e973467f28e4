//! The node's own services: parameters, `~/reset`, `~/enable`, `~/stop`, `~/takeover`.

use std::sync::Arc;

use parking_lot::Mutex;
use r2r::Node;
use r2r::std_srvs::srv::{SetBool, Trigger};
use tokio::runtime::Handle;

use super::node_error::NodeError;
use super::parameter_service::ParameterService;
use super::service::serve;
use crate::control::{Command, Takeover};
use crate::observation::ClockReport;
use crate::parameters::{Parameters, PolicyShape, Settings};
use crate::runtime::{NodeState, Shared};

/// Serves the parameters. A change that fits, including the `shape` of the policy if there is one, reaches control and the
/// inputs.
///
/// # Errors
/// When ROS 2 refuses a service.
pub fn serve_parameters(
    node: &mut Node,
    runtime: &Handle,
    parameters: &Arc<Mutex<Parameters>>,
    is_unconfigured: impl Fn() -> bool + Send + Sync + 'static,
    shape: &Arc<Shared<Option<PolicyShape>>>,
    state: &Arc<NodeState>,
) -> Result<(), NodeError> {
    let (state, shape) = (Arc::clone(state), Arc::clone(shape));
    let on_change = move |settings: &Settings, names: &[&str]| {
        shape
            .get()
            .map_or(Ok(()), |shape| settings.check_against(shape))?;
        state.settings.set(settings.runtime.clone());
        if names.contains(&"prompt") {
            state.inputs.take_prompt(&settings.prompt);
        }
        Ok(())
    };
    ParameterService::start(node, runtime, parameters, is_unconfigured, Box::new(on_change))
}

/// Serves `~/reset`, which forgets the chunk and every input: for a robot that was moved by hand.
///
/// # Errors
/// When ROS 2 refuses the service.
pub fn serve_reset(node: &mut Node, runtime: &Handle, state: &Arc<NodeState>) -> Result<(), NodeError> {
    let state = Arc::clone(state);
    serve::<Trigger::Service>(node, runtime, "~/reset", move |_| {
        state.reset();
        tracing::info!("reset: waiting for new inputs");
        Trigger::Response {
            success: true,
            message: "waiting for new inputs".to_owned(),
        }
    })
}

/// Serves `~/enable`: whether the node may move the robot.
///
/// # Errors
/// When ROS 2 refuses the service.
pub fn serve_enable(node: &mut Node, runtime: &Handle, state: &Arc<NodeState>) -> Result<(), NodeError> {
    let state = Arc::clone(state);
    serve::<SetBool::Service>(node, runtime, "~/enable", move |request| {
        let (new, message) = if request.data {
            (Command::Enabled, "enabled: the robot moves with the next chunk")
        } else {
            (Command::Disabled, "disabled: the robot comes to rest and is held")
        };
        state.command.set(new);
        let (is_carried_out, message) = answer(message, &state.clock.report());
        tracing::info!("{message}");
        SetBool::Response {
            // Nothing needs to be carried out for a robot that is only allowed to move.
            success: request.data || is_carried_out,
            message,
        }
    })
}

/// Serves `~/stop`: the robot comes to rest and is held until `~/enable`. The answer is no success while simulated time stands
/// still, though the command counts from then on.
///
/// # Errors
/// When ROS 2 refuses the service.
pub fn serve_stop(node: &mut Node, runtime: &Handle, state: &Arc<NodeState>) -> Result<(), NodeError> {
    let state = Arc::clone(state);
    serve::<Trigger::Service>(node, runtime, "~/stop", move |_| {
        state.command.set(Command::Stopped);
        let message = "stopped: the robot comes to rest and is held until ~/enable";
        let (success, message) = answer(message, &state.clock.report());
        tracing::warn!("{message}");
        Trigger::Response { success, message }
    })
}

/// Serves `~/takeover`: whether somebody else moves the robot. With true it comes to rest, and nothing is published then; with
/// false it is held where it was left, and moves from there with the next chunk.
///
/// # Errors
/// When ROS 2 refuses the service.
pub fn serve_takeover(node: &mut Node, runtime: &Handle, state: &Arc<NodeState>) -> Result<(), NodeError> {
    let state = Arc::clone(state);
    serve::<SetBool::Service>(node, runtime, "~/takeover", move |request| {
        let before = state.takeover.get();
        state.takeover.set(Takeover {
            is_requested: request.data,
            releases: before.releases + u64::from(!request.data),
        });
        let message = match request.data {
            true => "taken over: the robot comes to rest, and nothing is published then",
            false => "given back: the robot moves from where it is with the next chunk",
        };
        let (success, message) = answer(message, &state.clock.report());
        tracing::warn!("{message}");
        SetBool::Response { success, message }
    })
}

/// Whether a command that was accepted with this message can be carried out now, and the message of that.
///
/// Without time nothing can be published: commands have no stamps, and a controller that is on another clock would execute
/// them at the wrong time. The robot's controller then plays what it has to its end, which is at rest.
fn answer(message: &str, clock: &ClockReport) -> (bool, String) {
    match clock.standstill() {
        None => (true, message.to_owned()),
        Some(standstill) => (
            false,
            format!(
                "{message}; but not before time goes on: nothing is published until then, and the controller plays what it has \
                 to its end, at most look_ahead_s ({standstill})"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::Clock;

    #[test]
    fn a_command_without_time_is_not_carried_out_and_its_answer_gives_the_reason() {
        let system = Clock::system().report();
        assert_eq!(answer("stopped", &system), (true, "stopped".to_owned()));
        let (is_carried_out, message) = answer("stopped", &Clock::simulated().report());
        assert!(!is_carried_out && message.contains("/clock"), "{message}");
    }
}
