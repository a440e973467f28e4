//! Replay of a bag through the node's own inputs, message by message, with an observation whenever the node would take one.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::time::Duration;

use super::bag::{Bag, BagError, Recorded};
use super::messages::{self, JointPoints, MessageError};
use super::recorded_actions::RecordedActions;
use super::topics::{ActionSource, BagTopics, Role};
use crate::control::Axes;
use crate::observation::{
    Clock, Feed, Inputs, Stamped, StampedObservation, TIME_JUMP, extra_state, jumped_back, measured_pose,
    some_joint_positions,
};
use crate::parameters::Settings;
use crate::policy::{Observation, VisionRefresh};

/// Observation of a bag, and the actions that were recorded after it.
#[derive(Clone, Debug)]
pub struct ReplayedObservation {
    /// Input of the policy.
    pub observation: Observation,
    /// Stamp of the joint positions: the moment of the first action.
    pub observed_at: Duration,
    /// Log time of the message that completed the observation.
    pub log_time: Duration,
    /// Seconds by which each camera's frame is older than the joint positions, in the configuration's order; `None` without
    /// a frame of an optional camera.
    pub camera_ages_s: Vec<Option<f64>>,
    /// `[horizon]` actions of the robot; `None` where nothing was recorded.
    pub recorded: Vec<Option<Vec<f32>>>,
}

/// Findings of a replay.
#[derive(Clone, Debug, Default)]
pub struct ReplaySummary {
    /// Messages that were read.
    pub messages: u64,
    /// Images that were decoded.
    pub images: u64,
    /// Number of messages that could not be used, and the problem of the first one, by topic.
    pub bad_messages: BTreeMap<String, (u64, String)>,
    /// Number of jumps back in time.
    pub clock_resets: u64,
    /// Time from the first message to the last one.
    pub duration: Duration,
    /// Problems of the bag's files.
    pub warnings: Vec<String>,
    /// Problems of the inputs at the end, a sentence each.
    pub input_problems: Vec<String>,
}

/// Moments of the observations, and what is compared with their predictions.
#[derive(Clone, Copy, Debug)]
pub struct ReplayOptions {
    /// Actions of a chunk.
    pub action_horizon: usize,
    /// Actions from one observation to the next.
    pub execution_horizon: usize,
    /// Longest time after a recorded action for which the action counts.
    pub longest_gap: Duration,
}

/// Replays `bag`, and passes every observation with its recorded actions to `take`, in order.
///
/// # Errors
/// When a file of the bag cannot be read at all.
pub fn replay(
    bag: &Bag,
    topics: &BagTopics,
    settings: &Settings,
    options: ReplayOptions,
    take: &mut dyn FnMut(ReplayedObservation) -> ControlFlow<()>,
) -> Result<ReplaySummary, BagError> {
    let mut replayer = Replayer::new(topics, settings, options);
    let mut first = None;
    let mut flow = ControlFlow::Continue(());
    let mut warnings = bag.warnings().to_vec();
    warnings.extend(bag.read(&topics.names(), &mut |message| {
        let start = *first.get_or_insert(message.log_time);
        replayer.summary.duration = message.log_time.saturating_sub(start);
        replayer.message(message);
        flow = replayer.complete.drain(..).try_for_each(&mut *take);
        flow
    })?);
    if flow.is_continue() {
        replayer.complete_all();
        // There is nothing left to stop.
        let _ = replayer.complete.drain(..).try_for_each(take);
    }
    let problems = replayer.inputs.report().into_iter();
    let problems = problems.filter_map(|input| Some(format!("{}: {}", input.kind, input.problem?)));
    Ok(ReplaySummary {
        input_problems: problems.collect(),
        clock_resets: replayer.clock.resets(),
        warnings,
        ..replayer.summary
    })
}

struct Replayer<'a> {
    topics: &'a BagTopics,
    settings: &'a Settings,
    options: ReplayOptions,
    /// Axes of a recorded action.
    axes: Axes,
    has_clock: bool,
    clock: Clock,
    inputs: Inputs,
    vision_refresh: VisionRefresh,
    recorded: RecordedActions,
    /// Observations whose actions are still to come.
    pending: VecDeque<ReplayedObservation>,
    /// Observations with their actions.
    complete: VecDeque<ReplayedObservation>,
    sequence: u64,
    /// Resets of the clock that were followed by a new start.
    clock_resets: u64,
    newest_joint_stamp: Duration,
    next_observation_due: Duration,
    summary: ReplaySummary,
}

