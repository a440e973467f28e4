//! The newest messages of every input, and the observation that they make together.

use std::sync::Arc;
use std::time::Duration;

use image::RgbImage;
use parking_lot::{Condvar, Mutex};

use super::input::{Input, InputKind, InputReport};
use super::joint_positions::{JointPositions, SomePositions};
use super::measured_pose::measured_pose;
use super::message_set::Set;
use super::short_prompt::shortened;
use super::stamp::TIME_JUMP;
use super::{FrameProblem, FrameTree, InputProblem, InputTopics, PoseSource, TRANSFORM_TOPICS, Transform};
use crate::control::{InputRole, MonitoredInput};
use crate::locking::Locking;
use crate::policy::Observation;
use crate::pose::{POSE_VALUES, Pose};

/// Frames of a camera that may become part of an observation: they are large, and the newest are what counts.
const FRAMES: usize = 8;
/// Messages of any other input: a second of 1 kHz.
const MESSAGES: usize = 1024;

/// A complete observation with its times.
#[derive(Clone, Debug)]
pub struct StampedObservation {
    /// The observation.
    pub observation: Observation,
    /// The stamp of the joint positions: the actions are for the robot as it was then.
    pub observed_at: Duration,
    /// For each camera in its order, how much older than the joint positions its frame is, in seconds; none without a
    /// frame of an optional camera.
    pub camera_ages_s: Vec<Option<f64>>,
    /// [Resets](super::Clock::resets) of the clock when its newest part came.
    pub clock_resets: u64,
    /// Grows with every good message, or with `sync_slop` with every new set of them.
    pub sequence: u64,
}

/// State of the inputs at one control tick.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InputsAtATick {
    /// Inputs that must not become old.
    pub watched: Vec<MonitoredInput>,
    /// Newest measured position of each joint, and then the values of each pose; none before all were received.
    pub measured: Option<Vec<f32>>,
    /// Changes with every prompt that is given.
    pub prompt_generation: u64,
}

/// The newest messages of every input, between the subscriptions and inference. The lock is held to move a message in or out,
/// never longer.
#[derive(Debug)]
pub struct Inputs {
    pub(super) topics: InputTopics,
    pub(super) joints: Vec<String>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    cameras: Vec<Camera>,
    joint_states: Vec<Input<()>>,
    joints: JointPositions,
    /// The poses, and then the extra state.
    others: Vec<Input<Vec<f32>>>,
    frames: FrameTree,
    prompt: Input<String>,
    /// Prompts that were given so far.
    prompts: u64,
    sync_slop: Option<Duration>,
    /// The stamps of the newest set, where sets are made by stamps.
    announced: Option<Vec<Option<Duration>>>,
    clock_resets: u64,
    sequence: u64,
    closed: bool,
}

#[derive(Debug)]
struct Camera {
    name: String,
    is_optional: bool,
    frames: Input<Arc<RgbImage>>,
}

