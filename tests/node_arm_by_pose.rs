//! The node over ROS 2 on an arm by pose with a gripper, as LIBERO has it.

mod common {
    pub mod black_image;
    pub mod isolation;
    pub mod node_parameters;
    pub mod ros_domain;
    pub mod stand_in;
    pub mod transform;
}

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
use r2r::diagnostic_msgs::msg::DiagnosticArray;
use r2r::geometry_msgs::msg::{PoseStamped, TwistStamped};
use r2r::sensor_msgs::msg::{Image, JointState};
use r2r::std_srvs::srv::Trigger;
use r2r::tf2_msgs::msg::TFMessage;
use r2r::trajectory_msgs::msg::JointTrajectory;
use r2r::{Context, Node, ParameterValue, Publisher, QosProfile, WrappedTypesupport};

const PATIENCE: Duration = Duration::from_secs(20);
const HORIZON: usize = 50;
const PI: f32 = std::f32::consts::PI;

/// Up by 1 mm and about z by 5 mrad with every action of a fiftieth of a second, and the gripper half open.
fn predict(observation: &Observation) -> Result<ActionChunk, PolicyError> {
    let state = &observation.state;
    assert_eq!(state.len(), 8, "{state:?}");
    let near = |value: f32, expected: f32| (value - expected).abs() < 0.5;
    assert!(
        near(state[0], 0.4) && near(state[3].hypot(state[4]), PI),
        "{state:?}"
    );
    assert_eq!(state[6..], [0.04, -0.04], "{state:?}");
    let action = [0.0, 0.0, 0.02, 0.0, 0.0, 0.01, 0.0];
    Ok(ActionChunk::new(action.repeat(HORIZON), action.len()))
}