impl<'a> Replayer<'a> {
    fn new(topics: &'a BagTopics, settings: &'a Settings, options: ReplayOptions) -> Self {
        let inputs = Inputs::new(&settings.inputs, &settings.joint_names);
        inputs.take_prompt(&settings.prompt);
        let axes = settings.axes();
        Self {
            topics,
            settings,
            options,
            has_clock: topics.roles.values().any(|role| *role == Role::Clock),
            clock: Clock::simulated(),
            inputs,
            vision_refresh: VisionRefresh::clone(&settings.runtime.vision_refresh),
            recorded: RecordedActions::new(axes.count(), topics.between, options.longest_gap),
            axes,
            pending: VecDeque::new(),
            complete: VecDeque::new(),
            sequence: 0,
            clock_resets: 0,
            newest_joint_stamp: Duration::ZERO,
            next_observation_due: Duration::ZERO,
            summary: ReplaySummary::default(),
        }
    }

    /// Feed that accepts every stamp, for the clock is that of the recording.
    fn feed(&self) -> Feed<'_> {
        Feed {
            inputs: &self.inputs,
            clock: &self.clock,
            max_age: None,
        }
    }

    fn message(&mut self, message: Recorded) {
        self.summary.messages += 1;
        if !self.has_clock {
            self.set_clock(message.log_time);
            self.start_over_after_a_reset();
        }
        let topics = self.topics;
        // One message may be both an action and an input; a problem with it counts once.
        let mut problem = None;
        if let Some(source) = topics.actions.get(message.topic) {
            problem = self.action(source, message.data).err();
        }
        if let Some(&role) = topics.roles.get(message.topic) {
            problem = self.input(role, message.data).err().or(problem);
        }
        self.start_over_after_a_reset();
        if let Some(problem) = problem {
            let known = self.summary.bad_messages.entry(message.topic.to_owned());
            known.or_insert_with(|| (0, problem.to_string())).0 += 1;
        }
        self.observe(message.log_time);
        self.complete_recorded();
    }

    fn input(&mut self, role: Role, data: &[u8]) -> Result<(), MessageError> {
        let problem = match role {
            Role::Image(camera) => {
                let order = self.settings.inputs.cameras[camera].channel_order;
                let image = messages::image(data, order)?;
                self.summary.images += 1;
                self.feed().image(camera, image)
            }
            Role::CompressedImage(camera) => {
                let image = messages::compressed_image(data)?;
                self.summary.images += 1;
                self.feed().image(camera, image)
            }
            Role::JointStates(topic) => {
                let state = messages::joint_state(data)?;
                let stamp = self.feed().stamp(state.stamp);
                if jumped_back(self.newest_joint_stamp, stamp) {
                    self.feed().reset();
                }
                self.newest_joint_stamp = stamp;
                self.feed().joint_state(topic, state)
            }
            Role::Pose(index) => self.feed().pose(index, messages::pose(data)?),
            Role::Transforms { is_static } => self.feed().transforms(messages::transforms(data)?, is_static),
            Role::ExtraState(index) => self.feed().extra_state(index, &messages::float64_array(data)?),
            Role::Odometry(index) => self.feed().odometry(index, messages::odometry(data)?),
            Role::Prompt => {
                self.feed().prompt(&messages::string(data)?);
                None
            }
            Role::Clock => {
                self.set_clock(messages::clock(data)?);
                None
            }
        };
        problem.map_or(Ok(()), |problem| Err(problem.into()))
    }

    fn action(&mut self, source: &ActionSource, data: &[u8]) -> Result<(), MessageError> {
        let action = recorded_action(source, data, self.axes.names())?;
        let time = self.feed().stamp(action.stamp);
        if self
            .recorded
            .newest()
            .is_some_and(|newest| jumped_back(newest, time))
        {
            self.complete_all();
            self.recorded.clear();
        }
        for (joint, points) in action.content {
            self.recorded.push(joint, time, points);
        }
        Ok(())
    }

    fn set_clock(&mut self, now: Duration) {
        if self.feed().clock(now) {
            self.newest_joint_stamp = Duration::ZERO;
        }
    }

    /// Drops everything from before a jump in time, as the node does.
    fn start_over_after_a_reset(&mut self) {
        if self.clock_resets == self.clock.resets() {
            return;
        }
        self.clock_resets = self.clock.resets();
        self.complete_all();
        self.vision_refresh.forget();
        self.recorded.clear();
        self.next_observation_due = Duration::ZERO;
    }

    /// Takes the newest observation when the node would: when it is complete, and the actions of the execution horizon are
    /// past.
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
        self.next_observation_due = observed_at + self.time_of(self.options.execution_horizon);
        self.vision_refresh.hold_back(&mut observation, observed_at);
        self.pending.push_back(ReplayedObservation {
            observation,
            observed_at,
            log_time,
            camera_ages_s,
            recorded: Vec::new(),
        });
    }

    /// Completes the observations whose actions are all recorded, or that waited for too long.
    fn complete_recorded(&mut self) {
        let duration = self.time_of(self.options.action_horizon - 1);
        while let Some(oldest) = self.pending.front() {
            let end = oldest.observed_at + duration;
            let is_recorded = self.recorded.newest().is_some_and(|newest| newest >= end);
            if !is_recorded && self.newest_joint_stamp < end + self.options.longest_gap + TIME_JUMP {
                break;
            }
            self.complete_oldest();
        }
        let oldest = self.pending.front();
        let needed_from = oldest.map_or(self.newest_joint_stamp, |oldest| oldest.observed_at);
        self.recorded.forget_before(needed_from.saturating_sub(TIME_JUMP));
    }

    fn complete_all(&mut self) {
        while !self.pending.is_empty() {
            self.complete_oldest();
        }
    }

    fn complete_oldest(&mut self) {
        if let Some(mut oldest) = self.pending.pop_front() {
            let times =
                (0..self.options.action_horizon).map(|action| oldest.observed_at + self.time_of(action));
            let state = &oldest.observation.state;
            let commanded = self.settings.joint_mapping.commanded();
            let observed: Vec<f32> = commanded.map(|value| state[value]).collect();
            let recorded = times.map(|time| {
                let recorded = self.recorded.at(time)?;
                Some(self.axes.layout().with_signs_of(recorded, &observed))
            });
            oldest.recorded = recorded.collect();
            self.complete.push_back(oldest);
        }
    }

    fn time_of(&self, actions: usize) -> Duration {
        let actions = u32::try_from(actions).unwrap_or(u32::MAX);
        self.settings.runtime.action_period.saturating_mul(actions)
    }
}

