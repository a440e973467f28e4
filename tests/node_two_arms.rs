//! The node over ROS 2 on a robot of two arms: several topics for one state, a compressed camera.

mod common {
    pub mod isolation;
    pub mod node_parameters;
    pub mod ros_domain;
    pub mod stand_in;
}

use std::io::Cursor;
use std::time::{Duration, Instant};

use common::isolation::isolated;
use common::node_parameters::{node_with, text, texts};
use common::stand_in::StandIn;
use futures::{FutureExt, StreamExt};
use image::{ImageFormat, Rgb, RgbImage};
use pi0_node::parameters::Settings;
use pi0_node::policy::{ActionChunk, Observation, Policy, PolicyError, PolicyInfo};
use pi0_node::ros::Pi0Node;
use r2r::sensor_msgs::msg::{CompressedImage, JointState};
use r2r::std_msgs::msg::Float64MultiArray;
use r2r::trajectory_msgs::msg::JointTrajectory;
use r2r::{Context, Node, ParameterValue, Publisher, QosProfile};

const PATIENCE: Duration = Duration::from_secs(20);
const HORIZON: usize = 50;

/// Commands the joints that it saw, each plus the last value of the state.
fn predict(observation: &Observation) -> Result<ActionChunk, PolicyError> {
    assert_eq!(observation.images["top"].dimensions(), (4, 3));
    assert_eq!(observation.images["top"].get_pixel(1, 1).0, [10, 20, 30]);
    let [joints @ .., extra] = &observation.state[..] else {
        panic!("{:?}", observation.state)
    };
    let action = joints.iter().map(|joint| joint + extra);
    let actions = action.cycle().take(HORIZON * joints.len());
    Ok(ActionChunk::new(actions.collect(), joints.len()))
}

/// No limit.
fn anything() -> ParameterValue {
    ParameterValue::Double(f64::INFINITY)
}

