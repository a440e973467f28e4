//! The other side of the node: a robot that publishes and listens, and a policy that stands in for π0.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt, Stream, StreamExt};
use pi0_node::policy::{ActionChunk, Observation, Policy, PolicyError, PolicyInfo};
use pi0_node::ros::Pi0Node;
use r2r::builtin_interfaces::msg::Time;
use r2r::diagnostic_msgs::msg::{DiagnosticArray, DiagnosticStatus};
use r2r::rcl_interfaces::msg::{Parameter as ParameterMessage, ParameterValue as ParameterValueMessage};
use r2r::rcl_interfaces::srv::SetParameters;
use r2r::rosgraph_msgs::msg::Clock;
use r2r::sensor_msgs::msg::{Image, JointState};
use r2r::trajectory_msgs::msg::JointTrajectory;
use r2r::{Context, Node, ParameterValue, Publisher, QosProfile};

use crate::common::black_image::black_image;
use crate::common::node_parameters::{self, text, texts};
use crate::common::stand_in::StandIn;

pub const PATIENCE: Duration = Duration::from_secs(20);
pub const HORIZON: usize = 50;
pub const JOINTS: [&str; 2] = ["waist", "elbow"];

/// A policy that commands the state it saw, then ten more of it with every action; begins ten further at the prompt "jump", and
/// fails at the prompt "fail". Holds `presence` while it is there.
pub fn stand_in(presence: Arc<()>) -> Box<dyn Policy + Send> {
    let predict = move |observation: &Observation| {
        let _presence = &presence;
        if observation.prompt == "fail" {
            return Err(PolicyError::StateLength {
                found: 0,
                expected: 1,
            });
        }
        assert_eq!(observation.images["top"].dimensions(), (4, 3));
        let first = usize::from(observation.prompt == "jump");
        let actions = (first..first + HORIZON).flat_map(|action| {
            let state = observation.state.iter();
            state.map(move |position| position + 10.0 * action as f32)
        });
        Ok(ActionChunk::new(actions.collect(), JOINTS.len()))
    };
    let info = PolicyInfo {
        cameras: vec!["top".to_owned()],
        state_dim: JOINTS.len(),
        action_dim: JOINTS.len(),
        action_horizon: HORIZON,
        description: "stand-in".to_owned(),
        ..PolicyInfo::default()
    };
    Box::new(StandIn { info, predict })
}

pub type Messages<T> = Pin<Box<dyn Stream<Item = T>>>;

/// The other side: publishes what a robot would, and listens to the node.
pub struct Robot {
    pub node: Node,
    pub images: Publisher<Image>,
    pub joint_states: Publisher<JointState>,
    pub prompts: Publisher<r2r::std_msgs::msg::String>,
    pub clock: Publisher<Clock>,
    pub trajectories: Messages<JointTrajectory>,
    pub diagnostics: Messages<DiagnosticArray>,
    pub image: Image,
    pub joint_state: JointState,
}

pub fn qos() -> QosProfile {
    QosProfile::default()
}

impl Robot {
    pub fn new() -> Self {
        let mut node = Node::create(Context::create().unwrap(), "robot", "").unwrap();
        Self {
            images: node.create_publisher("/top", qos()).unwrap(),
            joint_states: node.create_publisher("/joint_states", qos()).unwrap(),
            prompts: node.create_publisher("/prompt", qos()).unwrap(),
            clock: node.create_publisher("/clock", qos()).unwrap(),
            trajectories: Box::pin(node.subscribe("/joint_trajectory", qos()).unwrap()),
            diagnostics: Box::pin(node.subscribe("/diagnostics", qos()).unwrap()),
            image: black_image(Time::default()),
            joint_state: JointState {
                name: ["wheel", "elbow", "waist"].map(str::to_owned).to_vec(),
                position: vec![9.0, 2.0, 1.0],
                ..JointState::default()
            },
            node,
        }
    }

    pub fn publish(&mut self) {
        self.images.publish(&self.image).unwrap();
        self.joint_states.publish(&self.joint_state).unwrap();
        self.node.spin_once(Duration::from_millis(10));
    }

