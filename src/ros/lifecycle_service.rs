//! The lifecycle services of the node, for `ros2 lifecycle` and launch files.
//!
//! rcl has them for client libraries that use its state machine; r2r does not, so they are answered here.

use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use r2r::lifecycle_msgs::msg;
use r2r::lifecycle_msgs::srv::{ChangeState, GetAvailableStates, GetAvailableTransitions, GetState};
use r2r::{Node, QosProfile};
use tokio::runtime::Handle;

use super::node_error::NodeError;
use super::service::serve;
use crate::runtime::{
    ChangeError, Lifecycle, LifecycleState, Managed, TRANSITIONS, Transition, TransitionEvent, with_causes,
};

/// Publishes every change of state on `~/transition_event`.
///
/// # Errors
/// When the publisher cannot be made.
pub fn transition_events(
    node: &mut Node,
) -> Result<impl Fn(TransitionEvent) + Send + Sync + use<>, NodeError> {
    let topic = "~/transition_event";
    let events = node.create_publisher::<msg::TransitionEvent>(topic, QosProfile::default());
    let events = Mutex::new(events.map_err(|source| NodeError::ros(topic, source))?);
    Ok(move |event: TransitionEvent| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let message = msg::TransitionEvent {
            timestamp: now.map_or(0, |now| now.as_nanos() as u64),
            transition: transition(event.id, event.label),
            start_state: state(event.start),
            goal_state: state(event.goal),
        };
        if let Err(error) = events.lock().publish(&message) {
            tracing::warn!("a change of the lifecycle state could not be published: {error}");
        }
    })
}

/// Serves the states and transitions of `lifecycle` under the node's name.
///
/// # Errors
/// When a service cannot be made.
pub fn serve_lifecycle<M: Managed<Error: std::error::Error + 'static> + Send + 'static>(
    node: &mut Node,
    runtime: &Handle,
    lifecycle: &Arc<Lifecycle<M>>,
) -> Result<(), NodeError> {
    let asked = Arc::clone(lifecycle);
    serve::<GetState::Service>(node, runtime, "~/get_state", move |_| GetState::Response {
        current_state: state(asked.state()),
    })?;
    serve::<GetAvailableStates::Service>(node, runtime, "~/get_available_states", |_| {
        GetAvailableStates::Response {
            available_states: LifecycleState::ALL.map(state).to_vec(),
        }
    })?;
    let asked = Arc::clone(lifecycle);
    serve::<GetAvailableTransitions::Service>(node, runtime, "~/get_available_transitions", move |_| {
        GetAvailableTransitions::Response {
            available_transitions: asked.state().transitions().map(description).collect(),
        }
    })?;
    serve::<GetAvailableTransitions::Service>(node, runtime, "~/get_transition_graph", |_| {
        GetAvailableTransitions::Response {
            available_transitions: TRANSITIONS.iter().map(description).collect(),
        }
    })?;
    let changed = Arc::clone(lifecycle);
    serve::<ChangeState::Service>(node, runtime, "~/change_state", move |request| {
        let msg::Transition { id, label } = &request.transition;
        // A checkpoint takes long to load, and the other services go on meanwhile.
        let done = tokio::task::block_in_place(|| changed.change(*id, label));
        if let Err(problem) = &done {
            let stays = changed.state().label();
            match problem {
                ChangeError::Failed(error) => tracing::error!(
                    "the node stays {stays}: {}; /diagnostics has it too, in last_error of pi0_node: inference",
                    with_causes(error)
                ),
                ChangeError::InvalidTransition { .. } => tracing::error!("the node stays {stays}: {problem}"),
            }
        }
        ChangeState::Response {
            success: done.is_ok(),
        }
    })
}

fn state(state: LifecycleState) -> msg::State {
    msg::State {
        id: state as u8,
        label: state.label().to_owned(),
    }
}

fn transition(id: u8, label: &str) -> msg::Transition {
    msg::Transition {
        id,
        label: label.to_owned(),
    }
}

fn description(transition: &Transition) -> msg::TransitionDescription {
    msg::TransitionDescription {
        transition: self::transition(transition.id, transition.label),
        start_state: state(transition.start),
        goal_state: state(transition.goal),
    }
}
