//! Each kind of problem is found and named, with what to do.

use std::time::Duration;

use pi0_node::doctor::{Level, Report};

use crate::robot::{ARM, CAMERA, JOINT_STATES, Robot, TRAJECTORY, publisher, with_parameters, worked_out};

/// Asserts that the report has exactly one finding of this level with these words, and no problem beside it.
fn assert_found(report: &Report, level: Level, subject: &str, words: &[&str]) {
    let is_it = |text: &str| words.iter().all(|word| text.contains(word));
    let found = report.findings.iter().filter(|finding| {
        finding.level == level
            && finding.subject == subject
            && is_it(&format!("{} {}", finding.found, finding.advice))
    });
    assert_eq!(found.count(), 1, "{subject} {words:?} in\n{report}");
    let problems = report
        .findings
        .iter()
        .filter(|finding| finding.level == Level::Problem);
    let expected = usize::from(level == Level::Problem);
    assert_eq!(problems.count(), expected, "{subject} {words:?} in\n{report}");
}

#[test]
fn a_robot_that_fits_has_no_problems_with_its_parameters_and_without() {
    let seen = Robot::new().seen();
    for report in [worked_out(&seen), with_parameters(&seen, "")] {
        assert!(!report.has_problems(), "{report}");
        let text = report.to_string();
        for line in [
            "ok       camera top: /camera/top/image_raw: rgb8 320 × 240, 10.0 Hz",
            "ok       joint states: /joint_states: 14 joints, 50.0 Hz",
            "ok       joint_names: all 14 joints are there",
            "ok       units: 14 of 14 joints are where the policy's data lie",
            "ok       actions: 14 values for 14 joints",
            "ok       output /joint_trajectory: a controller listens",
            "ok       clock: stamps are of this machine's clock (use_sim_time: false)",
            "ok       action_rate_hz: 50.0 Hz",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}

#[test]
fn cameras_that_do_not_fit_are_named_with_what_to_do() {
    let fits = Robot::new();
    let robot = |change: fn(&mut Robot)| {
        let mut robot = fits.clone();
        change(&mut robot);
        robot.seen()
    };
    for (seen, parameters, words) in [
        (
            robot(|robot| robot.frame_rate_hz = 0),
            "",
            &["nobody publishes it", "start the camera"][..],
        ),
        (
            fits.seen(),
            "    cameras.top.topic: /camera/tpo/image_raw",
            &["/camera/tpo/image_raw: nobody publishes it; topics of images: /camera/top/image_raw"],
        ),
        (
            fits.seen(),
            "    cameras.top.transport: compressed",
            &["has raw images", "transport: raw"],
        ),
        (robot(|robot| robot.encoding = "16UC1"), "", &["16UC1", "mono16"]),
        (
            robot(|robot| robot.encoding = "8UC3"),
            "",
            &["8UC3", "channel_order"],
        ),
        (
            robot(|robot| robot.encoding = "bayer_rggb8"),
            "",
            &["Bayer", "image_proc"],
        ),
        (
            robot(|robot| robot.frame = [200, 240]),
            "",
            &["the crop is 120 × 120", "frames are 200 × 240"],
        ),
    ] {
        assert_found(
            &with_parameters(&seen, parameters),
            Level::Problem,
            "camera top",
            words,
        );
    }
    let with_order = with_parameters(
        &robot(|robot| robot.encoding = "8UC3"),
        "    cameras.top.channel_order: bgr",
    );
    assert!(!with_order.has_problems(), "{with_order}");
    let mut silent = fits.seen();
    silent.cameras.get_mut(CAMERA).unwrap().arrivals = Default::default();
    assert_found(
        &with_parameters(&silent, ""),
        Level::Problem,
        "camera top",
        &["no frame came"],
    );
    let slow = with_parameters(&robot(|robot| robot.frame_rate_hz = 2), "");
    assert_found(&slow, Level::Look, "camera top", &["2.0 frames a second"]);
    let wide = with_parameters(&fits.seen(), "    cameras.top.crop: [0, 0, 320, 240]");
    assert_found(
        &wide,
        Level::Look,
        "camera top",
        &["images of 120 × 120", "320 × 240", "set cameras.top.crop"],
    );
    let mut with_absent = fits.seen();
    with_absent.cameras.clear();
    assert_found(
        &worked_out(&with_absent),
        Level::Problem,
        "camera top",
        &["absent_cameras", "cameras.top.topic"],
    );
}

#[test]
fn joint_states_that_do_not_fit_are_named_with_what_to_do() {
    let robot = |change: fn(&mut Robot)| {
        let mut robot = Robot::new();
        change(&mut robot);
        robot.seen()
    };
    let names = Robot::new().names;
    let swapped = format!(
        "    joint_names: [{}, {}, {}]",
        names[1],
        names[0],
        names[2..].join(", ")
    );
    for (seen, parameters, subject, words) in [
        (
            robot(|_| {}),
            "    joint_states_topic: /joints".to_owned(),
            "joint states",
            &["/joints: nobody publishes it; topics of joint states: /joint_states"][..],
        ),
        (
            robot(|robot| robot.names[3] = "roll".to_owned()),
            String::new(),
            "joint_names",
            &["no position of left_forearm_roll", "roll"],
        ),
        (
            robot(|_| {}),
            swapped,
            "joint_names",
            &["value 0 of the data's state is left_waist", "at 1"],
        ),
        (
            robot(|robot| robot.positions[2] = f64::NAN),
            String::new(),
            "joint states",
            &["the position of left_elbow is NaN"],
        ),
    ] {
        let report = with_parameters(&seen, &parameters);
        let text = report.to_string();
        let is_it = |text: &str| words.iter().all(|word| text.contains(word));
        let problems = report
            .findings
            .iter()
            .filter(|one| one.level == Level::Problem && one.subject == subject);
        assert!(
            problems.clone().any(|one| is_it(&one.found)),
            "{words:?} in\n{text}"
        );
    }
    let slow = with_parameters(&robot(|robot| robot.joint_rate_hz = 10), "");
    assert_found(&slow, Level::Look, "joint states", &["10.0 Hz", "20 Hz or more"]);
}

#[test]
fn a_state_or_an_action_of_another_length_is_named() {
    let names = Robot::new().names;
    let thirteen = format!(
        "    joint_names: [{}]\n    joints: {{}}\n    action_joints: [{}]",
        names[..13].join(", "),
        names[..13].join(", ")
    );
    let file = "/**:\n  ros__parameters:\n    cameras.top: {topic: /camera/top/image_raw, crop: [120, 60, 120, 120]}\n";
    let text = format!("{file}{thirteen}\n    checkpoint: any\n");
    let given = pi0_node::parameters::parameters_of(&text, "/pi0_node").unwrap();
    let parameters = pi0_node::parameters::Parameters::from_overrides(given.into_iter()).unwrap();
    let needs = crate::robot::needs();
    let setup = pi0_node::doctor::Setup::of_parameters(&parameters, &needs, &str::to_owned);
    let report = pi0_node::doctor::judge(&Robot::new().seen(), &needs, &setup).to_string();
    for line in [
        "problem  joint_names: 13 joints and 0 other values, and the checkpoint's state has 14",
        "problem  action_joints: 13 values, and the checkpoint's actions have 14",
    ] {
        assert!(report.contains(line), "{line} in\n{report}");
    }
}

#[test]
fn units_directions_and_ranges_that_look_wrong_are_named() {
    let robot = |change: &dyn Fn(&mut Vec<f64>)| {
        let mut robot = Robot::new();
        change(&mut robot.positions);
        robot.seen()
    };
    let is_arm = |joint: usize| joint % 7 != 6;
    let degrees = robot(&|positions| {
        for (_, position) in positions
            .iter_mut()
            .enumerate()
            .filter(|(joint, _)| is_arm(*joint))
        {
            *position = position.to_degrees();
        }
    });
    assert_found(
        &with_parameters(&degrees, ""),
        Level::Problem,
        "units",
        &[
            "look like degrees",
            "data's like radians",
            "left_shoulder",
            "0.0174533 the other way",
        ],
    );
    let scaled = "    joint_defaults.scale: 0.0174533\n    joints.left_gripper.scale: 1.0\n    joints.right_gripper.scale: 1.0";
    let scaled = with_parameters(&degrees, scaled);
    assert!(!scaled.has_problems(), "{scaled}");
    let in_degrees = with_parameters(&Robot::new().seen(), "    joints.left_elbow.scale: 57.3");
    assert_found(
        &in_degrees,
        Level::Problem,
        "units",
        &["the scale of left_elbow", "joint_defaults.scale: 1.0000000"],
    );
    let millimetres = robot(&|positions| positions[1] = -475.0);
    assert_found(
        &with_parameters(&millimetres, ""),
        Level::Problem,
        "joint left_shoulder",
        &["metres and millimetres?", "joints.left_shoulder.scale"],
    );
    let flipped = robot(&|positions| positions[2] = -ARM[2] - 0.6);
    assert_found(
        &with_parameters(&flipped, ""),
        Level::Look,
        "joint left_elbow",
        &["in the other direction it would be among them", "the other sign"],
    );
    let elsewhere = robot(&|positions| positions[0] = 2.5);
    assert_found(
        &with_parameters(&elsewhere, ""),
        Level::Look,
        "joint left_waist",
        &["at 2.50 in the policy's units", "start pose", "offset"],
    );
    let gripper = robot(&|positions| positions[6] = 57.0);
    assert_found(
        &with_parameters(&gripper, ""),
        Level::Problem,
        "joint left_gripper",
        &["57.000", "other units or ends", "joints.left_gripper.robot_range"],
    );
}

#[test]
fn clocks_that_do_not_fit_are_named_with_the_remedy() {
    let second = Duration::from_secs(1);
    let robot = |change: &dyn Fn(&mut Robot)| {
        let mut robot = Robot::new();
        change(&mut robot);
        robot.seen()
    };
    let simulated = robot(&|robot| robot.simulated_from = Some(100 * second));
    let behind = robot(&|robot| robot.age = 3 * second);
    for (seen, parameters, words) in [
        (
            &simulated,
            "",
            &["behind this node's clock", "set use_sim_time: true"][..],
        ),
        (&behind, "", &["3.000 s behind", "synchronise the clocks"]),
    ] {
        let report = with_parameters(seen, parameters);
        let clock = report.findings.iter().filter(|one| one.level == Level::Problem);
        let clock: Vec<_> = clock
            .map(|one| format!("{} {} {}", one.subject, one.found, one.advice))
            .collect();
        assert_eq!(clock.len(), 2, "the camera and the joints in\n{report}");
        for text in clock {
            assert!(
                text.starts_with("clock /") && words.iter().all(|word| text.contains(word)),
                "{text}"
            );
        }
    }
    let no_clock = with_parameters(&Robot::new().seen(), "    use_sim_time: true");
    assert_found(
        &no_clock,
        Level::Problem,
        "clock",
        &["no time came on /clock", "use_sim_time: false"],
    );
    assert!(!with_parameters(&simulated, "    use_sim_time: true").has_problems());
    assert!(
        !worked_out(&simulated).has_problems(),
        "it is worked out that time is simulated"
    );
    let unstamped = worked_out(&robot(&|robot| robot.has_stamps = false)).to_string();
    assert!(
        unstamped.contains("/joint_states has messages without a stamp"),
        "{unstamped}"
    );
}

#[test]
fn outputs_that_nobody_gets_or_somebody_else_commands_are_named() {
    let robot = |change: &dyn Fn(&mut Robot)| {
        let mut robot = Robot::new();
        change(&mut robot);
        robot.seen()
    };
    let subject = format!("output {TRAJECTORY}");
    let unheard = robot(&|robot| robot.has_listener = Some(false));
    assert_found(
        &with_parameters(&unheard, ""),
        Level::Problem,
        &subject,
        &["nobody listens", "activate"],
    );
    let elsewhere = with_parameters(
        &Robot::new().seen(),
        "    trajectory_topic: /arm/joint_trajectory",
    );
    assert_found(
        &elsewhere,
        Level::Problem,
        "output /arm/joint_trajectory",
        &["nobody listens", "trajectory_topic"],
    );
    let of_one_arm = robot(&|robot| robot.controller = Some(robot.names[..7].to_vec()));
    assert_found(
        &with_parameters(&of_one_arm, ""),
        Level::Problem,
        &subject,
        &[
            "its joints are left_waist",
            "it would get",
            "outputs.<name>.joints",
        ],
    );
    let mut shared = Robot::new().seen();
    let teleoperation = publisher("/teleop", "trajectory_msgs/msg/JointTrajectory", false);
    shared
        .publishers
        .insert(TRAJECTORY.to_owned(), vec![teleoperation]);
    assert_found(
        &with_parameters(&shared, ""),
        Level::Problem,
        &subject,
        &["/teleop publishes there", "OTHER_PUBLISHER"],
    );
}

#[test]
fn publishers_that_a_node_does_not_receive_from_are_named_with_the_remedy() {
    for (topic, message_type, is_best_effort, parameters, words) in [
        (
            CAMERA,
            "sensor_msgs/msg/CompressedImage",
            true,
            "",
            Some("set cameras.<name>.transport"),
        ),
        (
            JOINT_STATES,
            "std_msgs/msg/String",
            false,
            "",
            Some("set another topic"),
        ),
        (CAMERA, "sensor_msgs/msg/Image", true, "", None),
        (
            "/prompt",
            "std_msgs/msg/String",
            true,
            "",
            Some("subscription.reliability to best_effort"),
        ),
        (
            "/prompt",
            "std_msgs/msg/String",
            true,
            "    qos_overrides./prompt.subscription.reliability: best_effort",
            None,
        ),
        (
            "/robot_description",
            "std_msgs/msg/String",
            false,
            "",
            Some("subscription.durability to volatile"),
        ),
    ] {
        let mut seen = Robot::new().seen();
        let publisher = publisher("/driver", message_type, is_best_effort);
        seen.publishers.insert(topic.to_owned(), vec![publisher]);
        let report = with_parameters(&seen, parameters);
        match words {
            Some(words) => assert_found(&report, Level::Problem, topic, &["/driver publishes", words]),
            None => assert!(!report.has_problems(), "{report}"),
        }
    }
}

#[test]
fn an_action_rate_that_is_not_the_data_s_is_to_be_looked_at() {
    let report = with_parameters(&Robot::new().seen(), "    action_rate_hz: 15.0");
    assert_found(
        &report,
        Level::Look,
        "action_rate_hz",
        &["15.0 Hz", "50.0 frames a second"],
    );
}
