//! Plays a bag to the node's own inputs, message by message, and takes an observation whenever the node would.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::time::Duration;

use super::bag::{Bag, BagError, Recorded};
use super::cdr::CdrError;
use super::messages::{self, JointPoints, MessageError};
use super::recorded_actions::RecordedActions;
use super::topics::{ActionSource, BagTopics, Role};
use crate::observation::{Clock, InputProblem, Inputs, SomePositions, StampedObservation};
use crate::parameters::Settings;
use crate::policy::{Observation, VisionRefresh};

/// Stamps that go back by more than this are another recording; by less, messages that overtook each other.
const JUMP_BACK: Duration = Duration::from_secs(1);

/// An observation, and what the robot did after it.
#[derive(Clone, Debug)]
pub struct Sample {
    pub observation: Observation,
    /// The stamp of the joint state: the moment of the first action.
    pub observed_at: Duration,
    /// When the message that completed it was recorded.
    pub log_time: Duration,
    /// For each camera in the configuration's order, how much older than the joint state its newest frame is, in
    /// seconds; none without a frame of an optional camera.
    pub camera_ages_s: Vec<Option<f64>>,
    /// `[horizon]` actions of `[commanded joints]`; none where nothing was recorded.
    pub recorded: Vec<Option<Vec<f32>>>,
}

/// What was found while a bag was played.
#[derive(Clone, Debug, Default)]
pub struct ReplaySummary {
    pub messages: u64,
    pub images: u64,
    /// Messages that could not be used, and why the first of them could not, by topic.
    pub bad_messages: BTreeMap<String, (u64, String)>,
    /// How often time jumped back.
    pub clock_resets: u64,
    /// From the first message to the last.
    pub duration: Duration,
    pub warnings: Vec<String>,
    /// What the inputs lacked in the end, a sentence each.
    pub input_problems: Vec<String>,
}

/// When observations are taken, and what of the recording goes with them.
#[derive(Clone, Copy, Debug)]
pub struct ReplayOptions {
    /// Actions of a chunk.
    pub action_horizon: usize,
    /// Actions from one observation to the next.
    pub actions_between: usize,
    /// Nothing is known of actions further than this from the message before.
    pub longest_gap: Duration,
}

/// Plays `bag`, and hands every observation with its recorded actions to `take`, in their order.
///
/// # Errors
/// When a file of the bag cannot be read at all.
pub fn replay(
    bag: &Bag,
    topics: &BagTopics,
    settings: &Settings,
    options: ReplayOptions,
    take: &mut dyn FnMut(Sample) -> ControlFlow<()>,
) -> Result<ReplaySummary, BagError> {
    let mut replayer = Replayer::new(topics, settings, options);
    let mut first = None;
    let mut stopped = false;
    let mut warnings = bag.warnings().to_vec();
    warnings.extend(bag.read(&topics.names(), &mut |message| {
        let start = *first.get_or_insert(message.log_time);
        replayer.summary.duration = message.log_time.saturating_sub(start);
        let flow = replayer.message(message, take);
        stopped |= flow.is_break();
        flow
    })?);
    if !stopped {
        // Whoever takes the samples may stop here as well; there is nothing left to stop.
        let _ = replayer.hand_on_all(take);
    }
    let problems = replayer.inputs.report().into_iter();
    let problems = problems.filter_map(|input| Some(format!("{}: {}", input.kind, input.problem?)));
    let mut summary = replayer.summary;
    summary.input_problems = problems.collect();
    summary.clock_resets = replayer.clock.resets();
    summary.warnings = warnings;
    Ok(summary)
}

struct Replayer<'a> {
    topics: &'a BagTopics,
    settings: &'a Settings,
    options: ReplayOptions,
    /// Whose actions are recorded, in the order of the robot's actions.
    commanded_joints: Vec<String>,
    has_clock: bool,
    clock: Clock,
    inputs: Inputs,
    vision_refresh: VisionRefresh,
    recorded: RecordedActions,
    /// Observations whose actions are still to come.
    pending: VecDeque<Sample>,
    sequence: u64,
    newest_joint_stamp: Duration,
    next_observation_due: Duration,
    summary: ReplaySummary,
}

impl<'a> Replayer<'a> {
    fn new(topics: &'a BagTopics, settings: &'a Settings, options: ReplayOptions) -> Self {
        let inputs = Inputs::new(&settings.inputs, &settings.joint_names);
        inputs.take_prompt(&settings.prompt);
        let commanded_joints = settings.commanded_joints();
        Self {
            topics,
            settings,
            options,
            has_clock: topics.roles.values().any(|role| *role == Role::Clock),
            clock: Clock::simulated(),
            inputs,
            vision_refresh: VisionRefresh::clone(&settings.runtime.vision_refresh),
            recorded: RecordedActions::new(commanded_joints.len(), topics.between, options.longest_gap),
            commanded_joints,
            pending: VecDeque::new(),
            sequence: 0,
            newest_joint_stamp: Duration::ZERO,
            next_observation_due: Duration::ZERO,
            summary: ReplaySummary::default(),
        }
    }

