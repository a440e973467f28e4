//! The node over ROS 2 on an arm on a mobile base, as LeKiwi has it: velocities of the base beside the arm's joints, in metres
//! and degrees a second, from `nav_msgs/Odometry` and `/tf` as ros2_controllers' drive controllers publish them.

mod common {
    pub mod black_image;
    pub mod isolation;
    pub mod node_parameters;
    pub mod ros_domain;
    pub mod stand_in;
    pub mod transform;
}

use std::f64::consts::PI;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};

use common::black_image::black_image;
use common::isolation::isolated;
use common::node_parameters::{node_with, text, texts};
use common::stand_in::StandIn;
use common::transform::transform;
use futures::{FutureExt, Stream, StreamExt};
use pi0_node::parameters::Settings;
use pi0_node::policy::{ActionChunk, Observation, Policy, PolicyError, PolicyInfo};
use pi0_node::pose::{Pose, Rotation};
use pi0_node::ros::Pi0Node;
use r2r::geometry_msgs::msg::TwistStamped;
use r2r::nav_msgs::msg::Odometry;
use r2r::sensor_msgs::msg::{Image, JointState};
use r2r::std_srvs::srv::Trigger;
use r2r::tf2_msgs::msg::TFMessage;
use r2r::{Context, Node, ParameterValue, Publisher, QosProfile};

const PATIENCE: Duration = Duration::from_secs(20);
const HORIZON: usize = 50;
const ACTIONS_PER_SECOND: f64 = 30.0;
const AHEAD_M_PER_S: f64 = 0.2;
const DEGREES_PER_S: f64 = 30.0;

/// Ahead and about z, and the arm where it is.
fn predict(observation: &Observation) -> Result<ActionChunk, PolicyError> {
    let state = &observation.state;
    assert_eq!(state.len(), 4, "{state:?}");
    // The base says that it stands, or how it drives, in metres and degrees.
    assert!(state[1].abs() < 0.5 && state[3].abs() < 100.0, "{state:?}");
    let action = [state[0], AHEAD_M_PER_S as f32, 0.0, DEGREES_PER_S as f32];
    Ok(ActionChunk::new(action.repeat(HORIZON), action.len()))
}

fn start() -> Pi0Node {
    let number = ParameterValue::Double;
    let numbers = |values: &[f64]| ParameterValue::DoubleArray(values.to_vec());
    let parameters = [
        ("checkpoint", text("/stand-in")),
        ("prompt", text("bring the cup")),
        ("cameras.front.topic", text("/front")),
        ("joint_names", texts(&["lift"])),
        ("pose_names", texts(&["base"])),
        ("poses.base.base_frame", text("odom")),
        ("poses.base.tool_frame", text("base_link")),
        ("poses.base.action_axes", text("xy")),
        ("poses.base.action_rotation", text("yaw")),
        ("poses.base.action_mode", text("velocity")),
        ("poses.base.action_frame", text("tool")),
        (
            "poses.base.action_position_scale",
            number(1.0 / ACTIONS_PER_SECOND),
        ),
        (
            "poses.base.action_rotation_scale",
            number(PI / 180.0 / ACTIONS_PER_SECOND),
        ),
        ("poses.base.twist_frame", text("tool")),
        ("extra_state_names", texts(&["velocity"])),
        ("extra_state.velocity.topic", text("/odom")),
        ("extra_state.velocity.type", text("odometry")),
        ("extra_state.velocity.size", ParameterValue::Integer(3)),
        ("extra_state.velocity.scale", numbers(&[1.0, 1.0, 180.0 / PI])),
        ("state_order", texts(&["lift", "velocity"])),
        ("action_joints", texts(&["lift", "base"])),
        ("action_rate_hz", number(ACTIONS_PER_SECOND)),
        ("outputs.base.topic", text("/cmd_vel")),
        ("outputs.base.type", text("twist")),
        ("outputs.base.pose", text("base")),
        ("outputs.arm.topic", text("/lift_trajectory")),
        ("outputs.arm.joints", texts(&["lift"])),
    ];
    let node = node_with(parameters);
    let open = |_: &Settings| {
        let info = PolicyInfo {
            cameras: vec!["front".to_owned()],
            state_dim: 4,
            action_dim: 4,
            action_horizon: HORIZON,
            ..PolicyInfo::default()
        };
        Ok(Box::new(StandIn { info, predict }) as Box<dyn Policy + Send>)
    };
    Pi0Node::start(node, open).unwrap()
}

type Messages<T> = Pin<Box<dyn Stream<Item = T>>>;

