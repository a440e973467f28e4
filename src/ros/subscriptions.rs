//! The subscriptions: every message goes into the inputs as it comes.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use r2r::rosgraph_msgs::msg::Clock as ClockMessage;
use r2r::sensor_msgs::msg::{CompressedImage, Image, JointState};
use r2r::std_msgs::msg::{Float64MultiArray, Header};
use r2r::{Node, QosProfile, WrappedTypesupport};
use tokio::runtime::Handle;

use super::messages::{self, qos_profile};
use super::node_error::NodeError;
use crate::control::{DescribedLimits, JointLimits, joint_limits};
use crate::observation::{InputProblem, Transport, extra_state, stamp_problem};
use crate::parameters::{Parameters, QosEnd};
use crate::runtime::NodeState;

/// Subscribes to everything that an observation is made of, and to the clock where time is simulated.
///
/// # Errors
/// When ROS 2 refuses a subscription.
pub fn subscribe_inputs(
    node: &mut Node,
    runtime: &Handle,
    parameters: &Parameters,
    state: &Arc<NodeState>,
) -> Result<(), NodeError> {
    let settings = parameters.settings();
    let sensor_data = QosProfile::sensor_data().keep_last(1);
    let newest = |topic: &str| {
        let overrides = parameters.qos_overrides().of(topic, QosEnd::Subscription);
        qos_profile(sensor_data.clone(), overrides)
    };
    for (index, camera) in settings.inputs.cameras.iter().enumerate() {
        let state = Arc::clone(state);
        let (topic, qos) = (&camera.topic, newest(&camera.topic));
        match camera.transport {
            Transport::Raw => subscribe(
                node,
                runtime,
                topic,
                qos,
                Waiting::Newest,
                move |message: Image| {
                    let (image, stamp) = judged(&state, &message.header, messages::image(&message));
                    state.inputs.take_image(index, image, stamp);
                },
            )?,
            Transport::Compressed => subscribe(
                node,
                runtime,
                topic,
                qos,
                Waiting::Newest,
                move |message: CompressedImage| {
                    let image = messages::compressed_image(&message);
                    let (image, stamp) = judged(&state, &message.header, image);
                    state.inputs.take_image(index, image, stamp);
                },
            )?,
        }
    }
    for (index, joint_states) in settings.inputs.joint_states.iter().enumerate() {
        let state = Arc::clone(state);
        let (joints, prefix) = (settings.joint_names.clone(), joint_states.prefix.clone());
        // Those of several publishers on one topic: the newest alone would starve the joints of the others.
        let qos = qos_profile(
            QosProfile::sensor_data().keep_last(JOINT_STATES),
            parameters
                .qos_overrides()
                .of(&joint_states.topic, QosEnd::Subscription),
        );
        subscribe(
            node,
            runtime,
            &joint_states.topic,
            qos,
            Waiting::All,
            move |message: JointState| {
                let positions = messages::positions(&message, &prefix, &joints);
                // The clock of a message of other joints does not matter.
                let is_of_others = positions.as_ref().is_ok_and(Vec::is_empty);
                let (judged, stamp) = judged(&state, &message.header, positions);
                let positions = if is_of_others { Ok(Vec::new()) } else { judged };
                state.inputs.take_joint_positions(index, positions, stamp);
            },
        )?;
    }
    for (index, extra) in settings.inputs.extra_state.iter().enumerate() {
        let (state, size) = (Arc::clone(state), extra.size);
        let qos = newest(&extra.topic);
        subscribe(
            node,
            runtime,
            &extra.topic,
            qos,
            Waiting::Newest,
            move |message: Float64MultiArray| {
                state.inputs.take_extra_state(
                    index,
                    extra_state(&message.data, size),
                    state.clock.now().unwrap_or_default(),
                );
            },
        )?;
    }
    let prompt_state = Arc::clone(state);
    let prompt = &settings.inputs.prompt;
    let overrides = parameters.qos_overrides().of(prompt, QosEnd::Subscription);
    subscribe(
        node,
        runtime,
        prompt,
        qos_profile(QosProfile::default(), overrides),
        Waiting::Newest,
        move |message: r2r::std_msgs::msg::String| prompt_state.inputs.take_prompt(&message.data),
    )?;
    if settings.use_sim_time {
        let state = Arc::clone(state);
        subscribe(
            node,
            runtime,
            "/clock",
            QosProfile::default().keep_last(1).best_effort(),
            Waiting::Newest,
            move |message: ClockMessage| {
                if state.clock.set(messages::time(&message.clock)) {
                    tracing::info!("time jumped back: waiting for what comes after it");
                    state.inputs.forget_before_reset(state.clock.resets());
                }
            },
        )?;
    }
    Ok(())
}

