//! `pi0_node --check --bag` as a program, which needs no ROS 2.

use std::process::{Command, Output};

const CHECKPOINT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/checkpoints/aloha_sim");
const BAG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/bags/mcap_zstd");
const CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/aloha_sim.yaml");

fn check(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pi0_node"));
    command.arg("--check").args(arguments).env_remove("RUST_LOG");
    command.output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_bag_without_parameters_gives_a_report_and_a_first_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("robot.yaml");
    let arguments = [CHECKPOINT, "--bag", BAG, "--write", file.to_str().unwrap()];
    let output = check(&arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = stdout(&output);
    for line in [
        "ok       camera top: /camera/top/image_raw: rgb8 8 × 6, 10.0 Hz",
        "look     joint states: /joint_states: 15 joints, 10.0 Hz",
        "ok       clock: stamps are of the time of recording (use_sim_time: false)",
        "ok       /camera/wrist/image_raw: rgb8 6 × 4, 4.0 Hz, not used",
        "problem  outputs: ",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(written.contains("trajectory_topic: FILL_IN"), "{written}");
    let again = check(&arguments);
    assert_eq!(again.status.code(), Some(1));
    let refused = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(
        refused.contains("robot.yaml cannot be written: File exists"),
        "{refused}"
    );
}

#[test]
fn a_bag_is_checked_against_a_parameter_file() {
    let checkpoint = format!("checkpoint:={CHECKPOINT}");
    let ros = ["--ros-args", "--params-file", CONFIGURATION, "-p", &checkpoint];
    let output = check(&[&["--json", "--bag", BAG][..], &ros].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let problem = |subject: &str, words: &str| {
        findings.iter().any(|finding| {
            finding["level"] == "problem"
                && finding["subject"] == subject
                && finding["found"].as_str().unwrap().contains(words)
        })
    };
    assert!(problem("clock", "no time came on /clock"), "{report:#}");
    assert!(problem("camera top", "the crop is 120 × 120"), "{report:#}");
    assert!(
        problem("output /joint_trajectory", "its joints are right_gripper"),
        "{report:#}"
    );
    let with_file = check(&[&["--write", "robot.yaml", "--bag", BAG][..], &ros].concat());
    assert_eq!(with_file.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&with_file.stderr).contains("--write is for a robot without parameters"));
}

#[test]
fn parameters_that_do_not_fit_are_findings() {
    let output = check(&[
        CHECKPOINT,
        "--bag",
        BAG,
        "--ros-args",
        "--params-file",
        CONFIGURATION,
        "-p",
        "action_rate_hz:=FILL_IN",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(
        text.contains(
            "problem  action_rate_hz: found \"FILL_IN\", expected a value of type double in place of FILL_IN"
        ),
        "{text}"
    );
}

#[test]
fn what_cannot_be_checked_is_an_error_with_the_reason() {
    for (arguments, words) in [
        (&["/nowhere", "--bag", BAG][..], "no such folder"),
        (&[CHECKPOINT, "--bag", "/nowhere"], "no such file or folder"),
        (&[CHECKPOINT, "--bag", BAG, "--dataset", "/nowhere"], "/nowhere"),
        (&["--bag", BAG], "which checkpoint?"),
        (&[CHECKPOINT, "--bags", BAG], "no option of --check"),
    ] {
        let output = check(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.starts_with("error: ") && error.contains(words), "{error}");
    }
}
