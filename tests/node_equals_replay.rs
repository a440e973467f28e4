//! A bag that is played into the live node gives the chunk that an evaluation of the bag gives.

mod common {
    pub mod ros_domain;
}

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use common::ros_domain::RosDomain;
use futures::{FutureExt, StreamExt};
use pi0_node::evaluation::bag::Bag;
use pi0_node::evaluation::{EvaluationOptions, evaluate, messages};
use pi0_node::observation::ChannelOrder;
use pi0_node::parameters::{Parameters, Settings, parameters_of, parse_override};
use pi0_node::policy::{ActionChunk, open_with};
use pi0_node::ros::Pi0Node;
use r2r::builtin_interfaces::msg::Time;
use r2r::rosgraph_msgs::msg::Clock;
use r2r::sensor_msgs::msg::{Image, JointState};
use r2r::trajectory_msgs::msg::JointTrajectory;
use r2r::{Context, Node, Parameter, ParameterValue, QosProfile};

const PATIENCE: Duration = Duration::from_secs(30);
const PROMPT: &str = "pick up the cube with the right arm";

/// As in `config/aloha_sim.yaml`, but for frames that are smaller than its crop.
fn settings(checkpoint: &Path) -> Settings {
    let file = include_str!("../config/aloha_sim.yaml");
    let more = [
        format!("checkpoint:={}", checkpoint.display()),
        format!("prompt:={PROMPT}"),
        "seed:=7".to_owned(),
        "cameras.top.crop:=[]".to_owned(),
    ];
    let parameters = parameters_of(file, "/pi0_node").unwrap().into_iter();
    Parameters::from_overrides(parameters.chain(more.iter().map(|one| parse_override(one).unwrap())))
        .unwrap()
        .settings()
        .clone()
}

