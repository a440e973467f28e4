//! What is worked out is right where the robot leaves one answer, and is left to a person where it leaves more: the node
//! refuses the file then.

use pi0_node::checkpoint::CheckpointOptions;
use pi0_node::control::OutputKind;
use pi0_node::doctor::{Needs, Sightings, guess, parameter_file};
use pi0_node::parameters::{FILL_IN, Parameters, Settings, parameters_of};

use crate::robot::{CAMERA, JOINT_STATES, Robot, TRAJECTORY, needs};

fn file(seen: &Sightings, needs: &Needs) -> String {
    parameter_file(seen, needs, &guess(seen, needs), &[])
}

/// The settings of a file, or what the node refuses.
fn read(file: &str) -> Result<Settings, Vec<String>> {
    let given = parameters_of(file, "/pi0_node").unwrap_or_else(|error| panic!("{error} in\n{file}"));
    match Parameters::from_overrides(given.into_iter()) {
        Ok(parameters) => Ok(parameters.settings().clone()),
        Err(problems) => Err(problems.iter().map(|problem| problem.name.clone()).collect()),
    }
}

/// The text without its line breaks and comment signs.
fn flat(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().filter(|word| *word != "#").collect();
    words.join(" ")
}

#[test]
fn the_file_of_a_robot_that_fits_is_the_configuration_of_the_package() {
    let robot = Robot {
        simulated_from: Some(std::time::Duration::from_secs(3)),
        ..Robot::new()
    };
    let text = file(&robot.seen(), &needs());
    let settings = read(&text).unwrap();
    let package = include_str!("../../config/aloha_sim.yaml");
    let expected =
        read(&package.replace("ros__parameters:", "ros__parameters:\n    checkpoint: any")).unwrap();
    assert_eq!(settings.joint_names, expected.joint_names);
    assert_eq!(settings.joint_mapping, expected.joint_mapping);
    assert_eq!(settings.outputs, expected.outputs);
    assert_eq!(settings.use_sim_time, expected.use_sim_time);
    assert_eq!(settings.policy.cameras, expected.policy.cameras);
    assert_eq!(settings.inputs.cameras, expected.inputs.cameras);
    assert_eq!(settings.runtime.action_period, expected.runtime.action_period);
    assert!(!settings.auto_start, "nothing moves before somebody says so");
    let jumps = &settings.runtime.control.max_start_jump;
    assert!(
        jumps[6] > 1.0 && jumps[0] == 0.5,
        "a gripper has its whole range: {jumps:?}"
    );
    for reason in [
        "The topic with this camera's name: rgb8 320 × 240, 10.0 Hz",
        "The part of this frame that the data have",
        "The names of the state's values in the data, in their order",
        "The only topic of trajectories",
        "Frames a second of the data",
    ] {
        assert!(flat(&text).contains(reason), "{reason} in\n{text}");
    }
}

#[test]
fn nothing_is_guessed_where_a_wrong_guess_would_move_the_robot_wrongly() {
    let robot = |change: &dyn Fn(&mut Robot)| {
        let mut robot = Robot::new();
        change(&mut robot);
        robot.seen()
    };
    let of_data = |change: &dyn Fn(&mut Needs)| {
        let mut needs = needs();
        change(&mut needs);
        needs
    };
    let percent = of_data(&|needs| {
        for range in &mut needs.state_ranges {
            *range = [-80.0, 80.0];
        }
    });
    let mut two_controllers = Robot::new().seen();
    two_controllers.controller_topic("/other/joint_trajectory", OutputKind::Trajectory);
    for (seen, needs, expected) in [
        (
            robot(&|_| {}),
            of_data(&|needs| needs.state_names.clear()),
            &["joint_names", "trajectory_topic"][..],
        ),
        (
            robot(&|robot| robot.names[3] = "roll".to_owned()),
            needs(),
            &["joint_names", "trajectory_topic"],
        ),
        (
            robot(&|_| {}),
            of_data(&|needs| needs.action_rate_hz = None),
            &["action_rate_hz"],
        ),
        (
            robot(&|robot| robot.positions[2] = -1.8),
            needs(),
            &["joints.left_elbow.scale"],
        ),
        (
            robot(&|robot| robot.positions[6] = 57.0),
            needs(),
            &["joints.left_gripper.scale"],
        ),
        (
            robot(&|robot| robot.frame_rate_hz = 0),
            needs(),
            &["cameras.top.topic"],
        ),
        (
            robot(&|robot| robot.encoding = "8UC3"),
            needs(),
            &["cameras.top.topic"],
        ),
        (
            robot(&|robot| robot.frame = [640, 480]),
            needs(),
            &["cameras.top.crop"],
        ),
        (two_controllers, needs(), &["trajectory_topic"]),
        (
            robot(&|_| {}),
            of_data(&|needs| needs.is_openpi = true),
            &["delta_actions"],
        ),
        (
            robot(&|_| {}),
            of_data(&|needs| needs.action_names = vec!["x".to_owned()]),
            &["action_joints", "trajectory_topic"],
        ),
    ] {
        let text = file(&seen, &needs);
        let refused = read(&text).expect_err(&text);
        for name in expected {
            assert!(
                refused.iter().any(|one| one == name),
                "{name} in {refused:?} of\n{text}"
            );
        }
        assert!(text.contains(FILL_IN));
    }
    let text = file(&Robot::new().seen(), &percent);
    let refused = read(&text).unwrap_err();
    assert_eq!(
        refused.len(),
        14,
        "radians are no degrees or percent: {refused:?}"
    );
}