impl State {
    /// The newest messages that make an observation: around the newest joint positions that every other input has a
    /// message for.
    fn newest_set(&self) -> Option<Set<'_>> {
        if self.joint_states.iter().any(|topic| topic.problem.is_some()) {
            return None;
        }
        let mut stamps = self.joints.together().stamps();
        let Some(slop) = self.sync_slop else {
            return self.set_at(stamps.next()?);
        };
        // No set can be newer than what came last on every input.
        let required = self.cameras.iter().filter(|camera| !camera.is_optional);
        let frames = required.map(|camera| camera.frames.messages.newest().map(|(stamp, _)| stamp));
        let others = self
            .others
            .iter()
            .map(|one| one.messages.newest().map(|(stamp, _)| stamp));
        let newest: Vec<Duration> = frames.chain(others).collect::<Option<_>>()?;
        let latest = newest
            .into_iter()
            .min()
            .map_or(Duration::MAX, |newest| newest.saturating_add(slop));
        stamps
            .filter(|stamp| *stamp <= latest)
            .find_map(|stamp| self.set_at(stamp))
    }

    fn set_at(&self, stamp: Duration) -> Option<Set<'_>> {
        let mut frames = Vec::with_capacity(self.cameras.len());
        for camera in &self.cameras {
            let frame = camera.frames.near(stamp, self.sync_slop);
            if frame.is_none() && !camera.is_optional {
                return None;
            }
            frames.push(frame);
        }
        let others = self.others.iter().map(|other| other.near(stamp, self.sync_slop));
        Some(Set {
            joints: self.joints.together().nearest(stamp, Duration::ZERO)?,
            frames,
            others: others.collect::<Option<_>>()?,
        })
    }

    fn observation(&self) -> Option<StampedObservation> {
        let set = self.newest_set()?;
        let (observed_at, positions) = set.joints;
        let (_, prompt) = self.prompt.messages.newest()?;
        let cameras = self.cameras.iter().zip(&set.frames);
        let images = cameras
            .filter_map(|(camera, frame)| frame.map(|(_, frame)| (camera.name.clone(), Arc::clone(frame))));
        let others = set.others.iter().flat_map(|(_, values)| values.iter());
        Some(StampedObservation {
            observation: Observation {
                images: images.collect(),
                state: positions.iter().chain(others).copied().collect(),
                prompt: prompt.clone(),
            },
            observed_at,
            camera_ages_s: set.camera_ages_s(),
            clock_resets: self.clock_resets,
            sequence: self.sequence,
        })
    }

    fn report(&self) -> Vec<InputReport> {
        let set = self.newest_set();
        let camera_ages_s = set.as_ref().map(Set::camera_ages_s).unwrap_or_default();
        let other_ages_s = set.as_ref().map(Set::other_ages_s).unwrap_or_default();
        let mut reports = Vec::new();
        for (index, camera) in self.cameras.iter().enumerate() {
            let mut report = camera.frames.report(camera_ages_s.get(index).copied().flatten());
            let expects = set.is_none() && !camera.is_optional;
            report.problem = report
                .problem
                .or_else(|| self.apart(&camera.frames).filter(|_| expects));
            reports.push(report);
        }
        let missing = match &set {
            Some(_) => Vec::new(),
            None => self.joints.missing(),
        };
        for topic in &self.joint_states {
            let mut report = topic.report(None);
            if report.problem.is_none() && report.age.is_some() && !missing.is_empty() {
                let missing = missing.clone();
                report.problem = Some(InputProblem::MissingJoints { missing }.to_string());
            }
            reports.push(report);
        }
        for (index, other) in self.others.iter().enumerate() {
            let mut report = other.report(other_ages_s.get(index).copied());
            report.problem = report
                .problem
                .or_else(|| self.apart(other).filter(|_| set.is_none()));
            reports.push(report);
        }
        let prompt = self.prompt.messages.newest();
        reports.push(InputReport {
            prompt: prompt.map(|(_, prompt)| shortened(prompt)),
            ..self.prompt.report(None)
        });
        reports
    }

    /// Where the joints and the poses were measured last, whatever their stamps; none before all were.
    fn measured(&self, poses: usize) -> Option<Vec<f32>> {
        let mut measured = self.joints.newest()?;
        for pose in &self.others[..poses] {
            let (_, values) = pose.messages.newest()?;
            measured.extend(values);
        }
        Some(measured)
    }

    fn watched(&self) -> Vec<MonitoredInput> {
        let required = self.cameras.iter().filter(|camera| !camera.is_optional);
        let cameras = required.map(|camera| MonitoredInput {
            input: InputRole::Camera(camera.name.clone()),
            received: camera.frames.received,
            is_not_finite: false,
        });
        let is_not_finite =
            |problem: &Option<InputProblem>| problem.as_ref().is_some_and(InputProblem::is_not_finite);
        let joint_states = MonitoredInput {
            input: InputRole::JointStates,
            received: self.joints.longest_silent(),
            is_not_finite: self
                .joint_states
                .iter()
                .any(|topic| is_not_finite(&topic.problem)),
        };
        let others = self.others.iter().map(|other| MonitoredInput {
            input: InputRole::Other(other.kind().to_string()),
            received: other.received,
            is_not_finite: is_not_finite(&other.problem),
        });
        cameras.chain([joint_states]).chain(others).collect()
    }

    /// Why no message of an input counts together with the joint positions, if none does.
    fn apart<T>(&self, input: &Input<T>) -> Option<String> {
        let slop = self.sync_slop?;
        let (newest, _) = input.messages.newest()?;
        let (joints, _) = self.joints.together().newest()?;
        let mut stamps = self.joints.together().stamps();
        if stamps.any(|stamp| input.messages.nearest(stamp, slop).is_some()) {
            return None;
        }
        Some(format!(
            "no message within {} ms of any joint positions: the newest stamp is {:.3} s, that of the joint positions \
             {:.3} s",
            slop.as_millis(),
            newest.as_secs_f64(),
            joints.as_secs_f64()
        ))
    }

    /// Whether there is a new observation after a good message.
    fn is_news(&mut self) -> bool {
        if self.sync_slop.is_none() {
            return true;
        }
        let stamps = self.newest_set().map(|set| set.stamps());
        let is_news = stamps != self.announced;
        self.announced = stamps;
        is_news
    }
}

