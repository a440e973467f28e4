//! The node over ROS 2, with a policy that stands in for π0.

#[path = "../common"]
mod common {
    pub mod black_image;
    pub mod isolation;
    pub mod node_parameters;
    pub mod ros_domain;
    pub mod stand_in;
}
mod lifecycle;
mod robot;
mod takeover;

use std::time::{Duration, SystemTime};

use common::isolation::isolated;
use common::node_parameters::text;
use futures::{FutureExt, StreamExt};
use r2r::diagnostic_msgs::msg::DiagnosticStatus;
use r2r::rcl_interfaces::msg::{Parameter as ParameterMessage, ParameterValue as ParameterValueMessage};
use r2r::rcl_interfaces::srv::{DescribeParameters, GetParameters, SetParametersAtomically};
use r2r::rosgraph_msgs::msg::Clock;
use r2r::std_srvs::srv::{SetBool, Trigger};
use r2r::trajectory_msgs::msg::JointTrajectory;
use r2r::{Context, Node, ParameterValue};
use robot::{HORIZON, JOINTS, Robot, holds, qos, start_for_a_robot_that_stays, start_with};

fn seconds(message: &JointTrajectory) -> f64 {
    f64::from(message.header.stamp.sec) + f64::from(message.header.stamp.nanosec) * 1e-9
}

#[test]
fn an_observation_becomes_a_trajectory_of_the_configured_joints() {
    isolated!(|| {
        let node = start_for_a_robot_that_stays(&[]);
        let mut robot = Robot::new();
        let trajectory = robot.trajectory();
        assert_eq!(trajectory.joint_names, JOINTS);
        assert_eq!(trajectory.points.len(), HORIZON);
        assert_eq!(trajectory.points[0].positions, [1.0, 2.0]);
        assert_eq!(trajectory.points[1].positions, [11.0, 12.0]);
        let from_start = &trajectory.points[1].time_from_start;
        assert_eq!((from_start.sec, from_start.nanosec), (0, 20_000_000));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert!((now.as_secs_f64() - seconds(&trajectory)).abs() < 1.0);
        node.stop();
    });
}

#[test]
fn a_bad_frame_stops_the_trajectories_after_the_chunk_until_a_good_one_comes() {
    isolated!(|| {
        let node = start_for_a_robot_that_stays(&[]);
        let mut robot = Robot::new();
        robot.image.encoding = "bayer_rggb8".to_owned();
        let status = robot.status("pi0_node: camera top", |status| status.level == 2);
        assert!(
            status.message.contains("/top") && status.message.contains("bayer_rggb8"),
            "{status:?}"
        );
        assert_eq!(robot.trajectories_in_half_a_second(), 0);
        robot.image.encoding = "rgb8".to_owned();
        robot.trajectory();
        robot.status("pi0_node: camera top", |status| status.level == 0);

        robot.joint_state.position[1] = f64::NAN;
        let status = robot.status("pi0_node: joint states", |status| status.level == 2);
        assert!(status.message.contains("elbow"), "{status:?}");
        let holding = |status: &DiagnosticStatus| status.values.iter().any(|pair| pair.value == "holding");
        robot.status("pi0_node: control", holding);
        let hold = robot.until("a trajectory of the position to hold", |robot| {
            let trajectory = robot.trajectories.next().now_or_never()??;
            (trajectory.points.len() == 2).then_some(trajectory)
        });
        assert_eq!(hold.points[0].positions, hold.points[1].positions);
        let ends = &hold.points[1].time_from_start;
        assert_eq!((ends.sec, ends.nanosec), (0, 200_000_000));
        node.stop();
    });
}

#[test]
fn a_prediction_that_fails_is_reported_and_nothing_is_published() {
    isolated!(|| {
        let node = start_for_a_robot_that_stays(&[("prompt", text("fail"))]);
        let mut robot = Robot::new();
        let status = robot.status("pi0_node: inference", |status| status.level == 2);
        assert!(status.message.contains("the state has 0 values"), "{status:?}");
        assert_eq!(robot.trajectories_in_half_a_second(), 0);
        let prompt = r2r::std_msgs::msg::String {
            data: "wave".to_owned(),
        };
        robot.prompts.publish(&prompt).unwrap();
        robot.trajectory();
        node.stop();
    });
}