/// Subscribes to the robot's description, where there is a topic for it: its limits, of the joints that get a value of the
/// actions. One that cannot be read leaves the limits that were known before, with the reason.
///
/// # Errors
/// When ROS 2 refuses the subscription.
pub fn subscribe_robot_description(
    node: &mut Node,
    runtime: &Handle,
    parameters: &Parameters,
    state: &Arc<NodeState>,
) -> Result<(), NodeError> {
    let settings = parameters.settings();
    let Some(topic) = settings.robot_description_topic.clone() else {
        return Ok(());
    };
    let (joints, state) = (settings.commanded_joints(), Arc::clone(state));
    let latched = QosProfile::default().keep_last(1).transient_local();
    let overrides = parameters.qos_overrides().of(&topic, QosEnd::Subscription);
    let qos = qos_profile(latched, overrides);
    let name = topic.clone();
    subscribe(
        node,
        runtime,
        &topic,
        qos,
        Waiting::Newest,
        move |message: r2r::std_msgs::msg::String| match joint_limits(&message.data, &joints) {
            Ok(described) => {
                let known = described.iter().filter(|one| **one != JointLimits::NONE).count();
                tracing::info!("{name}: limits of {known} of {} joints", joints.len());
                state.described_limits.set(DescribedLimits {
                    limits: (known > 0).then(|| described.into()),
                    problem: None,
                });
            }
            Err(problem) => {
                tracing::error!("{name}: {problem}");
                state.described_limits.set(DescribedLimits {
                    problem: Some(format!(
                        "the robot's description on {name} gives no limits: {problem}"
                    )),
                    ..state.described_limits.get()
                });
            }
        },
    )
}

/// The content of a message, or the problem of its stamp, and the stamp. A message that was not stamped counts as measured
/// now. Before the clock is known no stamp is judged.
fn judged<T>(
    state: &NodeState,
    header: &Header,
    value: Result<T, InputProblem>,
) -> (Result<T, InputProblem>, Duration) {
    let now = state.clock.now();
    let stamp = messages::stamp(header).or(now).unwrap_or_default();
    let max_age = state.settings.get().control.supervision.max_age;
    let problem = now.and_then(|now| stamp_problem(stamp, now, max_age));
    (value.and_then(|value| problem.map_or(Ok(value), Err)), stamp)
}

/// Joint states that may wait together.
const JOINT_STATES: usize = 16;

/// Which of the messages that wait together are taken.
enum Waiting {
    Newest,
    All,
}

/// Hands messages to `take`, on tokio.
fn subscribe<T: WrappedTypesupport + Send + 'static>(
    node: &mut Node,
    runtime: &Handle,
    topic: &str,
    qos: QosProfile,
    waiting: Waiting,
    mut take: impl FnMut(T) + Send + 'static,
) -> Result<(), NodeError> {
    let mut messages = node
        .subscribe::<T>(topic, qos)
        .map_err(|source| NodeError::ros(topic, source))?;
    runtime.spawn(async move {
        while let Some(mut message) = messages.next().await {
            while matches!(waiting, Waiting::Newest)
                && let Some(Some(newer)) = messages.next().now_or_never()
            {
                message = newer;
            }
            take(message);
        }
    });
    Ok(())
}
