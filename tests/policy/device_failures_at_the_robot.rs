//! A device that fails while the robot moves: the inference loop reports it, the robot holds, and moves again once the device
//! answers.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use pi0_node::checkpoint::Checkpoint;
use pi0_node::control::{Blending, ControlSettings, HoldReason, PlayerState};
use pi0_node::device::{CpuDevice, Precision};
use pi0_node::observation::{CameraTopic, Clock, InputTopics, Inputs, JointStatesTopic};
use pi0_node::parameters::{GoalSettings, RuntimeSettings};
use pi0_node::policy::{Pi0Policy, Policy};
use pi0_node::runtime::{ControlLoop, InferenceLoop, InferenceReport, NodeState};

use crate::failing_device::{FailingDevice, Faults};
use crate::folder::reference;
use crate::robot::{FEW_STEPS, frame, options};

const PERIOD: Duration = Duration::from_millis(20);
const JOINTS: usize = 14;
const PATIENCE: Duration = Duration::from_secs(30);

/// The threads of a node in simulated time, and a robot that stands where it is.
struct Node {
    state: Arc<NodeState>,
    faults: Arc<Faults>,
    stop: Arc<AtomicBool>,
    now: Duration,
    threads: Vec<JoinHandle<()>>,
}

fn settings() -> RuntimeSettings {
    RuntimeSettings {
        control_period: PERIOD,
        action_period: PERIOD,
        execution_horizon: None,
        blending: Blending::default(),
        control: ControlSettings::unlimited(PERIOD),
        vision_refresh: Arc::default(),
        denoise_steps: FEW_STEPS,
        goals: GoalSettings::default(),
        added_inference_latency: Duration::ZERO,
    }
}

impl Node {
    fn start(checkpoint: &Path) -> Self {
        let (device, faults) = FailingDevice::new(CpuDevice::new(Precision::F32, 1).unwrap());
        let policy = Pi0Policy::new(&Checkpoint::open(checkpoint).unwrap(), device, &options()).unwrap();
        let camera = |name: &String| CameraTopic {
            name: name.clone(),
            ..CameraTopic::default()
        };
        let topics = InputTopics {
            cameras: policy.info().cameras.iter().map(camera).collect(),
            joint_states: vec![JointStatesTopic::default()],
            ..InputTopics::default()
        };
        let names: Vec<String> = (0..JOINTS).map(|joint| format!("joint_{joint}")).collect();
        let inputs = Inputs::new(&topics, &names);
        inputs.take_prompt("pick up the cube");
        let state = Arc::new(NodeState::of(Clock::simulated(), inputs, settings()));
        state.is_active.store(true, Ordering::Release);
        *state.inference.lock() = InferenceReport::new(&policy);
        let stop = Arc::<AtomicBool>::default();
        let control = ControlLoop {
            state: Arc::clone(&state),
            priority: 0,
            stop: Arc::clone(&stop),
            commanded: (0..JOINTS).collect(),
            axes: names.into_iter().collect(),
        };
        let inference = InferenceLoop {
            policy: Box::new(policy),
            state: Arc::clone(&state),
            show: Box::new(|_| {}),
        };
        Self {
            state,
            faults,
            stop,
            now: Duration::from_secs(1),
            threads: vec![
                thread::spawn(move || control.run(|_| {})),
                thread::spawn(move || inference.run()),
            ],
        }
    }

    /// One tick later, with new messages of every input.
    fn step(&mut self) {
        let before = self.state.control.lock().ticks;
        self.now += PERIOD;
        self.state.clock.set(self.now);
        for camera in 0..2 {
            let image = (*frame(self.now.as_millis() as u8)).clone();
            self.state.inputs.take_image(camera, Ok(image), self.now);
        }
        let positions = (0..JOINTS).map(|joint| (joint, 0.1)).collect();
        self.state.inputs.take_joint_positions(0, Ok(positions), self.now);
        while self.state.control.lock().ticks == before {
            thread::yield_now();
        }
    }

    fn hold(&self) -> Option<HoldReason> {
        self.state.control.lock().hold.as_ref().map(|hold| hold.reason)
    }

    fn moves(&self) -> bool {
        self.state.control.lock().state == PlayerState::Playing
    }

    /// Goes on from tick to tick, as fast as a robot whose policy is a little slower than it.
    fn step_until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            assert!(
                began.elapsed() < PATIENCE,
                "not {what}; the hold is {:?}",
                self.hold()
            );
            self.step();
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn error(&self) -> Option<String> {
        self.state.inference.lock().error.clone()
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.state.inputs.close();
        for thread in self.threads {
            thread.join().expect("a thread that did not panic");
        }
    }
}

#[test]
fn the_robot_holds_while_the_device_fails_and_moves_again_once_it_answers() {
    for checkpoint in ["checkpoint", "pi05/checkpoint"] {
        let mut node = Node::start(&reference(checkpoint));
        node.step_until("moving", Node::moves);
        for _ in 0..3 {
            node.faults.fail_for_good();
            node.step_until("holding", |node| node.hold().is_some());
            assert_eq!(node.hold(), Some(HoldReason::ChunkSpent));
            let chunks = node.state.inference.lock().chunks;
            node.step_until("failing", |node| node.error().is_some());
            let error = node.error().unwrap();
            (0..20).for_each(|_| node.step());
            assert_eq!(
                node.state.inference.lock().chunks,
                chunks,
                "no chunk of a device that fails"
            );
            assert_eq!(node.hold(), Some(HoldReason::ChunkSpent));
            let operation = node.faults.heal().unwrap();
            assert_eq!(error, format!("the device failed: {operation}: no answer"));
            node.step_until("moving again", Node::moves);
            assert_eq!(node.error(), None);
        }
        node.end();
    }
}