#[test]
fn a_first_action_too_far_from_the_robot_is_told_and_not_published() {
    isolated!(|| {
        // The stand-in goes by ten with every action.
        let jump = ("joint_defaults.max_start_jump", ParameterValue::Double(15.0));
        let node = start_with(&[("prompt", text("jump")), jump]);
        let mut robot = Robot::new();
        let status = robot.status("pi0_node: control", holds("START_JUMP"));
        assert!(status.message.contains("joint waist"), "{status:?}");
        assert!(status.message.contains("max_start_jump"), "{status:?}");
        assert_eq!(robot.trajectories_in_half_a_second(), 0);
        let prompt = r2r::std_msgs::msg::String {
            data: "wave".to_owned(),
        };
        robot.prompts.publish(&prompt).unwrap();
        assert_eq!(robot.trajectory().points[0].positions, [1.0, 2.0]);
        node.stop();
    });
}

#[test]
fn parameters_are_set_described_and_refused_with_a_reason() {
    isolated!(|| {
        let node = start_for_a_robot_that_stays(&[]);
        let mut robot = Robot::new();
        let text = |value: &str| ParameterValueMessage {
            type_: 4,
            string_value: value.to_owned(),
            ..Default::default()
        };
        let double = |value: f64| ParameterValueMessage {
            type_: 3,
            double_value: value,
            ..Default::default()
        };
        let integer = |value: i64| ParameterValueMessage {
            type_: 2,
            integer_value: value,
            ..Default::default()
        };
        let (successful, reason) = robot.set("device", text("cpu"));
        assert!(!successful && reason.contains("a restart"), "{reason}");
        let (successful, reason) = robot.set("control_rate_hz", double(0.0));
        assert!(!successful && reason.contains("1 to 1000"), "{reason}");
        let (successful, reason) = robot.set("execution_horizon", integer(51));
        assert!(!successful && reason.contains("at most 50"), "{reason}");

        let half_and_half = SetParametersAtomically::Request {
            parameters: vec![
                ParameterMessage {
                    name: "control_rate_hz".to_owned(),
                    value: double(20.0),
                },
                ParameterMessage {
                    name: "publish_horizon".to_owned(),
                    value: integer(0),
                },
            ],
        };
        let response =
            robot.ask::<SetParametersAtomically::Service>("set_parameters_atomically", &half_and_half);
        assert!(!response.result.successful);
        let names = GetParameters::Request {
            names: vec!["control_rate_hz".to_owned()],
        };
        let values = robot
            .ask::<GetParameters::Service>("get_parameters", &names)
            .values;
        assert_eq!(values[0].double_value, 50.0);

        assert!(robot.set("publish_horizon", integer(3)).0);
        robot.until("a trajectory of three points and a last one", |robot| {
            let trajectory = robot.trajectories.next().now_or_never()??;
            (trajectory.points.len() == 4).then_some(())
        });
        assert!(robot.set("control_rate_hz", double(10.0)).0);
        let count = robot.trajectories_in_half_a_second();
        assert!(
            (3..=8).contains(&count),
            "{count} trajectories in half a second at 10 Hz"
        );

        let names = DescribeParameters::Request {
            names: vec!["control_rate_hz".to_owned()],
        };
        let described = robot.ask::<DescribeParameters::Service>("describe_parameters", &names);
        assert_eq!(described.descriptors[0].floating_point_range[0].to_value, 1000.0);
        node.stop();
    });
}