fn start(more: &[(&'static str, ParameterValue)]) -> Pi0Node {
    let number = ParameterValue::Double;
    let parameters = [
        ("checkpoint", text("/stand-in")),
        ("prompt", text("lift")),
        ("cameras.front.topic", text("/front")),
        ("joint_names", texts(&["left_finger", "right_finger", "gripper"])),
        ("pose_names", texts(&["tool"])),
        ("poses.tool.base_frame", text("base")),
        ("state_order", texts(&["tool", "left_finger", "right_finger"])),
        (
            "poses.tool.rotation_near",
            ParameterValue::DoubleArray(vec![f64::from(PI), 0.0, 0.0]),
        ),
        ("action_joints", texts(&["tool", "gripper"])),
        ("poses.tool.action_mode", text("increment")),
        ("poses.tool.action_position_scale", number(0.05)),
        ("poses.tool.action_rotation_scale", number(0.5)),
        ("joints.gripper.action_scale", number(-0.5)),
        ("joints.gripper.action_offset", number(0.5)),
        ("outputs.arm.topic", text("/target")),
        ("outputs.arm.pose", text("tool")),
        ("outputs.gripper.topic", text("/gripper_trajectory")),
        ("outputs.gripper.joints", texts(&["gripper"])),
    ];
    let node = node_with(parameters.into_iter().chain(more.iter().cloned()));
    let open = |_: &Settings| {
        let info = PolicyInfo {
            cameras: vec!["front".to_owned()],
            state_dim: 8,
            action_dim: 7,
            action_horizon: HORIZON,
            ..PolicyInfo::default()
        };
        Ok(Box::new(StandIn { info, predict }) as Box<dyn Policy + Send>)
    };
    Pi0Node::start(node, open).unwrap()
}

fn by_pose() -> [(&'static str, ParameterValue); 2] {
    [
        ("poses.tool.topic", text("/end_effector_pose")),
        ("outputs.arm.type", text("pose")),
    ]
}

type Messages<T> = Pin<Box<dyn Stream<Item = T>>>;

/// An arm that goes where it is told to.
struct Robot {
    node: Node,
    images: Publisher<Image>,
    joint_states: Publisher<JointState>,
    poses: Publisher<PoseStamped>,
    frames: Publisher<TFMessage>,
    at: Pose,
    /// Of the measured pose.
    frame: &'static str,
    sends_frames: bool,
}

fn latched() -> QosProfile {
    QosProfile::default().keep_last(1).transient_local()
}

fn pose_of(message: &PoseStamped) -> Pose {
    let (position, orientation) = (&message.pose.position, &message.pose.orientation);
    Pose {
        position: [position.x, position.y, position.z],
        rotation: Rotation::from_xyzw([orientation.x, orientation.y, orientation.z, orientation.w]),
    }
}

impl Robot {
    fn new() -> Self {
        let mut node = Node::create(Context::create().unwrap(), "robot", "").unwrap();
        let qos = QosProfile::default;
        Self {
            images: node.create_publisher("/front", qos()).unwrap(),
            joint_states: node.create_publisher("/joint_states", qos()).unwrap(),
            poses: node.create_publisher("/end_effector_pose", qos()).unwrap(),
            frames: node.create_publisher("/tf", qos()).unwrap(),
            at: Pose {
                position: [0.4, 0.0, 0.3],
                rotation: Rotation::from_vector([std::f64::consts::PI, 0.0, 0.0]),
            },
            frame: "base",
            sends_frames: false,
            node,
        }
    }

    fn listen<T: WrappedTypesupport + 'static>(&mut self, topic: &str) -> Messages<T> {
        Box::pin(self.node.subscribe::<T>(topic, QosProfile::default()).unwrap())
    }

    fn publish(&mut self) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let stamp = r2r::Clock::to_builtin_time(&now);
        self.images.publish(&black_image(stamp.clone())).unwrap();
        let mut state = JointState {
            name: ["gripper", "left_finger", "right_finger"]
                .map(str::to_owned)
                .to_vec(),
            position: vec![0.5, 0.04, -0.04],
            ..JointState::default()
        };
        state.header.stamp = stamp.clone();
        self.joint_states.publish(&state).unwrap();
        if self.sends_frames {
            // The tool is 0.1 m beyond the flange.
            let flange = self.at
                * Pose {
                    position: [0.0, 0.0, -0.1],
                    rotation: Rotation::IDENTITY,
                };
            let message = TFMessage {
                transforms: vec![transform("base", "flange", flange, stamp)],
            };
            self.frames.publish(&message).unwrap();
        } else {
            let mut pose = PoseStamped::default();
            pose.header.stamp = stamp;
            pose.header.frame_id = self.frame.to_owned();
            let [x, y, z, qx, qy, qz, qw] = self.at.values();
            let (position, orientation) = (&mut pose.pose.position, &mut pose.pose.orientation);
            (position.x, position.y, position.z) = (x, y, z);
            (orientation.x, orientation.y, orientation.z, orientation.w) = (qx, qy, qz, qw);
            self.poses.publish(&pose).unwrap();
        }
        self.node.spin_once(Duration::from_millis(10));
    }

    /// Publishes until `look` finds something.
    fn until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            self.publish();
            if let Some(found) = look(self) {
                return found;
            }
        }
        panic!("nothing in {PATIENCE:?}: {what}");
    }

    /// Follows the targets until it is higher than this.
    fn follow(&mut self, targets: &mut Messages<PoseStamped>, higher_than: f64) -> PoseStamped {
        self.until("a robot that rises", |robot| {
            let mut newest = None;
            while let Some(Some(target)) = targets.next().now_or_never() {
                robot.at = pose_of(&target);
                newest = Some(target);
            }
            newest.filter(|_| robot.at.position[2] > higher_than)
        })
    }
}

#[test]
fn a_measured_pose_becomes_target_poses_and_a_gripper_s_trajectory() {
    isolated!(|| {
        let node = start(&by_pose());
        let mut robot = Robot::new();
        let mut targets = robot.listen::<PoseStamped>("/target");
        let mut gripper = robot.listen::<JointTrajectory>("/gripper_trajectory");
        let start = robot.at;
        let target = robot.follow(&mut targets, 0.31);
        assert_eq!(target.header.frame_id, "base");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let stamp = f64::from(target.header.stamp.sec) + f64::from(target.header.stamp.nanosec) * 1e-9;
        assert!((now.as_secs_f64() - stamp).abs() < 1.0, "{stamp}");
        // A centimetre up, and five hundredths of a radian about z at the same time.
        let [_, angle] = robot.at.distances(start);
        let up = robot.at.position[2] - start.position[2];
        assert!((angle - 5.0 * up).abs() < 0.02, "{angle} rad at {up} m");
        assert!((robot.at.position[0] - 0.4).abs() < 1e-3);
        let trajectory = robot.until("a trajectory of the gripper", |_| {
            gripper.next().now_or_never().flatten()
        });
        assert_eq!(trajectory.joint_names, ["gripper"]);
        assert_eq!(trajectory.points[0].positions.len(), 1);
        let mut chunks = robot.listen::<JointTrajectory>("/pi0_node/chunk");
        let chunk = robot.until("a chunk", |_| chunks.next().now_or_never().flatten());
        assert_eq!(chunk.joint_names[..3], ["gripper", "tool.x", "tool.y"]);
        assert_eq!(chunk.points[0].positions.len(), 8);
        node.stop();
    });
}

