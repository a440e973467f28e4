//! What a program traces: a Chrome trace whose spans begin and end where work does.

#[cfg(feature = "ros")]
mod common {
    pub mod ros_domain;
}

use std::path::Path;
use std::process::Command;

use serde_json::Value;

const VARIABLE: &str = "PI0_CHROME_TRACE";

/// How often each span was entered. Every one is left again, on its thread and in its turn.
fn spans(file: &Path) -> impl Fn(&str) -> usize {
    let text = std::fs::read_to_string(file).unwrap();
    let events: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut open: Vec<(u64, String)> = Vec::new();
    let mut entered = Vec::new();
    for event in &events {
        let span = || {
            let name = event["name"].as_str().unwrap().to_owned();
            (event["tid"].as_u64().unwrap(), name)
        };
        match event["ph"].as_str().unwrap() {
            "B" => {
                open.push(span());
                entered.push(span().1);
            }
            "E" => {
                let (thread, name) = span();
                let last = open.iter().rposition(|(of, _)| *of == thread).unwrap();
                assert_eq!(open.remove(last).1, name);
            }
            _ => {}
        }
    }
    assert_eq!(open, [], "left open");
    move |name| entered.iter().filter(|entered| *entered == name).count()
}

#[test]
fn a_benchmark_traces_every_stage_of_every_chunk() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace.json");
    let output = Command::new(env!("CARGO_BIN_EXE_pi0_bench"))
        .args([
            "--cameras",
            "2",
            "--steps",
            "3",
            "--warm-up",
            "0",
            "--repeats",
            "2",
        ])
        .env(VARIABLE, &file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let count = spans(&file);
    let stages = ["resize", "vision", "prompt", "prefix", "denoise_step"];
    assert_eq!(stages.map(count), [4, 4, 2, 2, 6]);
}

#[test]
fn a_trace_that_cannot_be_written_is_told_with_its_file() {
    let output = Command::new(env!("CARGO_BIN_EXE_pi0_bench"))
        .env(VARIABLE, "/no/such/folder/trace.json")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("/no/such/folder/trace.json"), "{message}");
}

#[test]
fn one_file_is_not_given_the_traces_of_several_evaluations() {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(env!("CARGO_BIN_EXE_pi0_eval"))
        .arg(root.join("tests/fixtures/bags/mcap_zstd"))
        .arg("--params-file")
        .arg(root.join("config/aloha_sim.yaml"))
        .arg("--checkpoint")
        .arg(root.join("checkpoints/aloha_sim"))
        .arg("--output")
        .arg(folder.path())
        .env(VARIABLE, folder.path().join("trace.json"))
        .output()
        .unwrap();
    assert!(!output.status.success());
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("one bag without --output"), "{message}");
}

#[cfg(feature = "ros")]
mod node {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Child, Stdio};
    use std::time::{Duration, Instant};

    use futures::{FutureExt, StreamExt};
    use pi0_node::parameters::{ParameterValue, Parameters, parameters_of};
    use r2r::sensor_msgs::msg::{Image, JointState};
    use r2r::trajectory_msgs::msg::JointTrajectory;
    use r2r::{Context, Node, QosProfile};

    use super::*;
    use crate::common::ros_domain::RosDomain;

    /// Ends with the test, however that ends.
    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            // It has ended already where the test came to its own end.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// On the system's clock, and wherever the policy would begin.
    const PARAMETERS: &str = "/**:\n  ros__parameters:\n    use_sim_time: false\n    denoise_steps: 3\n    \
        joint_defaults.max_start_jump: .inf\n";

    /// Plays a robot until it is told to move.
    fn robot_that_is_told_to_move(joint_names: &[String]) {
        let qos = QosProfile::default();
        let mut robot = Node::create(Context::create().unwrap(), "robot", "").unwrap();
        let images = robot
            .create_publisher::<Image>("/camera/top/image_raw", qos.clone())
            .unwrap();
        let joint_states = robot
            .create_publisher::<JointState>("/joint_states", qos.clone())
            .unwrap();
        let trajectories = robot
            .subscribe::<JointTrajectory>("/joint_trajectory", qos)
            .unwrap();
        let mut trajectories = Box::pin(trajectories);
        let image = Image {
            width: 640,
            height: 480,
            step: 3 * 640,
            encoding: "rgb8".to_owned(),
            data: vec![90; 3 * 640 * 480],
            ..Image::default()
        };
        let joint_state = JointState {
            name: joint_names.to_vec(),
            position: vec![0.0; joint_names.len()],
            ..JointState::default()
        };
        let started = Instant::now();
        let mut told = 0;
        while told < 5 {
            assert!(started.elapsed() < Duration::from_secs(60), "no trajectory came");
            images.publish(&image).unwrap();
            joint_states.publish(&joint_state).unwrap();
            robot.spin_once(Duration::from_millis(20));
            told += usize::from(trajectories.next().now_or_never().is_some());
        }
    }

    #[test]
    fn a_node_traces_inference_and_control_until_it_is_told_to_end() {
        let domain = RosDomain::take();
        // SAFETY: no other test of this process reads or sets these, and what it publishes must never move a robot on the
        // network.
        unsafe {
            for (name, value) in domain.environment() {
                std::env::set_var(name, value);
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let (file, parameters) = (folder.path().join("trace.json"), folder.path().join("robot.yaml"));
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let configuration = root.join("config/aloha_sim.yaml");
        let checkpoint = root.join("checkpoints/aloha_sim").display().to_string();
        let mut given =
            parameters_of(&std::fs::read_to_string(&configuration).unwrap(), "/pi0_node").unwrap();
        given.push((
            "checkpoint".to_owned(),
            ParameterValue::String(checkpoint.clone()),
        ));
        let joint_names = Parameters::from_overrides(given.into_iter())
            .unwrap()
            .settings()
            .joint_names
            .clone();
        std::fs::write(&parameters, PARAMETERS).unwrap();
        let node = Command::new(env!("CARGO_BIN_EXE_pi0_node"))
            .args(["--ros-args", "--params-file"])
            .arg(configuration)
            .arg("--params-file")
            .arg(&parameters)
            .args(["-p", &format!("checkpoint:={checkpoint}")])
            .env(VARIABLE, &file)
            .env_remove("RUST_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut node = Running(node);
        let mut log = BufReader::new(node.0.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("is running") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the node does not start");
        }
        robot_that_is_told_to_move(&joint_names);
        let id = node.0.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &id])
                .status()
                .unwrap()
                .success()
        );
        let mut rest = String::new();
        log.read_to_string(&mut rest).unwrap();
        assert!(node.0.wait().unwrap().success(), "{rest}");

        let count = spans(&file);
        let inferences = count("inference");
        assert!(inferences > 0);
        assert_eq!(count("denoise_step"), 3 * inferences);
        for name in ["resize", "vision", "prompt", "prefix"] {
            assert!((1..=inferences).contains(&count(name)), "{name}");
        }
        assert!((5..=count("control_tick")).contains(&count("publish")));
    }
}
