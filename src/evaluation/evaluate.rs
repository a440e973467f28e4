//! Evaluation of a policy on a bag: one thread replays the bag while this one predicts.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::bag::{Bag, BagError};
use super::metrics::Metrics;
use super::playback_estimate::{LiveRun, simulate_playback};
use super::replayer::{ReplayOptions, ReplaySummary, ReplayedObservation, replay};
use super::report::{BadMessages, BagResult, RecordingFound, Timing, UsedSettings};
use super::topics::{BagTopics, TopicProblem};
use crate::checkpoint::list;
use crate::parameters::{ParameterProblem, Settings};
use crate::policy::{ActionChunk, Policy, PolicyError, RobotPolicy, StageDurations};
use crate::statistics::Summary;

/// Observations that wait for the policy, so that it never waits for them.
const WAITING_OBSERVATIONS: usize = 8;

/// Reason why a bag could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// Bag that cannot be read.
    #[error(transparent)]
    Bag(#[from] BagError),
    /// Topics of the bag that are missing or have another type.
    #[error("the bag {0} does not fit the parameters:{problems}", problems = list(.1))]
    Topics(String, Vec<TopicProblem>),
    /// Parameters that do not fit the policy.
    #[error("the parameters do not fit the checkpoint:{}", list(.0))]
    Parameters(Vec<ParameterProblem>),
    /// Number of denoising steps that the policy refuses.
    #[error("the policy does not take the number of denoising steps: {0}")]
    DenoiseSteps(#[source] PolicyError),
    /// Bag without a complete observation, and the problems of its inputs.
    #[error("the bag {0} has no observation: {1}")]
    NoObservation(String, String),
    /// Policy that failed on every observation of a bag, and its first failure.
    #[error("the policy could predict from none of the observations of {0}: {1}")]
    NoPrediction(String, String),
}

/// Choices of an evaluation beside the node's own parameters.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvaluationOptions {
    /// Topic of the recorded commands; `None` for the choice of [`BagTopics::choose`].
    pub actions_topic: Option<String>,
    /// Actions from one observation to the next; `None` for the node's execution horizon.
    pub execution_horizon: Option<usize>,
    /// Longest time after a recorded action for which the action counts.
    pub longest_gap: Duration,
    /// Distance below which a joint counts as still, in the robot's units.
    pub still: f32,
    /// Enables the flow-matching loss, which takes as long as another chunk without its images.
    pub flow_matching_loss: bool,
}

impl EvaluationOptions {
    /// Actions from one observation to the next, at most a chunk of `action_horizon` actions.
    pub fn execution_horizon(&self, settings: &Settings, action_horizon: usize) -> usize {
        let of_node = settings.runtime.execution_horizon.map(usize::from);
        let chosen = self.execution_horizon.or(of_node);
        chosen.unwrap_or(action_horizon / 2).clamp(1, action_horizon)
    }
}

/// Prediction of the policy, for an observer.
#[derive(Clone, Copy, Debug)]
pub struct Prediction<'a> {
    /// Number of the prediction, from 0.
    pub index: u64,
    /// Observation that it was made from, with the recorded actions.
    pub observation: &'a ReplayedObservation,
    /// Predicted actions in the robot's units.
    pub chunk: &'a ActionChunk,
    /// Mean square error over the recorded actions; `None` without any.
    pub mse: Option<f64>,
    /// Time from the observation to the chunk.
    pub latency: Duration,
}

/// Callback for every prediction.
pub type PredictionObserver<'a> = dyn FnMut(Prediction<'_>) + 'a;

/// Evaluates a policy on a bag.
///
/// # Errors
/// When the bag cannot be read or does not fit the parameters, the parameters do not fit the policy, or nothing could be
/// predicted.
pub fn evaluate(
    bag: &Bag,
    policy: &mut dyn Policy,
    settings: &Settings,
    options: &EvaluationOptions,
    observer: &mut PredictionObserver,
) -> Result<BagResult, EvaluationError> {
    let name = bag.path().display().to_string();
    check_parameters(policy, settings)?;
    policy
        .set_denoise_steps(settings.runtime.denoise_steps)
        .map_err(EvaluationError::DenoiseSteps)?;
    let topics = BagTopics::choose(bag, settings, options.actions_topic.as_deref());
    let topics = topics.map_err(|problems| EvaluationError::Topics(name.clone(), problems))?;
    let action_horizon = policy.info().action_horizon;
    let replay_options = ReplayOptions {
        action_horizon,
        execution_horizon: options.execution_horizon(settings, action_horizon),
        longest_gap: options.longest_gap,
    };
    let mut policy = RobotPolicy::new(policy, settings.joint_mapping.clone());
    let mut measurements = Measurements::new(settings, options, action_horizon);
    let (summary, reading) = replay_beside(bag, &topics, settings, replay_options, |observation| {
        measurements.predict(&mut policy, &observation, observer);
    })?;
    measurements.check(&name, &summary)?;
    Ok(BagResult {
        bag: name,
        settings: used_settings(&policy, settings, &topics, replay_options),
        timing: measurements.timing(settings, replay_options, &summary, reading),
        accuracy: measurements.metrics.accuracy(),
        recording: measurements.recording(settings, summary, topics.notes),
    })
}