/// Two arms whose joints have the same names, and a force sensor.
fn start(more: &[(&'static str, ParameterValue)]) -> Pi0Node {
    let parameters = [
        ("checkpoint", text("/stand-in")),
        ("prompt", text("wave")),
        ("cameras.top.topic", text("/top/compressed")),
        ("cameras.top.transport", text("compressed")),
        (
            "joint_names",
            texts(&["left_waist", "left_grip", "right_waist", "right_grip"]),
        ),
        ("joint_states.left.topic", text("/left/joint_states")),
        ("joint_states.left.prefix", text("left_")),
        ("joint_states.right.topic", text("/right/joint_states")),
        ("joint_states.right.prefix", text("right_")),
        ("extra_state_names", texts(&["force"])),
        ("extra_state.force.topic", text("/force")),
        ("extra_state.force.size", ParameterValue::Integer(1)),
        ("sync_slop_ms", ParameterValue::Double(100.0)),
        // The force makes the first action 100 further than where the robot is.
        ("joint_defaults.max_start_jump", anything()),
        ("joint_defaults.max_following_error", anything()),
        ("joint_defaults.max_velocity", anything()),
        ("look_ahead_s", ParameterValue::Double(10.0)),
        ("trajectory_history_s", ParameterValue::Double(0.0)),
        ("controller_latency_s", ParameterValue::Double(0.0)),
        (
            "qos_overrides./top/compressed.subscription.reliability",
            text("reliable"),
        ),
    ];
    let node = node_with(parameters.into_iter().chain(more.iter().cloned()));
    let open = |_: &Settings| {
        let info = PolicyInfo {
            state_dim: 5,
            action_dim: 4,
            action_horizon: HORIZON,
            ..PolicyInfo::default()
        };
        Ok(Box::new(StandIn { info, predict }) as Box<dyn Policy + Send>)
    };
    Pi0Node::start(node, open).unwrap()
}

struct Robot {
    node: Node,
    image: Publisher<CompressedImage>,
    arms: [Publisher<JointState>; 2],
    force: Publisher<Float64MultiArray>,
    picture: Vec<u8>,
}

impl Robot {
    fn new() -> Self {
        let mut node = Node::create(Context::create().unwrap(), "robot", "").unwrap();
        let qos = QosProfile::default;
        let mut picture = Cursor::new(Vec::new());
        RgbImage::from_pixel(4, 3, Rgb([10, 20, 30]))
            .write_to(&mut picture, ImageFormat::Png)
            .unwrap();
        Self {
            image: node.create_publisher("/top/compressed", qos()).unwrap(),
            arms: ["/left/joint_states", "/right/joint_states"]
                .map(|topic| node.create_publisher(topic, qos()).unwrap()),
            force: node.create_publisher("/force", qos()).unwrap(),
            picture: picture.into_inner(),
            node,
        }
    }

    /// Everything of one moment.
    fn publish(&mut self) {
        let now = std::time::SystemTime::now();
        let now = now.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
        let stamp = r2r::Clock::to_builtin_time(&now);
        let mut image = CompressedImage {
            format: "png".to_owned(),
            data: self.picture.clone(),
            ..CompressedImage::default()
        };
        image.header.stamp = stamp.clone();
        self.image.publish(&image).unwrap();
        for (arm, publisher) in self.arms.iter().enumerate() {
            let mut state = JointState {
                name: vec!["grip".to_owned(), "waist".to_owned()],
                position: vec![arm as f64 + 0.5, arm as f64],
                ..JointState::default()
            };
            state.header.stamp = stamp.clone();
            publisher.publish(&state).unwrap();
        }
        let force = Float64MultiArray {
            data: vec![100.0],
            ..Float64MultiArray::default()
        };
        self.force.publish(&force).unwrap();
        self.node.spin_once(Duration::from_millis(10));
    }
}

#[test]
fn parts_of_a_state_from_several_topics_become_one_trajectory() {
    isolated!(|| {
        let node = start(&[]);
        let mut robot = Robot::new();
        let trajectories = robot
            .node
            .subscribe::<JointTrajectory>("/joint_trajectory", QosProfile::default())
            .unwrap();
        let mut trajectories = Box::pin(trajectories);
        let started = Instant::now();
        let trajectory = loop {
            assert!(started.elapsed() < PATIENCE, "no trajectory came");
            robot.publish();
            if let Some(Some(trajectory)) = trajectories.next().now_or_never() {
                break trajectory;
            }
        };
        assert_eq!(
            trajectory.joint_names,
            ["left_waist", "left_grip", "right_waist", "right_grip"]
        );
        assert_eq!(trajectory.points[0].positions, [100.0, 100.5, 101.0, 101.5]);
        node.stop();
    });
}

#[test]
fn each_controller_gets_its_own_joints_in_the_robot_s_conventions() {
    isolated!(|| {
        let doubles = |values: &[f64]| ParameterValue::DoubleArray(values.to_vec());
        let node = start(&[
            ("outputs.left.topic", text("/left/trajectory")),
            ("outputs.left.joints", texts(&["left_waist"])),
            ("outputs.left.prefix", text("left_")),
            ("outputs.right.topic", text("/right/trajectory")),
            ("outputs.right.joints", texts(&["right_waist"])),
            ("outputs.right.prefix", text("right_")),
            ("outputs.grips.topic", text("/grips/commands")),
            ("outputs.grips.type", text("array")),
            ("outputs.grips.joints", texts(&["right_grip", "left_grip"])),
            ("joints.right_waist.scale", ParameterValue::Double(-1.0)),
            ("joints.left_grip.robot_range", doubles(&[0.0, 0.5])),
            ("joints.left_grip.policy_range", doubles(&[0.0, 100.0])),
        ]);
        let mut robot = Robot::new();
        let mut arms = ["/left/trajectory", "/right/trajectory"].map(|topic| {
            Box::pin(
                robot
                    .node
                    .subscribe::<JointTrajectory>(topic, QosProfile::default())
                    .unwrap(),
            )
        });
        let grips = robot
            .node
            .subscribe::<Float64MultiArray>("/grips/commands", QosProfile::default())
            .unwrap();
        let mut grips = Box::pin(grips);
        let chunks = robot
            .node
            .subscribe::<JointTrajectory>("/pi0_node/chunk", QosProfile::default())
            .unwrap();
        let mut chunks = Box::pin(chunks);
        let started = Instant::now();
        let mut found = (None, None, None);
        while found.0.is_none() || found.1.is_none() || found.2.is_none() {
            assert!(
                started.elapsed() < PATIENCE,
                "not every controller was told something"
            );
            robot.publish();
            found.0 = found.0.or(arms[0].next().now_or_never().flatten());
            found.1 = found.1.or(arms[1].next().now_or_never().flatten());
            found.2 = found.2.or(grips.next().now_or_never().flatten());
        }
        let (left, right, grips) = (found.0.unwrap(), found.1.unwrap(), found.2.unwrap());
        // The policy adds 100, in its own units, to what it sees.
        assert_eq!(
            (&left.joint_names[..], left.points[0].positions[0]),
            (&["waist".to_owned()][..], 100.0)
        );
        assert_eq!(
            (&right.joint_names[..], right.points[0].positions[0]),
            (&["waist".to_owned()][..], -99.0)
        );
        // The robot is to stay.
        assert_eq!(left.points.len(), 2);
        assert_eq!(grips.data, [101.5, 1.0]);
        let chunk = loop {
            assert!(started.elapsed() < PATIENCE, "no chunk came");
            robot.publish();
            if let Some(Some(chunk)) = chunks.next().now_or_never() {
                break chunk;
            }
        };
        assert_eq!(
            chunk.joint_names,
            ["left_waist", "left_grip", "right_waist", "right_grip"]
        );
        assert_eq!(chunk.points.len(), HORIZON);
        assert_eq!(chunk.points[1].positions, [100.0, 1.0, -99.0, 101.5]);
        let from_start = &chunk.points[49].time_from_start;
        assert_eq!((from_start.sec, from_start.nanosec), (0, 980_000_000));
        node.stop();
    });
}