#[test]
fn simulated_time_stamps_the_trajectories_and_a_reset_makes_the_node_wait() {
    isolated!(|| {
        let node = start_for_a_robot_that_stays(&[("use_sim_time", ParameterValue::Bool(true))]);
        let mut robot = Robot::new();
        let mut now = Duration::from_secs(100);
        let step = |robot: &mut Robot, now: Duration| {
            let clock = r2r::Clock::to_builtin_time(&now);
            robot.joint_state.header.stamp = clock.clone();
            robot.clock.publish(&Clock { clock }).unwrap();
        };
        let trajectory = robot.until("a trajectory", |robot| {
            now += Duration::from_millis(20);
            step(robot, now);
            robot.trajectories.next().now_or_never()?
        });
        assert!((100.0..now.as_secs_f64() + 0.1).contains(&seconds(&trajectory)));
        now = Duration::ZERO;
        let trajectory = robot.until("a trajectory after the reset", |robot| {
            now += Duration::from_millis(20);
            step(robot, now);
            let trajectory = robot.trajectories.next().now_or_never()??;
            (seconds(&trajectory) < 50.0).then_some(trajectory)
        });
        assert_eq!(trajectory.points[0].positions, [1.0, 2.0]);
        node.stop();
    });
}

#[test]
fn stop_holds_with_its_reason_until_the_node_is_enabled() {
    isolated!(|| {
        let node = start_for_a_robot_that_stays(&[("auto_start", ParameterValue::Bool(false))]);
        let mut robot = Robot::new();
        robot.status("pi0_node: control", holds("DISABLED"));
        assert_eq!(robot.trajectories_in_half_a_second(), 0);
        let enable = SetBool::Request { data: true };
        assert!(robot.ask::<SetBool::Service>("enable", &enable).success);
        robot.trajectory();
        assert!(
            robot
                .ask::<Trigger::Service>("stop", &Trigger::Request {})
                .success
        );
        robot.status("pi0_node: control", holds("STOPPED"));
        assert!(robot.ask::<SetBool::Service>("enable", &enable).success);
        robot.until("a trajectory of a whole chunk", |robot| {
            let trajectory = robot.trajectories.next().now_or_never()??;
            (trajectory.points.len() > 2).then_some(())
        });
        node.stop();
    });
}

#[test]
fn without_a_clock_the_diagnostics_and_the_answer_of_stop_say_what_is_missing() {
    isolated!(|| {
        let node = start_for_a_robot_that_stays(&[("use_sim_time", ParameterValue::Bool(true))]);
        let mut robot = Robot::new();
        let status = robot.status("pi0_node: clock", |status| status.level == 2);
        assert!(status.message.contains("no message came on /clock"), "{status:?}");
        robot.status("pi0_node: control", |status| {
            status.message.contains("use_sim_time")
        });
        let response = robot.ask::<Trigger::Service>("stop", &Trigger::Request {});
        assert!(
            !response.success && response.message.contains("/clock"),
            "{response:?}"
        );
        robot.clock.publish(&Clock::default()).unwrap();
        robot.status("pi0_node: control", holds("STOPPED"));
        node.stop();
    });
}

#[test]
fn a_publisher_of_less_than_the_node_asks_for_is_named_on_the_input_and_the_prompt_is_shown() {
    isolated!(|| {
        let long = "wave ".repeat(20_000);
        let node = start_for_a_robot_that_stays(&[("prompt", text(&long))]);
        let mut robot = Robot::new();
        let shown = |status: &DiagnosticStatus| {
            let mut values = status.values.iter();
            values.any(|pair| pair.key == "prompt" && pair.value.starts_with("wave wave"))
        };
        let status = robot.status("pi0_node: prompt", shown);
        assert!(
            status.values.iter().all(|pair| pair.value.chars().count() < 300),
            "{status:?}"
        );
        assert_eq!((status.level, status.hardware_id.as_str()), (0, "/pi0_node"));
        let mut voice = Node::create(Context::create().unwrap(), "voice", "/left").unwrap();
        let _publisher = voice
            .create_publisher::<r2r::std_msgs::msg::String>("/prompt", qos().best_effort())
            .unwrap();
        let status = robot.status("pi0_node: prompt", |status| status.level == 1);
        for words in [
            "/left/voice",
            "best effort",
            "qos_overrides./prompt.subscription.reliability",
        ] {
            assert!(status.message.contains(words), "{status:?}");
        }
        node.stop();
    });
}

