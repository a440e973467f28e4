//! The node as a process: its arguments, its end, and what it says when it does not start.

mod common {
    pub mod ros_domain;
}

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::ros_domain::RosDomain;

/// The node with these ROS arguments, and the domain that it is in.
fn node(arguments: &[&str]) -> (Command, RosDomain) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pi0_node"));
    let domain = RosDomain::take();
    command
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
fn help_and_version_are_answered() {
    for (argument, expected) in [
        ("--help", "max_start_jump := [0.5]"),
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

const CHECKPOINT: &str = concat!(
    "checkpoint:=",
    env!("CARGO_MANIFEST_DIR"),
    "/tests/fixtures/reference/checkpoint"
);

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