#[test]
fn a_pose_of_another_frame_moves_nothing_and_is_told() {
    isolated!(|| {
        let node = start(&by_pose());
        let mut robot = Robot::new();
        robot.frame = "world";
        let mut targets = robot.listen::<PoseStamped>("/target");
        let mut diagnostics = robot.listen::<DiagnosticArray>("/diagnostics");
        let status = robot.until("the status of the pose", |_| {
            let message = diagnostics.next().now_or_never()??;
            let mut statuses = message.status.into_iter();
            statuses.find(|status| status.name.contains("pose /end_effector_pose") && status.level == 2)
        });
        assert!(
            status.message.contains("\"world\"") && status.message.contains("base_frame"),
            "{status:?}"
        );
        assert!(targets.next().now_or_never().is_none());
        robot.frame = "base";
        robot.follow(&mut targets, 0.301);
        node.stop();
    });
}

#[test]
fn velocities_move_the_robot_and_are_0_after_a_stop() {
    isolated!(|| {
        let node = start(&[
            ("poses.tool.topic", text("/end_effector_pose")),
            ("outputs.arm.type", text("twist")),
        ]);
        let mut robot = Robot::new();
        let mut twists = robot.listen::<TwistStamped>("/target");
        let mut newest = |robot: &mut Robot| {
            let mut newest = None;
            while let Some(Some(twist)) = twists.next().now_or_never() {
                let linear = &twist.twist.linear;
                let step = [linear.x, linear.y, linear.z].map(|value| value * 0.02);
                robot.at = robot.at.moved([step, [0.0; 3]]);
                newest = Some(twist);
            }
            newest
        };
        let moving = robot.until("a robot that rises", |robot| {
            newest(robot).filter(|twist| twist.twist.linear.z > 0.04)
        });
        assert_eq!(moving.header.frame_id, "base");
        assert!(moving.twist.linear.x.abs() < 0.01, "{moving:?}");
        let client = robot
            .node
            .create_client::<Trigger::Service>("/pi0_node/stop", QosProfile::services_default())
            .unwrap();
        let mut response = Box::pin(client.request(&Trigger::Request {}).unwrap());
        let response = robot.until("an answer", |_| (&mut response).now_or_never());
        assert!(response.unwrap().success);
        robot.until("rest", |robot| {
            newest(robot).filter(|twist| {
                let (linear, angular) = (&twist.twist.linear, &twist.twist.angular);
                [linear.x, linear.y, linear.z, angular.x, angular.y, angular.z] == [0.0; 6]
            })
        });
        node.stop();
    });
}

#[test]
fn a_pose_comes_from_the_frames_of_tf() {
    isolated!(|| {
        let node = start(&[
            ("poses.tool.tool_frame", text("tcp")),
            ("outputs.arm.type", text("pose")),
        ]);
        let mut robot = Robot::new();
        robot.sends_frames = true;
        let fixed: Publisher<TFMessage> = robot.node.create_publisher("/tf_static", latched()).unwrap();
        let beyond = Pose {
            position: [0.0, 0.0, 0.1],
            rotation: Rotation::IDENTITY,
        };
        let message = TFMessage {
            transforms: vec![transform("flange", "tcp", beyond, Default::default())],
        };
        fixed.publish(&message).unwrap();
        let mut targets = robot.listen::<PoseStamped>("/target");
        let start = robot.at;
        let first = robot.until("a target", |_| targets.next().now_or_never().flatten());
        let [distance, angle] = pose_of(&first).distances(start);
        assert!(distance < 0.01 && angle < 0.05, "{distance} m, {angle} rad");
        robot.follow(&mut targets, 0.31);
        node.stop();
    });
}
