//! The newest message of every input, and the observation that they make together.

use std::collections::BTreeMap;
use std::mem::{Discriminant, discriminant};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use image::RgbImage;

use super::{InputProblem, lock};
use crate::control::{InputWatch, WatchedInput};
use crate::policy::Observation;

/// A camera by the checkpoint's name, and the topic it comes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraTopic {
    pub name: String,
    pub topic: String,
}

/// Everything that inference needs of one moment.
#[derive(Clone, Debug)]
pub struct StampedObservation {
    pub observation: Observation,
    /// The stamp of the joint state: the actions are for the robot as it was then.
    pub observed_at: Duration,
    /// [Resets](super::RosClock::resets) of the clock when its newest part came.
    pub clock_resets: u64,
    /// Grows with every good message.
    pub sequence: u64,
}

/// How an input is doing.
#[derive(Clone, Debug, PartialEq)]
pub struct InputReport {
    pub kind: InputKind,
    pub topic: String,
    /// Time since the newest good message came.
    pub age: Option<Duration>,
    pub problem: Option<String>,
}

/// What an input is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputKind {
    Camera(String),
    JointStates,
    Prompt,
}

impl std::fmt::Display for InputKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Camera(name) => write!(formatter, "camera {name}"),
            Self::JointStates => write!(formatter, "joint states"),
            Self::Prompt => write!(formatter, "prompt"),
        }
    }
}

/// The slot between the subscriptions and inference. Its lock is held to move a message in or out, never longer.
#[derive(Debug)]
pub struct Inputs {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    cameras: Vec<Input<Arc<RgbImage>>>,
    joint_states: Input<JointState>,
    prompt: Input<String>,
    /// Prompts that were given so far.
    prompts: u64,
    clock_resets: u64,
    sequence: u64,
    closed: bool,
}

#[derive(Clone, Debug)]
struct JointState {
    positions: Vec<f32>,
    stamp: Duration,
}

#[derive(Debug)]
struct Input<T> {
    kind: InputKind,
    topic: String,
    good: Option<(T, Instant)>,
    problem: Option<InputProblem>,
    logged: Vec<Discriminant<InputProblem>>,
}

impl<T: Clone> Input<T> {
    fn new(kind: InputKind, topic: &str) -> Self {
        Self {
            kind,
            topic: topic.to_owned(),
            good: None,
            problem: None,
            logged: Vec::new(),
        }
    }

    /// Takes a message in, and answers whether it was good. Each kind of problem is logged once until a good
    /// message comes.
    fn take(&mut self, message: Result<T, InputProblem>) -> bool {
        match message {
            Ok(value) => {
                if self.problem.take().is_some() {
                    tracing::info!("{} on {}: good again", self.kind, self.topic);
                }
                self.logged.clear();
                self.good = Some((value, Instant::now()));
                true
            }
            Err(problem) => {
                let cause = discriminant(&problem);
                if !self.logged.contains(&cause) {
                    self.logged.push(cause);
                    tracing::warn!(
                        "{} on {}: {problem}; no actions until a good message comes",
                        self.kind,
                        self.topic
                    );
                }
                self.problem = Some(problem);
                false
            }
        }
    }

    fn usable(&self) -> Option<&T> {
        let good = self.good.as_ref().filter(|_| self.problem.is_none());
        good.map(|(value, _)| value)
    }

    fn report(&self) -> InputReport {
        InputReport {
            kind: self.kind.clone(),
            topic: self.topic.clone(),
            age: self.good.as_ref().map(|(_, received)| received.elapsed()),
            problem: self.problem.as_ref().map(InputProblem::to_string),
        }
    }

    fn watch(&self, input: WatchedInput) -> InputWatch {
        InputWatch {
            input,
            received: self.good.as_ref().map(|(_, received)| *received),
            is_not_finite: matches!(self.problem, Some(InputProblem::NotFinite { .. })),
        }
    }

    fn forget(&mut self) {
        self.good = None;
    }
}