impl Inputs {
    /// Inputs that wait for their first messages. `joints` are the beginning of the state.
    pub fn new(topics: &InputTopics, joints: &[String]) -> Self {
        let (frames, messages) = match topics.sync_slop {
            Some(_) => (FRAMES, MESSAGES),
            None => (1, 1),
        };
        let cameras = topics.cameras.iter().map(|camera| Camera {
            name: camera.name.clone(),
            is_optional: camera.is_optional,
            frames: Input::new(InputKind::Camera(camera.name.clone()), &camera.topic, frames),
        });
        let joint_states = topics.joint_states.iter().map(|one| {
            let kind = match topics.joint_states.len() {
                1 => InputKind::JointStates,
                _ => InputKind::SomeJointStates(one.topic.clone()),
            };
            Input::new(kind, &one.topic, 1)
        });
        let poses = topics.poses.iter().map(|one| match &one.source {
            PoseSource::Topic(topic) => Input::new(InputKind::Pose(topic.clone()), topic, messages),
            PoseSource::Frame(frame) => {
                let kind = InputKind::Pose(format!("of {frame}"));
                Input::new(kind, TRANSFORM_TOPICS[0], messages)
            }
        });
        let extra_state = topics
            .extra_state
            .iter()
            .map(|one| Input::new(InputKind::ExtraState(one.topic.clone()), &one.topic, messages));
        let joints_apart = topics.sync_slop.unwrap_or(TIME_JUMP);
        Self {
            topics: topics.clone(),
            joints: joints.to_vec(),
            state: Mutex::new(State {
                cameras: cameras.collect(),
                joint_states: joint_states.collect(),
                joints: JointPositions::new(joints, joints_apart, messages),
                others: poses.chain(extra_state).collect(),
                frames: FrameTree::default(),
                prompt: Input::new(InputKind::Prompt, &topics.prompt, 1),
                prompts: 0,
                sync_slop: topics.sync_slop,
                announced: None,
                clock_resets: 0,
                sequence: 0,
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// A message of the camera at `index`. A bad one makes the camera count as missing.
    pub fn take_image(&self, index: usize, image: Result<RgbImage, InputProblem>, stamp: Duration) {
        self.take(|state| {
            let camera = state.cameras.get_mut(index);
            camera.is_some_and(|camera| camera.frames.take(image.map(Arc::new), stamp))
        });
    }

    /// Positions of some of the joints, by their place, from the joint states topic at `index`. A bad message makes the
    /// topic count as missing; one with none of the joints, which may be of another part of the robot, only until one
    /// with joints came.
    pub fn take_joint_positions(
        &self,
        index: usize,
        positions: Result<SomePositions, InputProblem>,
        stamp: Duration,
    ) {
        self.take(|state| {
            let Some(topic) = state.joint_states.get_mut(index) else {
                return false;
            };
            let positions = match positions {
                Ok(none) if none.is_empty() && topic.received.is_some() => return false,
                Ok(none) if none.is_empty() => Err(InputProblem::NoJoint),
                positions => positions,
            };
            let is_good = topic.take(positions.as_ref().map(|_| ()).map_err(Clone::clone), stamp);
            if let Ok(positions) = positions {
                state.joints.take(&positions, stamp);
            }
            is_good
        });
    }

    /// Values of the extra state at `index`.
    pub fn take_extra_state(&self, index: usize, values: Result<Vec<f32>, InputProblem>, stamp: Duration) {
        let index = self.topics.poses.len() + index;
        self.take(|state| {
            let extra = state.others.get_mut(index);
            extra.is_some_and(|extra| extra.take(values, stamp))
        });
    }

    /// Takes in frames with their stamps, none for those that never move. Returns each pose that is newer for it, by its index, with
    /// its time: `now` for one that never moves.
    pub fn take_transforms(
        &self,
        transforms: impl Iterator<Item = (Transform, Option<Duration>)>,
        now: Duration,
    ) -> Vec<(usize, Result<Pose, FrameProblem>, Duration)> {
        let mut state = self.state.lock();
        for (transform, stamp) in transforms {
            state.frames.take(transform, stamp);
        }
        let mut newer = Vec::new();
        for (index, pose) in self.topics.poses.iter().enumerate() {
            let PoseSource::Frame(frame) = &pose.source else {
                continue;
            };
            let before = state.others[index].messages.newest().map(|(stamp, _)| stamp);
            match state.frames.newest_pose(&pose.base_frame, frame) {
                Ok((time, _)) if time.is_some() && time == before => {}
                Ok((time, pose)) => newer.push((index, Ok(pose), time.unwrap_or(now))),
                Err(problem) => newer.push((index, Err(problem), now)),
            }
        }
        newer
    }

    /// The pose at `index`: its values as [`measured_pose`] takes them. Returns what is wrong with it.
    pub fn take_pose(
        &self,
        index: usize,
        values: Result<[f64; POSE_VALUES], InputProblem>,
        stamp: Duration,
    ) -> Option<InputProblem> {
        let mut problem = None;
        self.take(|state| {
            let Some(pose) = state.others.get_mut(index) else {
                return false;
            };
            let before = pose.messages.newest().map(|(_, values)| &values[..]);
            let values = values.and_then(|values| measured_pose(values, before));
            problem = values.as_ref().err().cloned();
            pose.take(values, stamp)
        });
        problem
    }

    /// What the robot is to do from now on; nothing when empty. Returns the prompt's number.
    pub fn take_prompt(&self, prompt: &str) -> u64 {
        let mut state = self.state.lock();
        state.prompts += 1;
        if prompt.is_empty() {
            state.prompt.forget();
        } else {
            state.prompt.take(Ok(prompt.to_owned()), Duration::ZERO);
            state.sequence += 1;
            self.changed.notify_all();
        }
        state.prompts
    }

    /// Removes the prompt of this number, as an empty prompt does. Returns the number of the empty one; none where another
    /// prompt came since, which stays.
    pub fn withdraw_prompt(&self, number: u64) -> Option<u64> {
        let mut state = self.state.lock();
        if state.prompts != number {
            return None;
        }
        state.prompts += 1;
        state.prompt.forget();
        Some(state.prompts)
    }

    /// Forgets what was seen before the clock was reset for the `clock_resets`th time.
    pub fn forget_before_reset(&self, clock_resets: u64) {
        let mut state = self.state.lock();
        state.cameras.iter_mut().for_each(|camera| camera.frames.forget());
        state.joint_states.iter_mut().for_each(Input::forget);
        state.joints.clear();
        state.others.iter_mut().for_each(Input::forget);
        state.frames.forget_moving();
        state.announced = None;
        state.clock_resets = clock_resets;
    }

    /// Waits for a complete observation with a message that came after `sequence`. None once closed.
    pub fn wait_for_observation(&self, sequence: u64) -> Option<StampedObservation> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return None;
            }
            if state.sequence > sequence
                && let Some(observation) = state.observation()
            {
                return Some(observation);
            }
            self.changed.wait(&mut state);
        }
    }

    /// The complete observation of now, if there is one with a message that came after `sequence`. Does not wait.
    pub fn observation_after(&self, sequence: u64) -> Option<StampedObservation> {
        let state = self.state.lock();
        (state.sequence > sequence).then(|| state.observation()).flatten()
    }

    /// Whether waits for an observation are ended.
    pub fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Ends every wait for an observation.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    /// Undoes [`close`](Self::close).
    pub fn open(&self) {
        self.state.lock().closed = false;
    }

    /// The report of every input: cameras in their order, joint states, poses, extra state, prompt.
    pub fn report(&self) -> Vec<InputReport> {
        self.state.lock().report()
    }

    /// The state of the inputs for control: the inputs that must not become old (cameras that are not optional, joint
    /// states, poses, extra state), the measured positions, the number of the prompt. None while another thread holds the lock and
    /// this one must not wait.
    pub fn at_a_tick(&self, locking: Locking) -> Option<InputsAtATick> {
        let state = locking.lock(&self.state)?;
        Some(InputsAtATick {
            watched: state.watched(),
            measured: state.measured(self.topics.poses.len()),
            prompt_generation: state.prompts,
        })
    }

    #[cfg(test)]
    pub(crate) fn locked(&self) -> impl Sized + use<'_> {
        self.state.lock()
    }

    fn take(&self, into: impl FnOnce(&mut State) -> bool) {
        let mut state = self.state.lock();
        if into(&mut state) && state.is_news() {
            state.sequence += 1;
            self.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests;