/// A base that drives as it is told to, and tells so.
struct Robot {
    node: Node,
    images: Publisher<Image>,
    joint_states: Publisher<JointState>,
    odometry: Publisher<Odometry>,
    frames: Publisher<TFMessage>,
    commands: Messages<TwistStamped>,
    at: Pose,
    drives: TwistStamped,
    moved_at: Instant,
}

impl Robot {
    fn new() -> Self {
        let mut node = Node::create(Context::create().unwrap(), "robot", "").unwrap();
        let qos = QosProfile::default;
        Self {
            images: node.create_publisher("/front", qos()).unwrap(),
            joint_states: node.create_publisher("/joint_states", qos()).unwrap(),
            odometry: node.create_publisher("/odom", qos()).unwrap(),
            frames: node.create_publisher("/tf", qos()).unwrap(),
            commands: Box::pin(node.subscribe("/cmd_vel", qos()).unwrap()),
            // Not along an axis of the world.
            at: Pose {
                position: [3.0, -1.0, 0.0],
                rotation: Rotation::from_vector([0.0, 0.0, 2.0]),
            },
            drives: TwistStamped::default(),
            moved_at: Instant::now(),
            node,
        }
    }

    /// Drives until now, takes the newest command, and publishes.
    fn step(&mut self) {
        let seconds = self.moved_at.elapsed().as_secs_f64();
        self.moved_at = Instant::now();
        let velocity = &self.drives.twist;
        self.at = self.at
            * Pose {
                position: [velocity.linear.x * seconds, velocity.linear.y * seconds, 0.0],
                rotation: Rotation::from_vector([0.0, 0.0, velocity.angular.z * seconds]),
            };
        while let Some(Some(command)) = self.commands.next().now_or_never() {
            self.drives = command;
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let stamp = r2r::Clock::to_builtin_time(&now);
        self.images.publish(&black_image(stamp.clone())).unwrap();
        let mut state = JointState {
            name: vec!["lift".to_owned()],
            position: vec![0.5],
            ..JointState::default()
        };
        state.header.stamp = stamp.clone();
        self.joint_states.publish(&state).unwrap();
        let message = TFMessage {
            transforms: vec![transform("odom", "base_link", self.at, stamp.clone())],
        };
        self.frames.publish(&message).unwrap();
        let mut odometry = Odometry::default();
        odometry.header.stamp = stamp;
        odometry.twist.twist = self.drives.twist.clone();
        self.odometry.publish(&odometry).unwrap();
        self.node.spin_once(Duration::from_millis(10));
    }

    /// Drives until `look` finds something.
    fn until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            self.step();
            if let Some(found) = look(self) {
                return found;
            }
        }
        panic!("nothing in {PATIENCE:?}: {what}, at {:?}", self.at);
    }

    fn heading(&self) -> f64 {
        self.at.rotation.vector()[2]
    }
}

#[test]
fn a_base_drives_along_the_arc_of_its_velocities_and_stands_after_a_stop() {
    isolated!(|| {
        let node = start();
        let mut robot = Robot::new();
        let begin = robot.at;
        let moving = robot.until("a base that turns", |robot| {
            let turned = robot.heading() - 2.0;
            (turned > 0.6).then(|| robot.drives.clone())
        });
        assert_eq!(moving.header.frame_id, "base_link");
        let twist = &moving.twist;
        assert!((twist.linear.x - AHEAD_M_PER_S).abs() < 0.05, "{twist:?}");
        assert!(twist.linear.y.abs() < 0.05 && twist.linear.z == 0.0, "{twist:?}");
        // An arc of the radius v / ω, whose chord goes half of the way round.
        let turned = robot.heading() - 2.0;
        let radius_m = AHEAD_M_PER_S / DEGREES_PER_S.to_radians();
        let [distance_m, _] = robot.at.distances(begin);
        let chord_m = 2.0 * radius_m * (turned / 2.0).sin();
        assert!(
            (distance_m - chord_m).abs() < 0.3 * chord_m,
            "{distance_m} m of {chord_m}"
        );
        let client = robot
            .node
            .create_client::<Trigger::Service>("/pi0_node/stop", QosProfile::services_default())
            .unwrap();
        let mut response = Box::pin(client.request(&Trigger::Request {}).unwrap());
        let response = robot.until("an answer", |_| (&mut response).now_or_never());
        assert!(response.unwrap().success);
        let standing = robot.until("rest", |robot| {
            let (linear, angular) = (&robot.drives.twist.linear, &robot.drives.twist.angular);
            let all = [linear.x, linear.y, linear.z, angular.x, angular.y, angular.z];
            (all == [0.0; 6]).then_some(robot.at)
        });
        for _ in 0..20 {
            robot.step();
        }
        assert_eq!(robot.at.position, standing.position);
        node.stop();
    });
}
