//! The subscriptions: every message goes into the inputs as it comes.

use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use r2r::rosgraph_msgs::msg::Clock;
use r2r::sensor_msgs::msg::{CompressedImage, Image, JointState};
use r2r::std_msgs::msg::{Float64MultiArray, Header};
use r2r::{Node, QosProfile, WrappedTypesupport};
use tokio::runtime::Handle;

use super::messages::{self, qos_profile};
use super::parameters::{Parameters, QosEnd};
use super::ros_node::{NodeError, ros};
use super::{Inputs, RosClock, Transport, extra_state};

/// Subscribes to everything that an observation is made of, and to the clock where time is simulated.
///
/// # Errors
/// When ROS 2 refuses a subscription.
pub fn subscribe_inputs(
    node: &mut Node,
    runtime: &Handle,
    parameters: &Parameters,
    inputs: &Arc<Inputs>,
    clock: &Arc<RosClock>,
) -> Result<(), NodeError> {
    let settings = parameters.settings();
    let sensor_data = QosProfile::sensor_data().keep_last(1);
    let newest = |topic: &str| {
        let overrides = parameters.qos_overrides().of(topic, QosEnd::Subscription);
        qos_profile(sensor_data.clone(), overrides)
    };
    // What its sender did not stamp counts as measured when it came.
    let times = Arc::clone(clock);
    let stamp = move |header: Option<&Header>| {
        header
            .and_then(messages::stamp)
            .or_else(|| times.now())
            .unwrap_or_default()
    };
    for (index, camera) in settings.inputs.cameras.iter().enumerate() {
        let (inputs, stamp) = (Arc::clone(inputs), stamp.clone());
        let (topic, qos) = (&camera.topic, newest(&camera.topic));
        match camera.transport {
            Transport::Raw => subscribe(
                node,
                runtime,
                topic,
                qos,
                Waiting::Newest,
                move |message: Image| {
                    inputs.take_image(index, messages::image(&message), stamp(Some(&message.header)));
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
                    inputs.take_image(index, image, stamp(Some(&message.header)));
                },
            )?,
        }
    }
    for (index, joint_states) in settings.inputs.joint_states.iter().enumerate() {
        let (inputs, stamp) = (Arc::clone(inputs), stamp.clone());
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
                inputs.take_joint_positions(index, positions, stamp(Some(&message.header)));
            },
        )?;
    }
    for (index, extra) in settings.inputs.extra_state.iter().enumerate() {
        let (inputs, stamp, size) = (Arc::clone(inputs), stamp.clone(), extra.size);
        let qos = newest(&extra.topic);
        subscribe(
            node,
            runtime,
            &extra.topic,
            qos,
            Waiting::Newest,
            move |message: Float64MultiArray| {
                inputs.take_extra_state(index, extra_state(&message.data, size), stamp(None));
            },
        )?;
    }
    let prompt_inputs = Arc::clone(inputs);
    let prompt = &settings.inputs.prompt;
    let overrides = parameters.qos_overrides().of(prompt, QosEnd::Subscription);
    subscribe(
        node,
        runtime,
        prompt,
        qos_profile(QosProfile::default(), overrides),
        Waiting::Newest,
        move |message: r2r::std_msgs::msg::String| prompt_inputs.take_prompt(&message.data),
    )?;
    if settings.use_sim_time {
        let (inputs, clock) = (Arc::clone(inputs), Arc::clone(clock));
        subscribe(
            node,
            runtime,
            "/clock",
            QosProfile::default().keep_last(1).best_effort(),
            Waiting::Newest,
            move |message: Clock| {
                if clock.set(messages::time(&message.clock)) {
                    tracing::info!("time jumped back: waiting for what comes after it");
                    inputs.forget_before_reset(clock.resets());
                }
            },
        )?;
    }
    Ok(())
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
        .map_err(|source| ros(topic, source))?;
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