    fn message(
        &mut self,
        message: Recorded,
        take: &mut dyn FnMut(Sample) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        self.summary.messages += 1;
        if !self.has_clock {
            self.set_clock(message.log_time, take)?;
        }
        // One message may be both an action and an input; what is wrong with it then counts once.
        let mut problem = None;
        let topics = self.topics;
        if let Some(source) = topics.actions.get(message.topic) {
            problem = self
                .action(source, message, take)?
                .err()
                .map(|error| error.to_string());
        }
        if let Some(&role) = self.topics.roles.get(message.topic) {
            problem = self.input(role, message, take)?.err().or(problem);
        }
        if let Some(problem) = problem {
            self.bad(message.topic, &problem);
        }
        self.observe(message.log_time);
        self.hand_on_complete(take)
    }

    fn input(
        &mut self,
        role: Role,
        message: Recorded,
        take: &mut dyn FnMut(Sample) -> ControlFlow<()>,
    ) -> ControlFlow<(), Result<(), String>> {
        ControlFlow::Continue(match role {
            Role::Image(camera) => messages::image(message.data)
                .map_err(|error| error.to_string())
                .and_then(|image| self.image(camera, image)),
            Role::CompressedImage(camera) => messages::compressed_image(message.data)
                .map_err(|error| error.to_string())
                .and_then(|image| self.image(camera, image)),
            Role::JointStates(topic) => match self.some_joints(topic, message.data) {
                Ok(state) => {
                    let stamp = self.stamp(state.stamp);
                    if stamp + JUMP_BACK < self.newest_joint_stamp {
                        self.clock.reset();
                        self.start_over(take)?;
                    }
                    self.newest_joint_stamp = stamp;
                    let problem = state.content.as_ref().err().map(InputProblem::to_string);
                    self.inputs.take_joint_positions(topic, state.content, stamp);
                    problem.map_or(Ok(()), Err)
                }
                Err(error) => Err(error.to_string()),
            },
            Role::ExtraState(index) => {
                let size = self.settings.inputs.extra_state[index].size;
                let values = match messages::float64_array(message.data, size) {
                    Ok(values) => Ok(values),
                    Err(MessageError::Input(problem)) => Err(problem),
                    Err(error) => return ControlFlow::Continue(Err(error.to_string())),
                };
                let problem = values.as_ref().err().map(InputProblem::to_string);
                self.inputs.take_extra_state(index, values, self.stamp(None));
                problem.map_or(Ok(()), Err)
            }
            Role::Prompt => match messages::string(message.data) {
                Ok(prompt) => {
                    self.inputs.take_prompt(&prompt);
                    Ok(())
                }
                Err(error) => Err(error.to_string()),
            },
            Role::Clock => match messages::clock(message.data) {
                Ok(time) => {
                    self.set_clock(time, take)?;
                    Ok(())
                }
                Err(error) => Err(error.to_string()),
            },
        })
    }

    fn image(
        &mut self,
        camera: usize,
        image: messages::Stamped<Result<image::RgbImage, InputProblem>>,
    ) -> Result<(), String> {
        self.summary.images += 1;
        let problem = image.content.as_ref().err().map(InputProblem::to_string);
        let stamp = self.stamp(image.stamp);
        self.inputs.take_image(camera, image.content, stamp);
        problem.map_or(Ok(()), Err)
    }

    fn some_joints(
        &self,
        topic: usize,
        data: &[u8],
    ) -> Result<messages::Stamped<Result<SomePositions, InputProblem>>, CdrError> {
        let prefix = &self.settings.inputs.joint_states[topic].prefix;
        messages::some_joints(data, prefix, &self.settings.joint_names)
    }

    /// As in the node, what was not stamped counts as measured when it came.
    fn stamp(&self, stamp: Option<Duration>) -> Duration {
        stamp.or(self.clock.now()).unwrap_or_default()
    }

