//! The node as a process: its arguments, its end, and what it says when it does not start.

mod common {
    pub mod isolation;
    pub mod ros_domain;
}

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::isolation::isolated;
use common::ros_domain::RosDomain;

/// The node with these ROS arguments, and the domain that it is in.
fn node(arguments: &[&str]) -> (Command, RosDomain) {
    node_with(&[], arguments)
}

/// The node with options of its own before these ROS arguments, and the domain that it is in.
fn node_with(options: &[&str], arguments: &[&str]) -> (Command, RosDomain) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pi0_node"));
    let domain = RosDomain::take();
    command
        .args(options)
        .arg("--ros-args")
        .args(arguments)
        .envs(domain.environment())
        .env_remove("RUST_LOG");
    (command, domain)
}

/// The output of a node that does not start.
fn refused(arguments: &[&str]) -> Output {
    let (mut command, _domain) = node(arguments);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    output
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/aloha_sim.yaml");
const CHECKPOINT: &str = concat!(
    "checkpoint:=",
    env!("CARGO_MANIFEST_DIR"),
    "/tests/fixtures/reference/checkpoint"
);

#[test]
fn wrong_parameters_are_all_listed_and_the_node_does_not_start() {
    let output = refused(&[
        "--params-file",
        CONFIGURATION,
        "-p",
        "device:=gpu",
        "-p",
        "control_rate_hz:=0.0",
        "-p",
        "typo:=1",
    ]);
    let message = stderr(&output);
    for name in ["checkpoint", "device", "control_rate_hz", "typo"] {
        assert!(
            message.contains(&format!("\n  {name}: found")),
            "{name} in {message}"
        );
    }
}

#[test]
fn an_old_name_and_a_name_of_no_joint_are_refused_with_what_to_write() {
    let output = refused(&[
        "--params-file",
        CONFIGURATION,
        "-p",
        CHECKPOINT,
        "-p",
        "camera_topics:=[/top]",
        "-p",
        "joints.lef_gripper.scale:=2.0",
    ]);
    let message = stderr(&output);
    for line in [
        "camera_topics: found [/top], expected its new name cameras.<name>.topic",
        "joints.lef_gripper.scale: found 2.0, expected one of the joints of joint_names: left_elbow,",
    ] {
        assert!(message.contains(&format!("\n  {line}")), "{line} in {message}");
    }
}

/// The topics that a node with these ROS arguments lists.
fn listed(arguments: &[&str]) -> Vec<String> {
    let (mut command, _domain) = node_with(&["--list-topics"], arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut lines: Vec<String> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

#[test]
fn the_topics_of_a_configuration_are_listed_without_running_the_node() {
    let expected = [
        "command /joint_trajectory",
        "publish /diagnostics",
        "publish /pi0_node/chunk",
        "subscribe /camera/top/image_raw",
        "subscribe /clock",
        "subscribe /joint_states",
        "subscribe /prompt",
        "subscribe /robot_description",
    ];
    assert_eq!(
        listed(&["--params-file", CONFIGURATION, "-p", CHECKPOINT]),
        expected
    );
    let refused = node_with(&["--list-topics"], &["--params-file", CONFIGURATION])
        .0
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("checkpoint: found nothing"),
        "{refused:?}"
    );
}

#[test]
fn the_topics_that_are_listed_are_those_of_the_node_that_runs() {
    isolated!(|| {
        let arguments = [
            &["--params-file", CONFIGURATION, "-p", CHECKPOINT][..],
            &["-p", "absent_cameras:=[left_wrist,right_wrist]"],
            &[
                "-p",
                "cameras.top.topic:=top/image",
                "-p",
                "robot_description_topic:=''",
            ],
            &[
                "-p",
                "joint_states.left.topic:=/left/joint_states",
                "-p",
                "joint_states.all.topic:=states",
            ],
            &[
                "-r",
                "__ns:=/robot",
                "-r",
                "__node:=arm",
                "-r",
                "top/image:=wrist/image",
            ],
            &[
                "-r",
                "arm:/left/joint_states:=/moved",
                "-r",
                "other:states:=/never",
                "-r",
                "~/chunk:=chunk",
            ],
            &["-r", "/joint_trajectory:=~/commands"],
        ];
        let arguments = arguments.concat();
        let expected = [
            "command /robot/arm/commands",
            "publish /diagnostics",
            "publish /robot/chunk",
            "subscribe /clock",
            "subscribe /moved",
            "subscribe /prompt",
            "subscribe /robot/states",
            "subscribe /robot/wrist/image",
        ];
        assert_eq!(listed(&arguments), expected);

        let mut command = Command::new(env!("CARGO_BIN_EXE_pi0_node"));
        command.arg("--ros-args").args(&arguments).env_remove("RUST_LOG");
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map(Result::unwrap);
        assert!(lines.any(|line| line.contains("is running")));
        let node = r2r::Node::create(r2r::Context::create().unwrap(), "observer", "").unwrap();
        // Topics of any node, of the parameter and lifecycle services, and of the action.
        let of_any = [
            "/parameter_events",
            "/rosout",
            "/robot/arm/transition_event",
            "/robot/arm/run_policy/_action/feedback",
            "/robot/arm/run_policy/_action/status",
        ];
        let expected: BTreeSet<&str> = expected
            .iter()
            .map(|line| line.split_once(' ').unwrap().1)
            .chain(of_any)
            .collect();
        let started = Instant::now();
        loop {
            let found = node.get_topic_names_and_types().unwrap();
            let found: BTreeSet<&str> = found.keys().map(String::as_str).collect();
            if found == expected {
                break;
            }
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "{found:?}, not {expected:?}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        let id = child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &id])
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(
            child.wait().unwrap().code(),
            Some(0),
            "{:?}",
            lines.collect::<Vec<_>>()
        );
    });
}

#[test]
fn help_version_and_parameters_are_answered() {
    for (argument, expected) in [
        ("--help", "--list-topics"),
        ("--print-parameters", "#max_start_jump: 0.5"),
        ("--version", concat!("pi0_node ", env!("CARGO_PKG_VERSION"))),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_pi0_node"))
            .arg(argument)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let answer = String::from_utf8_lossy(&output.stdout);
        assert!(answer.contains(expected), "{answer}");
    }
}

#[test]
fn a_missing_checkpoint_is_named() {
    let output = refused(&[
        "--params-file",
        CONFIGURATION,
        "-p",
        "checkpoint:=/no/such/folder",
    ]);
    assert!(stderr(&output).contains("/no/such/folder"), "{}", stderr(&output));
}

#[test]
fn a_parameter_file_that_cannot_be_read_is_named() {
    let output = refused(&["--params-file", "/no/such/file.yaml"]);
    let message = stderr(&output);
    assert!(message.contains("/no/such/file.yaml"), "{message}");
    assert!(!message.contains("panicked"), "{message}");
}

#[test]
fn the_node_runs_the_configuration_and_ends_cleanly_when_told_to() {
    for (kill, word) in [
        ("-INT", "interrupted"),
        ("-TERM", "terminated"),
        ("-HUP", "hung up"),
    ] {
        let (mut command, _domain) = node(&["--params-file", CONFIGURATION, "-p", CHECKPOINT]);
        let mut child = command
            .args(["-p", "absent_cameras:=[left_wrist,right_wrist]"])
            .args(["-r", "__node:=arm"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let running = lines
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.contains("is running"));
        assert!(running.unwrap().contains("/arm"));
        let told = Instant::now();
        let id = child.id().to_string();
        assert!(Command::new("kill").args([kill, &id]).status().unwrap().success());
        let rest: Vec<String> = lines.map(Result::unwrap).collect();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{rest:?}");
        assert!(rest.iter().any(|line| line.contains(word)), "{rest:?}");
        assert!(told.elapsed() < Duration::from_secs(3), "{:?}", told.elapsed());
    }
}