fn check_parameters(policy: &dyn Policy, settings: &Settings) -> Result<(), EvaluationError> {
    settings
        .check_policy(policy.info())
        .map_err(EvaluationError::Parameters)
}

fn used_settings(
    policy: &dyn Policy,
    settings: &Settings,
    topics: &BagTopics,
    options: ReplayOptions,
) -> UsedSettings {
    let actions_topics: Vec<&str> = topics.actions.keys().map(String::as_str).collect();
    UsedSettings {
        policy: policy.info().description.clone(),
        seed: settings.policy.seed,
        threads: settings.device.threads,
        joints: settings.axes().names().to_vec(),
        actions_topic: actions_topics.join(", "),
        action_rate_hz: 1.0 / settings.runtime.action_period.as_secs_f64(),
        control_rate_hz: 1.0 / settings.runtime.control_period.as_secs_f64(),
        action_horizon: options.action_horizon,
        execution_horizon: options.execution_horizon,
    }
}

/// Replays a bag on a thread of its own and passes every observation to `predict` on this one. Returns the findings and the
/// time that reading took, without the time in which it waited for `predict`.
fn replay_beside(
    bag: &Bag,
    topics: &BagTopics,
    settings: &Settings,
    options: ReplayOptions,
    predict: impl FnMut(ReplayedObservation),
) -> Result<(ReplaySummary, Duration), BagError> {
    std::thread::scope(|scope| {
        let (send, observations) = sync_channel(WAITING_OBSERVATIONS);
        let reader = scope.spawn(move || {
            let started = Instant::now();
            let mut blocked = Duration::ZERO;
            let summary = replay(bag, topics, settings, options, &mut |observation| {
                let waiting = Instant::now();
                let sent = send.send(observation);
                blocked += waiting.elapsed();
                if sent.is_ok() {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
            Ok((summary, started.elapsed() - blocked))
        });
        observations.into_iter().for_each(predict);
        reader
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Accumulated measurements of an evaluation.
struct Measurements<'a> {
    options: &'a EvaluationOptions,
    started: Instant,
    /// Indices in the state of the commanded joints.
    commanded: Vec<usize>,
    has_loss: bool,
    action_period: Duration,
    metrics: Metrics,
    latencies: Vec<Duration>,
    stages_ms: BTreeMap<&'static str, Vec<f64>>,
    /// `[cameras][observations with a frame]`
    camera_ages_s: Vec<Vec<f64>>,
    observations: u64,
    predictions: u64,
    /// Time of the observation before, if its prediction can be compared with the next one.
    previous_at: Option<Duration>,
    failures: u64,
    first_failure: Option<String>,
}

impl<'a> Measurements<'a> {
    fn new(settings: &Settings, options: &'a EvaluationOptions, action_horizon: usize) -> Self {
        let action_period = settings.runtime.action_period;
        Self {
            options,
            started: Instant::now(),
            commanded: settings.joint_mapping.commanded().collect(),
            has_loss: options.flow_matching_loss && settings.joint_mapping.uses_all_actions(),
            action_period,
            metrics: Metrics::new(
                settings.axes().names(),
                action_horizon,
                action_period.as_secs_f64(),
                options.still,
            ),
            latencies: Vec::new(),
            stages_ms: BTreeMap::new(),
            camera_ages_s: vec![Vec::new(); settings.inputs.cameras.len()],
            observations: 0,
            predictions: 0,
            previous_at: None,
            failures: 0,
            first_failure: None,
        }
    }

    fn predict(
        &mut self,
        policy: &mut dyn Policy,
        observation: &ReplayedObservation,
        observer: &mut PredictionObserver,
    ) {
        self.observations += 1;
        for (ages, age) in self.camera_ages_s.iter_mut().zip(&observation.camera_ages_s) {
            ages.extend(age);
        }
        let started = Instant::now();
        let chunk = match policy.predict(&observation.observation) {
            Ok(chunk) => chunk,
            Err(error) => return self.fail(error.to_string()),
        };
        let latency = started.elapsed();
        self.latencies.push(latency);
        self.add_stages(policy.report().durations);
        let mse = self.compare(&chunk, observation);
        observer(Prediction {
            index: self.predictions,
            observation,
            chunk: &chunk,
            mse,
            latency,
        });
        self.add_loss(policy, observation, chunk.action_dim());
        self.predictions += 1;
    }

    fn add_stages(&mut self, stages: StageDurations) {
        for (stage, duration) in [
            ("resize", stages.resize),
            ("vision", stages.vision),
            ("prompt", stages.prompt),
            ("prefix", stages.prefix),
            ("denoise", stages.denoise),
        ] {
            self.stages_ms
                .entry(stage)
                .or_default()
                .push(milliseconds(duration));
        }
    }

    /// Adds a chunk to the metrics, and returns its mean square error.
    fn compare(&mut self, chunk: &ActionChunk, observation: &ReplayedObservation) -> Option<f64> {
        let previous_at = self.previous_at.replace(observation.observed_at);
        let since_previous = previous_at.and_then(|previous| {
            let elapsed = observation.observed_at.checked_sub(previous)?;
            Some((elapsed.as_secs_f64() / self.action_period.as_secs_f64()).round() as usize)
        });
        let state = &observation.observation.state;
        let commanded: Vec<f32> = self.commanded.iter().map(|&joint| state[joint]).collect();
        self.metrics
            .add(&commanded, chunk, &observation.recorded, since_previous)
    }

    /// Adds the flow-matching loss of an observation whose actions were all recorded, with the noise of its chunk.
    fn add_loss(&mut self, policy: &mut dyn Policy, observation: &ReplayedObservation, action_dim: usize) {
        let recorded: Option<Vec<&Vec<f32>>> = observation.recorded.iter().map(Option::as_ref).collect();
        let Some(recorded) = recorded.filter(|_| self.has_loss) else {
            return;
        };
        let recorded = ActionChunk::new(recorded.into_iter().flatten().copied().collect(), action_dim);
        match policy.flow_matching_loss(&observation.observation, &recorded, self.predictions) {
            Ok(losses) => self.metrics.add_loss(&losses),
            Err(error) => self.fail(error.to_string()),
        }
    }

    fn fail(&mut self, reason: String) {
        self.failures += 1;
        self.first_failure.get_or_insert(reason);
        self.previous_at = None;
    }

    /// Refuses a bag without an observation or a prediction.
    fn check(&self, bag: &str, summary: &ReplaySummary) -> Result<(), EvaluationError> {
        let bag = bag.to_owned();
        if self.observations == 0 {
            let mut reasons = vec![
                "an observation needs a good message of every camera, of the joint states, and a prompt"
                    .to_owned(),
            ];
            for (topic, (count, problem)) in &summary.bad_messages {
                reasons.push(format!("{topic}: {count} messages could not be used: {problem}"));
            }
            reasons.extend(summary.input_problems.clone());
            reasons.extend(summary.warnings.clone());
            return Err(EvaluationError::NoObservation(bag, reasons.join("; ")));
        }
        if self.predictions == 0 {
            let reason = self.first_failure.clone().unwrap_or_default();
            return Err(EvaluationError::NoPrediction(bag, reason));
        }
        Ok(())
    }

    fn timing(
        &self,
        settings: &Settings,
        options: ReplayOptions,
        summary: &ReplaySummary,
        reading: Duration,
    ) -> Timing {
        let run = LiveRun {
            duration: summary.duration,
            control_period: settings.runtime.control_period,
            action_period: settings.runtime.action_period,
            action_horizon: options.action_horizon,
            execution_horizon: options.execution_horizon,
            camera_period: summary.duration * settings.inputs.cameras.len() as u32
                / u32::try_from(summary.images.max(1)).unwrap_or(u32::MAX),
        };
        let estimate = simulate_playback(run, &self.latencies);
        let latencies_ms: Vec<f64> = self.latencies.iter().copied().map(milliseconds).collect();
        let stages = self.stages_ms.iter();
        Timing {
            wall_s: self.started.elapsed().as_secs_f64(),
            chunk_ms: Summary::of(&latencies_ms),
            stages_ms: stages
                .map(|(stage, times)| ((*stage).to_owned(), Summary::of(times)))
                .collect(),
            images_read_per_s: (summary.images > 0).then(|| summary.images as f64 / reading.as_secs_f64()),
            ticks_without_action: estimate.map(|estimate| estimate.ticks_without_action),
            frames_not_used: estimate.map(|estimate| estimate.frames_not_used),
        }
    }

    fn recording(
        &self,
        settings: &Settings,
        summary: ReplaySummary,
        mut notes: Vec<String>,
    ) -> RecordingFound {
        if self.options.flow_matching_loss && !self.has_loss {
            notes.push(
                "no flow-matching loss: values of the actions that are not used were not recorded".to_owned(),
            );
        }
        let mut warnings = summary.warnings;
        if self.metrics.accuracy().compared_actions == 0 {
            warnings.push(
                "no prediction could be compared: no action was recorded in the time after an observation; \
                 do the stamps of actions and joint states come from the same clock?"
                    .to_owned(),
            );
        }
        let bad_messages = summary.bad_messages.into_iter();
        let bad_messages =
            bad_messages.map(|(topic, (count, first_problem))| (topic, BadMessages { count, first_problem }));
        let cameras = settings.inputs.cameras.iter().zip(&self.camera_ages_s);
        RecordingFound {
            duration_s: summary.duration.as_secs_f64(),
            messages: summary.messages,
            images: summary.images,
            clock_resets: summary.clock_resets,
            bad_messages: bad_messages.collect(),
            camera_age_s: cameras
                .map(|(camera, ages)| (camera.name.clone(), Summary::of(ages)))
                .collect(),
            failed_predictions: self.failures,
            first_failure: self.first_failure.clone(),
            notes,
            warnings,
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