    fn action(
        &mut self,
        source: &ActionSource,
        message: Recorded,
        take: &mut dyn FnMut(Sample) -> ControlFlow<()>,
    ) -> ControlFlow<(), Result<(), MessageError>> {
        let joints = &self.commanded_joints;
        let at_once = |position| -> JointPoints { vec![(Duration::ZERO, position)] };
        let all_at_once = |positions: Vec<(usize, f32)>| -> Vec<(usize, JointPoints)> {
            let positions = positions.into_iter();
            positions
                .map(|(joint, position)| (joint, at_once(position)))
                .collect()
        };
        let read = match source {
            ActionSource::Trajectory(prefix) => messages::joint_trajectory(message.data, prefix, joints)
                .map(|trajectory| (trajectory.stamp, trajectory.content)),
            ActionSource::Array(places) => messages::float64_array(message.data, places.len())
                .map(|values| (None, all_at_once(places.iter().copied().zip(values).collect()))),
            ActionSource::JointState(prefix) => messages::some_joints(message.data, prefix, joints)
                .map_err(MessageError::from)
                .and_then(|state| Ok((state.stamp, all_at_once(state.content?)))),
        };
        match read {
            Ok((stamp, points)) => {
                let time = self.stamp(stamp);
                if self
                    .recorded
                    .newest()
                    .is_some_and(|newest| time + JUMP_BACK < newest)
                {
                    self.hand_on_all(take)?;
                    self.recorded.clear();
                }
                for (joint, points) in points {
                    self.recorded.push(joint, time, points);
                }
                ControlFlow::Continue(Ok(()))
            }
            Err(error) => ControlFlow::Continue(Err(error)),
        }
    }

    fn set_clock(
        &mut self,
        now: Duration,
        take: &mut dyn FnMut(Sample) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if self.clock.set(now) {
            return self.start_over(take);
        }
        ControlFlow::Continue(())
    }

    /// As the node does when time jumped back: nothing counts that came before.
    fn start_over(&mut self, take: &mut dyn FnMut(Sample) -> ControlFlow<()>) -> ControlFlow<()> {
        self.hand_on_all(take)?;
        self.inputs.forget_before_reset(self.clock.resets());
        self.vision_refresh.forget();
        self.recorded.clear();
        self.newest_joint_stamp = Duration::ZERO;
        self.next_observation_due = Duration::ZERO;
        ControlFlow::Continue(())
    }

    /// Takes the newest observation when the node would: when it is complete, and as many actions of the last chunk are
    /// past as are played before the robot is observed again.
    fn observe(&mut self, log_time: Duration) {
        let Some(stamped) = self.inputs.observation_after(self.sequence) else {
            return;
        };
        let StampedObservation {
            mut observation,
            observed_at,
            camera_ages_s,
            sequence,
            ..
        } = stamped;
        self.sequence = sequence;
        if observed_at < self.next_observation_due {
            return;
        }
        self.next_observation_due = observed_at + self.time_of(self.options.actions_between);
        self.vision_refresh.hold_back(&mut observation, observed_at);
        self.pending.push_back(Sample {
            observation,
            observed_at,
            log_time,
            camera_ages_s,
            recorded: Vec::new(),
        });
    }

    /// Hands on the observations of which all actions are recorded, or which waited for too long.
    fn hand_on_complete(&mut self, take: &mut dyn FnMut(Sample) -> ControlFlow<()>) -> ControlFlow<()> {
        let reach = self.time_of(self.options.action_horizon - 1);
        while let Some(oldest) = self.pending.front() {
            let end = oldest.observed_at + reach;
            let is_recorded = self.recorded.newest().is_some_and(|newest| newest >= end);
            if !is_recorded && self.newest_joint_stamp < end + self.options.longest_gap + JUMP_BACK {
                break;
            }
            self.hand_on_oldest(take)?;
        }
        let needed_from = self
            .pending
            .front()
            .map_or(self.newest_joint_stamp, |oldest| oldest.observed_at);
        self.recorded.forget_before(needed_from.saturating_sub(JUMP_BACK));
        ControlFlow::Continue(())
    }

    fn hand_on_all(&mut self, take: &mut dyn FnMut(Sample) -> ControlFlow<()>) -> ControlFlow<()> {
        while !self.pending.is_empty() {
            self.hand_on_oldest(take)?;
        }
        ControlFlow::Continue(())
    }

    fn hand_on_oldest(&mut self, take: &mut dyn FnMut(Sample) -> ControlFlow<()>) -> ControlFlow<()> {
        let Some(mut sample) = self.pending.pop_front() else {
            return ControlFlow::Continue(());
        };
        let times = (0..self.options.action_horizon).map(|action| sample.observed_at + self.time_of(action));
        sample.recorded = times.map(|time| self.recorded.at(time)).collect();
        take(sample)
    }

    fn time_of(&self, actions: usize) -> Duration {
        let actions = u32::try_from(actions).unwrap_or(u32::MAX);
        self.settings.runtime.action_period.saturating_mul(actions)
    }

    fn bad(&mut self, topic: &str, problem: &str) {
        let known = self.summary.bad_messages.entry(topic.to_owned());
        known.or_insert_with(|| (0, problem.to_owned())).0 += 1;
    }
}
