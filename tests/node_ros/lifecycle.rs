//! The node is managed by the standard services of its lifecycle.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{FutureExt, StreamExt};
use pi0_node::policy::OpenError;
use pi0_node::ros::Pi0Node;
use r2r::ParameterValue;
use r2r::lifecycle_msgs::msg::{Transition, TransitionEvent};
use r2r::lifecycle_msgs::srv::{ChangeState, GetAvailableTransitions, GetState};
use r2r::rcl_interfaces::msg::ParameterValue as ParameterValueMessage;

use crate::common::isolation::isolated;
use crate::common::node_parameters::text;
use crate::robot::{Robot, anywhere, holds, node_with, qos, stand_in};

/// Opens stand-ins, and tells how many there were and are. The checkpoint "/missing" is none.
#[derive(Clone, Default)]
struct Checkpoints {
    opened: Arc<AtomicUsize>,
    presence: Arc<()>,
}

impl Checkpoints {
    fn start(&self, more: &[(&'static str, ParameterValue)]) -> Pi0Node {
        let managed = ("managed", ParameterValue::Bool(true));
        let node = node_with(&[&[managed][..], &anywhere(), more].concat());
        let checkpoints = self.clone();
        Pi0Node::start(node, move |settings| {
            if settings.checkpoint.ends_with("missing") {
                return Err(OpenError::Options {
                    problems: vec!["there is nothing".to_owned()],
                });
            }
            checkpoints.opened.fetch_add(1, Ordering::Relaxed);
            Ok(stand_in(Arc::clone(&checkpoints.presence)))
        })
        .unwrap()
    }

    /// Policies that are there. This and what opens them hold a presence too.
    fn in_memory(&self) -> usize {
        Arc::strong_count(&self.presence) - 2
    }
}

fn change(robot: &mut Robot, id: u8) -> bool {
    let request = ChangeState::Request {
        transition: Transition {
            id,
            ..Transition::default()
        },
    };
    robot
        .ask::<ChangeState::Service>("change_state", &request)
        .success
}

fn state(robot: &mut Robot) -> String {
    let request = GetState::Request {};
    robot
        .ask::<GetState::Service>("get_state", &request)
        .current_state
        .label
}

const CONFIGURE: u8 = 1;
const CLEANUP: u8 = 2;
const ACTIVATE: u8 = 3;
const DEACTIVATE: u8 = 4;

#[test]
fn a_managed_node_loads_moves_holds_and_frees_as_it_is_told() {
    isolated!(|| {
        let checkpoints = Checkpoints::default();
        let node = checkpoints.start(&[]);
        let mut robot = Robot::new();
        let events = robot
            .node
            .subscribe::<TransitionEvent>("/pi0_node/transition_event", qos());
        let mut events = Box::pin(events.unwrap());
        assert_eq!(state(&mut robot), "unconfigured");
        assert_eq!(checkpoints.opened.load(Ordering::Relaxed), 0);
        assert!(!change(&mut robot, ACTIVATE), "it is not configured");

        assert!(change(&mut robot, CONFIGURE));
        assert_eq!(state(&mut robot), "inactive");
        assert_eq!(checkpoints.in_memory(), 1);
        robot.status("pi0_node: control", holds("INACTIVE"));
        assert_eq!(robot.trajectories_in_half_a_second(), 0);

        assert!(change(&mut robot, ACTIVATE));
        robot.trajectory();
        assert!(change(&mut robot, DEACTIVATE));
        assert_eq!(robot.trajectories_in_half_a_second(), 0);
        assert!(change(&mut robot, ACTIVATE));
        robot.trajectory();
        assert!(change(&mut robot, DEACTIVATE));

        assert!(change(&mut robot, CLEANUP));
        assert_eq!(state(&mut robot), "unconfigured");
        assert_eq!(checkpoints.in_memory(), 0);
        assert!(change(&mut robot, CONFIGURE));
        assert!(change(&mut robot, ACTIVATE));
        robot.trajectory();
        assert_eq!(checkpoints.opened.load(Ordering::Relaxed), 2);
        let event = robot.until("an event", |_| events.next().now_or_never()?);
        assert!(!event.goal_state.label.is_empty());
        node.stop();
    });
}

#[test]
fn a_checkpoint_that_is_not_whole_leaves_the_node_unconfigured_and_another_one_can_be_set() {
    isolated!(|| {
        let checkpoints = Checkpoints::default();
        let node = checkpoints.start(&[("checkpoint", text("/missing"))]);
        let mut robot = Robot::new();
        assert!(!change(&mut robot, CONFIGURE));
        assert_eq!(state(&mut robot), "unconfigured");
        let status = robot.status("pi0_node: inference", |status| status.level == 2);
        for words in ["/missing", "there is nothing"] {
            assert!(status.message.contains(words), "{status:?}");
        }
        let whole = || ParameterValueMessage {
            type_: 4,
            string_value: "/whole".to_owned(),
            ..ParameterValueMessage::default()
        };
        assert_eq!(robot.set("checkpoint", whole()), (true, String::new()));
        assert!(change(&mut robot, CONFIGURE));
        let other = ParameterValueMessage {
            string_value: "/other".to_owned(),
            ..whole()
        };
        let (is_set, reason) = robot.set("checkpoint", other);
        assert!(!is_set && reason.contains("cleanup"), "{reason}");
        node.stop();
    });
}

#[test]
fn the_services_of_the_lifecycle_tell_the_ways_from_here() {
    isolated!(|| {
        let node = Checkpoints::default().start(&[]);
        let mut robot = Robot::new();
        let request = GetAvailableTransitions::Request {};
        let ask = |robot: &mut Robot, service: &str| {
            let response = robot.ask::<GetAvailableTransitions::Service>(service, &request);
            let ways = response.available_transitions.into_iter();
            ways.map(|way| (way.transition.label, way.goal_state.label))
                .collect::<Vec<_>>()
        };
        let from_here = ask(&mut robot, "get_available_transitions");
        let expected = [("configure", "inactive"), ("shutdown", "finalized")];
        assert_eq!(
            from_here,
            expected.map(|(label, goal)| (label.to_owned(), goal.to_owned()))
        );
        assert_eq!(ask(&mut robot, "get_transition_graph").len(), 7);
        node.stop();
    });
}