#[test]
fn another_publisher_of_the_trajectories_is_named_and_holds_the_robot_until_it_ends() {
    isolated!(|| {
        let node = start_for_a_robot_that_stays(&[]);
        let mut robot = Robot::new();
        robot.trajectory();
        let mut teleop = Node::create(Context::create().unwrap(), "teleop", "/left").unwrap();
        let _publisher = teleop
            .create_publisher::<JointTrajectory>("/joint_trajectory", qos())
            .unwrap();
        let status = robot.status("pi0_node: control", holds("OTHER_PUBLISHER"));
        for name in ["/left/teleop", "/joint_trajectory"] {
            assert!(status.message.contains(name), "{status:?}");
        }
        assert_eq!(robot.trajectories_in_half_a_second(), 0);
        drop(teleop);
        robot.status("pi0_node: control", holds(""));
        node.stop();
    });
}

#[test]
fn messages_with_the_stamps_of_another_clock_are_named_and_move_nothing() {
    isolated!(|| {
        let node = start_for_a_robot_that_stays(&[]);
        let mut robot = Robot::new();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let hour = Duration::from_secs(3600);
        for (stamp, words) in [
            (Duration::from_secs(12), "behind this node's clock"),
            (now - hour, "behind this node's clock"),
            (now + hour, "ahead of this node's clock"),
        ] {
            robot.joint_state.header.stamp = r2r::Clock::to_builtin_time(&stamp);
            let wrong = |status: &DiagnosticStatus| status.level == 2 && status.message.contains(words);
            let status = robot.status("pi0_node: joint states", wrong);
            assert!(
                status.message.contains("use_sim_time") && status.message.contains("NTP"),
                "{status:?}"
            );
            assert_eq!(robot.trajectories_in_half_a_second(), 0, "{words}");
        }
        robot.joint_state.header.stamp = r2r::builtin_interfaces::msg::Time::default();
        robot.trajectory();
        robot.image.header.stamp = r2r::Clock::to_builtin_time(&(now - hour));
        robot.status("pi0_node: camera top", |status| status.level == 2);
        robot.status("pi0_node: control", holds("STALE_CAMERA"));
        node.stop();
    });
}

#[test]
fn joint_states_of_other_joints_or_of_velocities_alone_change_nothing() {
    isolated!(|| {
        let node = start_for_a_robot_that_stays(&[]);
        let mut robot = Robot::new();
        robot.trajectory();
        let wheels = r2r::sensor_msgs::msg::JointState {
            name: ["wheel_left", "wheel_right"].map(str::to_owned).to_vec(),
            velocity: vec![0.1, 0.1],
            ..Default::default()
        };
        let velocities = r2r::sensor_msgs::msg::JointState {
            name: JOINTS.map(str::to_owned).to_vec(),
            ..wheels.clone()
        };
        for _ in 0..50 {
            robot.publish();
            robot.joint_states.publish(&wheels).unwrap();
            robot.joint_states.publish(&velocities).unwrap();
        }
        while robot.diagnostics.next().now_or_never().is_some() {}
        let status = robot.status("pi0_node: joint states", |_| true);
        assert_eq!(status.level, 0, "{status:?}");
        assert!(robot.trajectories_in_half_a_second() > 15);
        node.stop();
    });
}

#[test]
fn a_robot_that_stops_following_is_held_with_the_name_of_the_joint() {
    isolated!(|| {
        let node = start_with(&[("joint_defaults.max_velocity", ParameterValue::Double(1.0))]);
        let mut robot = Robot::new();
        let status = robot.status("pi0_node: control", holds("FOLLOWING_ERROR"));
        assert!(status.message.contains("joint waist is at 1"), "{status:?}");
        node.stop();
    });
}