/// Reads the action in a message: points of each of the `joints` that the message has, by the joint's index.
fn recorded_action(
    source: &ActionSource,
    data: &[u8],
    joints: &[String],
) -> Result<Stamped<Vec<(usize, JointPoints)>>, MessageError> {
    let at_once = |(joint, position)| (joint, vec![(Duration::ZERO, position)]);
    Ok(match source {
        ActionSource::Trajectory { prefix } => messages::joint_trajectory(data, prefix, joints)?,
        ActionSource::Array { joints } => {
            let values = extra_state(&messages::float64_array(data)?, joints.len())?;
            Stamped {
                stamp: None,
                content: joints.iter().copied().zip(values).map(at_once).collect(),
            }
        }
        ActionSource::Pose { first } => {
            let Stamped { stamp, content } = messages::pose(data)?;
            let values = measured_pose(content.content, None)?;
            Stamped {
                stamp,
                content: (*first..).zip(values).map(at_once).collect(),
            }
        }
        ActionSource::JointState { prefix } => {
            let Stamped { stamp, content } = messages::joint_state(data)?;
            let positions = some_joint_positions(&content.names, &content.positions, prefix, joints)?;
            Stamped {
                stamp,
                content: positions.into_iter().map(at_once).collect(),
            }
        }
    })
}