impl State {
    fn observation(&self) -> Option<StampedObservation> {
        let mut images = BTreeMap::new();
        for camera in &self.cameras {
            if let InputKind::Camera(name) = &camera.kind {
                images.insert(name.clone(), Arc::clone(camera.usable()?));
            }
        }
        let joint_state = self.joint_states.usable()?;
        Some(StampedObservation {
            observation: Observation {
                images,
                state: joint_state.positions.clone(),
                prompt: self.prompt.usable()?.clone(),
            },
            observed_at: joint_state.stamp,
            clock_resets: self.clock_resets,
            sequence: self.sequence,
        })
    }
}

impl Inputs {
    /// Inputs that wait for their first messages.
    pub fn new(cameras: &[CameraTopic], joint_states_topic: &str, prompt_topic: &str) -> Self {
        let camera = |camera: &CameraTopic| Input::new(InputKind::Camera(camera.name.clone()), &camera.topic);
        Self {
            state: Mutex::new(State {
                cameras: cameras.iter().map(camera).collect(),
                joint_states: Input::new(InputKind::JointStates, joint_states_topic),
                prompt: Input::new(InputKind::Prompt, prompt_topic),
                prompts: 0,
                clock_resets: 0,
                sequence: 0,
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// A message of the camera at `index`. A bad one makes the camera count as missing.
    pub fn take_image(&self, index: usize, image: Result<RgbImage, InputProblem>) {
        self.take(|state| {
            state
                .cameras
                .get_mut(index)
                .is_some_and(|camera| camera.take(image.map(Arc::new)))
        });
    }

    /// Positions of the policy's joints and their stamp. A bad message makes the joint states count as missing.
    pub fn take_joint_positions(&self, positions: Result<Vec<f32>, InputProblem>, stamp: Duration) {
        let message = positions.map(|positions| JointState { positions, stamp });
        self.take(|state| state.joint_states.take(message));
    }

    /// What the robot is to do from now on; nothing when empty.
    pub fn take_prompt(&self, prompt: &str) {
        self.take(|state| {
            if prompt.is_empty() {
                state.prompt.forget();
            }
            state.prompts += 1;
            !prompt.is_empty() && state.prompt.take(Ok(prompt.to_owned()))
        });
    }

    /// Forgets what was seen before the clock was reset for the `clock_resets`th time.
    pub fn forget_before_reset(&self, clock_resets: u64) {
        let mut state = lock(&self.state);
        state.cameras.iter_mut().for_each(Input::forget);
        state.joint_states.forget();
        state.clock_resets = clock_resets;
    }

    /// Waits for a complete observation with a message that came after `sequence`. None once closed.
    pub fn wait_for_observation(&self, sequence: u64) -> Option<StampedObservation> {
        let mut state = lock(&self.state);
        loop {
            if state.closed {
                return None;
            }
            if state.sequence > sequence
                && let Some(observation) = state.observation()
            {
                return Some(observation);
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    /// The complete observation of now, if there is one with a message that came after `sequence`. Does not wait.
    pub fn observation_after(&self, sequence: u64) -> Option<StampedObservation> {
        let state = lock(&self.state);
        (state.sequence > sequence).then(|| state.observation()).flatten()
    }

    /// Ends every wait for an observation.
    pub fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_all();
    }

    /// How every input is doing: cameras in their order, joint states, prompt.
    pub fn report(&self) -> Vec<InputReport> {
        let state = lock(&self.state);
        let cameras = state.cameras.iter().map(Input::report);
        cameras
            .chain([state.joint_states.report(), state.prompt.report()])
            .collect()
    }

    /// The inputs that must not become old: cameras in their order, joint states.
    pub fn watched(&self) -> Vec<InputWatch> {
        let state = lock(&self.state);
        let cameras = state.cameras.iter().map(|camera| match &camera.kind {
            InputKind::Camera(name) => camera.watch(WatchedInput::Camera(name.clone())),
            other => camera.watch(WatchedInput::Other(other.to_string())),
        });
        let joint_states = state.joint_states.watch(WatchedInput::JointStates);
        cameras.chain([joint_states]).collect()
    }

    /// Where the joints are, as last measured; none before the first good message.
    pub fn measured_positions(&self) -> Option<Vec<f32>> {
        let state = lock(&self.state);
        let measured = state.joint_states.good.as_ref();
        measured.map(|(measured, _)| measured.positions.clone())
    }

    /// Another number for every prompt that was given.
    pub fn prompt_number(&self) -> u64 {
        lock(&self.state).prompts
    }

    fn take(&self, into: impl FnOnce(&mut State) -> bool) {
        let mut state = lock(&self.state);
        if into(&mut state) {
            state.sequence += 1;
            self.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs() -> Inputs {
        let camera = CameraTopic {
            name: "top".to_owned(),
            topic: "/top".to_owned(),
        };
        let inputs = Inputs::new(&[camera], "/joint_states", "/prompt");
        inputs.take_prompt("wave");
        inputs
    }

    fn observation(inputs: &Inputs) -> Option<StampedObservation> {
        lock(&inputs.state).observation()
    }

    fn bad() -> InputProblem {
        InputProblem::EmptyImage { width: 0, height: 0 }
    }

    fn complete() -> Inputs {
        let inputs = inputs();
        inputs.take_image(0, Ok(RgbImage::new(2, 2)));
        inputs.take_joint_positions(Ok(vec![0.5]), Duration::from_secs(7));
        inputs
    }

    #[test]
    fn an_observation_is_complete_when_every_input_came() {
        let inputs = inputs();
        inputs.take_image(0, Ok(RgbImage::new(2, 2)));
        assert!(observation(&inputs).is_none());
        inputs.take_joint_positions(Ok(vec![0.5]), Duration::from_secs(7));
        let complete = observation(&inputs).unwrap();
        assert_eq!(complete.observed_at, Duration::from_secs(7));
        assert_eq!(complete.observation.state, [0.5]);
        assert_eq!(complete.observation.prompt, "wave");
        assert!(complete.observation.images.contains_key("top"));
    }

    #[test]
    fn a_bad_message_makes_its_input_missing_until_a_good_one_comes() {
        let inputs = complete();
        inputs.take_image(0, Err(bad()));
        assert!(observation(&inputs).is_none());
        assert!(
            inputs.report()[0]
                .problem
                .as_ref()
                .unwrap()
                .contains("0 × 0 pixels")
        );
        inputs.take_image(0, Ok(RgbImage::new(2, 2)));
        assert!(observation(&inputs).is_some());
        assert_eq!(inputs.report()[0].problem, None);
    }

    #[test]
    fn without_a_prompt_there_is_no_observation() {
        let inputs = complete();
        inputs.take_prompt("");
        assert!(observation(&inputs).is_none());
        inputs.take_prompt("wave again");
        assert_eq!(observation(&inputs).unwrap().observation.prompt, "wave again");
    }

    #[test]
    fn nothing_from_before_a_reset_of_the_clock_is_observed() {
        let inputs = complete();
        inputs.forget_before_reset(1);
        inputs.take_joint_positions(Ok(vec![0.1]), Duration::ZERO);
        assert!(observation(&inputs).is_none());
        inputs.take_image(0, Ok(RgbImage::new(2, 2)));
        assert_eq!(observation(&inputs).unwrap().clock_resets, 1);
    }

    #[test]
    fn an_observation_is_given_once() {
        let inputs = complete();
        let first = inputs.wait_for_observation(0).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| inputs.wait_for_observation(first.sequence));
            std::thread::sleep(Duration::from_millis(50));
            assert!(!waiting.is_finished());
            inputs.take_joint_positions(Ok(vec![0.75]), Duration::from_secs(8));
            let second = waiting.join().unwrap().unwrap();
            assert_eq!(second.observation.state, [0.75]);
        });
    }

    #[test]
    fn closing_ends_the_wait() {
        let inputs = inputs();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| inputs.wait_for_observation(0));
            inputs.close();
            assert!(waiting.join().unwrap().is_none());
        });
    }
}