/// The first chunk of an evaluation, and the messages that its observation was made of.
fn evaluated(bag: &Bag, settings: &Settings) -> (ActionChunk, Image, JointState) {
    let mut policy = open_with(&settings.checkpoint, settings.device, settings.policy.clone()).unwrap();
    let options = EvaluationOptions {
        actions_topic: None,
        execution_horizon: None,
        longest_gap: Duration::from_millis(500),
        still: 0.01,
        flow_matching_loss: false,
    };
    let mut first = None;
    evaluate(bag, &mut *policy, settings, &options, &mut |prediction| {
        first.get_or_insert_with(|| (prediction.chunk.clone(), prediction.observation.log_time));
    })
    .unwrap();
    let (chunk, log_time) = first.unwrap();
    let (mut image, mut joint_state) = (Image::default(), JointState::default());
    let topics = [
        &settings.inputs.cameras[0].topic,
        &settings.inputs.joint_states[0].topic,
    ];
    let topics: BTreeSet<String> = topics.into_iter().cloned().collect();
    bag.read(&topics, &mut |message| {
        if message.log_time > log_time {
            return ControlFlow::Break(());
        }
        match message.topic == settings.inputs.joint_states[0].topic {
            true => joint_state = state_message(message.data),
            false => image = image_message(message.data),
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    (chunk, image, joint_state)
}

fn image_message(data: &[u8]) -> Image {
    let pixels = messages::image(data, ChannelOrder::Unknown)
        .unwrap()
        .content
        .unwrap();
    Image {
        width: pixels.width(),
        height: pixels.height(),
        step: 3 * pixels.width(),
        encoding: "rgb8".to_owned(),
        data: pixels.into_raw(),
        ..Image::default()
    }
}

fn state_message(data: &[u8]) -> JointState {
    let state = messages::joint_state(data).unwrap();
    let mut message = JointState {
        name: state.content.names,
        position: state.content.positions,
        ..JointState::default()
    };
    message.header.stamp = time(state.stamp.unwrap());
    message
}

fn time(time: Duration) -> Time {
    Time {
        sec: i32::try_from(time.as_secs()).unwrap(),
        nanosec: time.subsec_nanos(),
    }
}

fn start(settings: &Settings) -> Pi0Node {
    let node = Node::create(Context::create().unwrap(), "pi0_node", "").unwrap();
    let anything = || ParameterValue::Double(f64::INFINITY);
    for (name, value) in [
        (
            "checkpoint",
            ParameterValue::String(settings.checkpoint.display().to_string()),
        ),
        (
            "cameras.top.topic",
            ParameterValue::String(settings.inputs.cameras[0].topic.clone()),
        ),
        (
            "joint_names",
            ParameterValue::StringArray(settings.joint_names.clone()),
        ),
        ("prompt", ParameterValue::String(PROMPT.to_owned())),
        ("seed", ParameterValue::Integer(7)),
        ("use_sim_time", ParameterValue::Bool(true)),
        // The robot of the recording is not where the policy would begin.
        ("joint_defaults.max_start_jump", anything()),
        ("joint_defaults.max_following_error", anything()),
        ("joint_defaults.max_velocity", anything()),
        ("look_ahead_s", ParameterValue::Double(10.0)),
        ("trajectory_history_s", ParameterValue::Double(0.0)),
        ("controller_latency_s", ParameterValue::Double(0.0)),
        // Time goes on while the policy thinks, and the recording's stamps do not.
        ("max_age_ms", ParameterValue::Double(60_000.0)),
    ] {
        node.params
            .lock()
            .unwrap()
            .insert(name.to_owned(), Parameter::new(value));
    }
    Pi0Node::start(node, |settings| {
        open_with(&settings.checkpoint, settings.device, settings.policy.clone())
    })
    .unwrap()
}

#[test]
fn the_node_publishes_the_chunk_of_the_evaluation_for_the_same_observation() {
    let domain = RosDomain::take();
    // SAFETY: nothing else of this process runs yet; it must never move a robot on the network.
    unsafe {
        for (name, value) in domain.environment() {
            std::env::set_var(name, value);
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let checkpoint = root.join("checkpoints/aloha_sim");
    let bag = Bag::open(root.join("tests/fixtures/bags/mcap_zstd")).unwrap();
    let settings = settings(&checkpoint);
    let (chunk, image, joint_state) = evaluated(&bag, &settings);

    let node = start(&settings);
    let qos = QosProfile::default();
    let mut player = Node::create(Context::create().unwrap(), "player", "").unwrap();
    let images = player
        .create_publisher(&settings.inputs.cameras[0].topic, qos.clone())
        .unwrap();
    let joint_states = player
        .create_publisher(&settings.inputs.joint_states[0].topic, qos.clone())
        .unwrap();
    let clock = player.create_publisher("/clock", qos.clone()).unwrap();
    let trajectories = player
        .subscribe::<JointTrajectory>(&settings.outputs[0].topic, qos)
        .unwrap();
    let mut trajectories = Box::pin(trajectories);
    let started = Instant::now();
    // Steps of one action, so that every tick is at an action.
    let mut now = Duration::new(
        joint_state.header.stamp.sec as u64,
        joint_state.header.stamp.nanosec,
    );
    let trajectory = loop {
        assert!(started.elapsed() < PATIENCE, "no trajectory came");
        now += settings.runtime.action_period;
        clock.publish(&Clock { clock: time(now) }).unwrap();
        images.publish(&image).unwrap();
        joint_states.publish(&joint_state).unwrap();
        player.spin_once(Duration::from_millis(20));
        if let Some(Some(trajectory)) = trajectories.next().now_or_never() {
            break trajectory;
        }
    };
    assert_eq!(trajectory.joint_names, settings.joint_names);
    // The first chunk is played from its first action on; ticks may have passed before the player heard of one.
    let played = chunk.horizon() - trajectory.points.len();
    assert!(played < 25, "{played} actions were played before");
    for (step, point) in trajectory.points.iter().enumerate() {
        let published: Vec<f32> = point.positions.iter().map(|&position| position as f32).collect();
        let predicted = chunk.action(played + step);
        for (published, predicted) in published.iter().zip(predicted) {
            assert!(
                (published - predicted).abs() < 1e-5,
                "action {step}: {published} and {predicted}"
            );
        }
    }
    node.stop();
}