#[test]
fn degrees_of_a_robot_in_radians_are_worked_out() {
    let mut needs = needs();
    for (index, range) in needs.state_ranges.iter_mut().enumerate() {
        if index % 7 != 6 {
            *range = range.map(f64::to_degrees);
        }
    }
    needs.state_ranges[5] = [-170.0, 170.0];
    let settings = read(&file(&Robot::new().seen(), &needs)).unwrap();
    let state = settings.joint_mapping.state_to_policy(&[1.0; 14]);
    assert!((state[0] - 57.29578).abs() < 1e-3 && state[6] == 1.0, "{state:?}");
    assert_eq!(
        settings.robot_description_topic.as_deref(),
        Some("/robot_description")
    );
}

/// The topics of two ViperX arms, whose drivers and controllers use the same names.
#[test]
fn two_arms_of_the_same_names_are_told_apart_by_their_topics() {
    let robot = Robot::new();
    let whole = robot.seen();
    let mut seen = Sightings {
        cameras: whole.cameras.clone(),
        ..Sightings::default()
    };
    for side in ["left", "right"] {
        let mut arm = whole.joint_states[JOINT_STATES].clone();
        let prefix = format!("{side}_");
        arm.joints.retain(|joint| joint.name.starts_with(&prefix));
        for joint in &mut arm.joints {
            joint.name = joint.name.replace(&prefix, "");
        }
        let own_names: Vec<String> = arm.joints.iter().map(|joint| joint.name.clone()).collect();
        seen.joint_states
            .insert(format!("/follower_{side}/joint_states"), arm);
        for (controller, joints) in [("arm", &own_names[..6]), ("gripper", &own_names[6..])] {
            let topic = format!("/follower_{side}/{controller}_controller/joint_trajectory");
            seen.controller_topic(&topic, OutputKind::Trajectory).joints = Some(joints.to_vec());
        }
    }
    let settings = read(&file(&seen, &needs())).unwrap();
    let topics: Vec<(&str, &str)> = settings
        .inputs
        .joint_states
        .iter()
        .map(|one| (&*one.topic, &*one.prefix))
        .collect();
    let expected = [
        ("/follower_left/joint_states", "left_"),
        ("/follower_right/joint_states", "right_"),
    ];
    assert_eq!(topics, expected);
    assert_eq!(settings.joint_names, robot.names);
    let outputs: Vec<(&str, &[String])> = settings
        .outputs
        .iter()
        .map(|output| (&*output.topic, &output.names[..]))
        .collect();
    assert_eq!(outputs.len(), 4);
    let (topic, names) = outputs[0];
    assert_eq!(topic, "/follower_left/arm_controller/joint_trajectory");
    assert_eq!((names.len(), names[0].as_str()), (6, "waist"));
}

#[test]
fn compressed_images_are_taken_where_there_are_no_raw_ones() {
    let mut seen = Robot::new().seen();
    let raw = seen.cameras.remove(CAMERA).unwrap();
    let compressed = format!("{CAMERA}/compressed");
    let camera = pi0_node::doctor::CameraSeen {
        transport: pi0_node::observation::Transport::Compressed,
        ..raw
    };
    seen.cameras.insert(compressed.clone(), camera);
    let settings = read(&file(&seen, &needs())).unwrap();
    let [camera] = &settings.inputs.cameras[..] else {
        panic!("{:?}", settings.inputs.cameras)
    };
    assert_eq!(camera.topic, compressed);
    assert_eq!(camera.transport, pi0_node::observation::Transport::Compressed);
}

#[test]
fn a_checkpoint_without_facts_of_its_data_leaves_order_and_rate_to_a_person() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/reference/checkpoint");
    let needs = Needs::read(folder, &CheckpointOptions::default(), None).unwrap();
    let seen = Robot::new().seen();
    let text = file(&seen, &needs);
    let refused = read(&text).unwrap_err();
    for name in [
        "joint_names",
        "action_rate_hz",
        "cameras.left_wrist.topic",
        "cameras.right_wrist.topic",
    ] {
        assert!(refused.iter().any(|one| one == name), "{name} in {refused:?}");
    }
    let words = flat(&text);
    assert!(
        words.contains("left_waist") && words.contains("--dataset FOLDER"),
        "{text}"
    );
    assert!(
        text.contains(TRAJECTORY),
        "the topic that was seen is in the comment:\n{text}"
    );
}