    /// Publishes nothing for a while.
    pub fn listen(&mut self, duration: Duration) {
        let started = Instant::now();
        while started.elapsed() < duration {
            self.node.spin_once(Duration::from_millis(10));
        }
    }

    /// Publishes frames and joint states until `look` finds something.
    pub fn until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            self.publish();
            if let Some(found) = look(self) {
                return found;
            }
        }
        panic!("nothing in {PATIENCE:?}: {what}");
    }

    pub fn trajectory(&mut self) -> JointTrajectory {
        self.until("a trajectory", |robot| {
            robot.trajectories.next().now_or_never()?
        })
    }

    /// The next status of this name that `fits`.
    pub fn status(&mut self, name: &str, fits: impl Fn(&DiagnosticStatus) -> bool) -> DiagnosticStatus {
        self.until(name, |robot| {
            let message = robot.diagnostics.next().now_or_never()??;
            message
                .status
                .into_iter()
                .find(|status| status.name == name && fits(status))
        })
    }

    /// How many trajectories come in half a second.
    pub fn trajectories_in_half_a_second(&mut self) -> usize {
        while self.trajectories.next().now_or_never().is_some() {}
        let started = Instant::now();
        let mut count = 0;
        while started.elapsed() < Duration::from_millis(500) {
            self.publish();
            while self.trajectories.next().now_or_never().is_some() {
                count += 1;
            }
        }
        count
    }

    pub fn ask<S: r2r::WrappedServiceTypeSupport + 'static>(
        &mut self,
        service: &str,
        request: &S::Request,
    ) -> S::Response {
        let client = self
            .node
            .create_client::<S>(&format!("/pi0_node/{service}"), qos())
            .unwrap();
        let mut available = Box::pin(Node::is_available(&client).unwrap());
        self.until("a service", |_| (&mut available).now_or_never())
            .unwrap();
        let mut response = Box::pin(client.request(request).unwrap());
        self.until("a response", |_| (&mut response).now_or_never())
            .unwrap()
    }

    pub fn set(&mut self, name: &str, value: ParameterValueMessage) -> (bool, String) {
        let request = SetParameters::Request {
            parameters: vec![ParameterMessage {
                name: name.to_owned(),
                value,
            }],
        };
        let response = self.ask::<SetParameters::Service>("set_parameters", &request);
        (response.results[0].successful, response.results[0].reason.clone())
    }
}

/// For a robot that never moves, whatever it is told: were it held, no chunk would begin where it is, nor would it follow.
pub fn start_for_a_robot_that_stays(more: &[(&'static str, ParameterValue)]) -> Pi0Node {
    start_with(&[&anywhere()[..], more].concat())
}

/// Parameters of a robot that may be anywhere.
pub fn anywhere() -> [(&'static str, ParameterValue); 2] {
    let of_all = [
        "joint_defaults.max_start_jump",
        "joint_defaults.max_following_error",
    ];
    of_all.map(|name| (name, ParameterValue::Double(f64::INFINITY)))
}

pub fn start_with(more: &[(&'static str, ParameterValue)]) -> Pi0Node {
    Pi0Node::start(node_with(more), |_| Ok(stand_in(Arc::default()))).unwrap()
}

/// The node of these tests that is to be started, with more parameters.
pub fn node_with(more: &[(&'static str, ParameterValue)]) -> Node {
    let parameters = [
        ("checkpoint", text("/stand-in")),
        ("cameras.top.topic", text("/top")),
        ("joint_names", texts(&JOINTS)),
        ("prompt", text("wave")),
        // The stand-in's actions are far apart, and the tests look at whole chunks.
        (
            "joint_defaults.max_velocity",
            ParameterValue::Double(f64::INFINITY),
        ),
        ("look_ahead_s", ParameterValue::Double(10.0)),
        ("trajectory_history_s", ParameterValue::Double(0.0)),
        ("controller_latency_s", ParameterValue::Double(0.0)),
    ];
    node_parameters::node_with(parameters.into_iter().chain(more.iter().cloned()))
}

/// Whether a status tells of a hold with this code.
pub fn holds(code: &str) -> impl Fn(&DiagnosticStatus) -> bool {
    move |status| {
        let mut values = status.values.iter();
        values.any(|pair| pair.key == "hold" && pair.value == code)
    }
}