#[test]
fn a_description_that_leaves_a_joint_no_room_or_cannot_be_read_holds_the_robot() {
    isolated!(|| {
        let mut robot = Robot::new();
        let latched = qos().keep_last(1).transient_local();
        let descriptions = robot
            .node
            .create_publisher::<r2r::std_msgs::msg::String>("/robot_description", latched)
            .unwrap();
        let node = start_for_a_robot_that_stays(&[]);
        robot.trajectory();
        let limits = |limits: &str| {
            format!(r#"<robot><joint name="elbow" type="revolute"><limit {limits}/></joint></robot>"#)
        };
        for (description, words) in [
            (
                limits(r#"lower="0" upper="0" velocity="0""#),
                "joint elbow leave it no room",
            ),
            (
                limits(r#"lower="nan" upper="1""#),
                "the lower limit of joint elbow",
            ),
            ("<robot>".to_owned(), "it is no XML"),
        ] {
            let message = r2r::std_msgs::msg::String { data: description };
            descriptions.publish(&message).unwrap();
            let told =
                |status: &DiagnosticStatus| holds("INVALID_LIMITS")(status) && status.message.contains(words);
            robot.status("pi0_node: control", told);
            robot.until("a trajectory at rest", |robot| {
                let hold = robot.trajectories.next().now_or_never()??;
                let rests = hold
                    .points
                    .iter()
                    .all(|point| point.positions == hold.points[0].positions);
                rests.then_some(())
            });
        }
        let message = r2r::std_msgs::msg::String {
            data: limits(r#"lower="-1e9" upper="1e9""#),
        };
        descriptions.publish(&message).unwrap();
        robot.status("pi0_node: control", holds(""));
        node.stop();
    });
}

#[test]
fn the_limits_of_a_robot_description_that_was_published_before_are_kept() {
    isolated!(|| {
        let mut robot = Robot::new();
        let latched = qos().keep_last(1).transient_local();
        let descriptions = robot
            .node
            .create_publisher::<r2r::std_msgs::msg::String>("/robot_description", latched)
            .unwrap();
        let description = r2r::std_msgs::msg::String {
            data: r#"<robot><joint name="elbow" type="revolute"><limit lower="-3" upper="2.5" velocity="1"/></joint></robot>"#
                .to_owned(),
        };
        descriptions.publish(&description).unwrap();
        let node = start_for_a_robot_that_stays(&[("auto_start", ParameterValue::Bool(false))]);
        // Before it is enabled the node has time to hear of the description.
        for _ in 0..50 {
            robot.publish();
        }
        assert!(
            robot
                .ask::<SetBool::Service>("enable", &SetBool::Request { data: true })
                .success
        );
        let trajectory = robot.trajectory();
        assert!(trajectory.points.len() > 1);
        for point in &trajectory.points {
            assert!(point.positions[1] <= 2.5 + 1e-6, "{:?}", point.positions);
        }
        node.stop();
    });
}

#[test]
fn a_reset_forgets_the_chunk_and_every_input() {
    isolated!(|| {
        let node = start_for_a_robot_that_stays(&[]);
        let mut robot = Robot::new();
        robot.trajectory();
        // So that no frame is on its way when the reset comes.
        robot.listen(Duration::from_millis(300));
        let client = robot
            .node
            .create_client::<Trigger::Service>("/pi0_node/reset", qos())
            .unwrap();
        let mut available = Box::pin(Node::is_available(&client).unwrap());
        while (&mut available).now_or_never().is_none() {
            robot.listen(Duration::from_millis(20));
        }
        let mut response = Box::pin(client.request(&Trigger::Request {}).unwrap());
        let response = loop {
            robot.listen(Duration::from_millis(20));
            if let Some(response) = (&mut response).now_or_never() {
                break response.unwrap();
            }
        };
        assert!(response.success);
        // The robot comes to rest within 0.2 s.
        let mut newest = None;
        for _ in 0..20 {
            robot.listen(Duration::from_millis(20));
            while let Some(Some(trajectory)) = robot.trajectories.next().now_or_never() {
                newest = Some(trajectory);
            }
        }
        let newest = newest.unwrap();
        let step = newest.points[1].positions[0] - newest.points[0].positions[0];
        assert!(
            step.abs() < 1.0,
            "{step} at the end of the stop, 10 while it played"
        );
        // Joint states alone make no observation: every frame is older than the reset.
        for _ in 0..25 {
            robot.joint_states.publish(&robot.joint_state).unwrap();
            robot.listen(Duration::from_millis(20));
            assert!(
                robot.trajectories.next().now_or_never().is_none(),
                "moves on old frames"
            );
        }
        robot.trajectory();
        node.stop();
    });
}
