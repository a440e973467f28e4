//! Holds a policy against a bag: reading goes on in a thread of its own while the policy predicts.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use super::bag::{Bag, BagError};
use super::live::LiveRun;
use super::metrics::Metrics;
use super::replayer::{ReplayOptions, ReplaySummary, Sample, replay};
use super::result::{BadMessages, BagResult, RecordingFound, Spread, Timing, UsedSettings};
use super::topics::{BagTopics, TopicProblem};
use crate::checkpoint::list;
use crate::parameters::{ParameterProblem, PolicyShape, Settings};
use crate::policy::{ActionChunk, Policy, PolicyError, RobotPolicy};

/// Observations that wait for the policy: enough that it never waits for them.
const WAITING_SAMPLES: usize = 8;

/// Why a bag could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    #[error(transparent)]
    Bag(#[from] BagError),
    #[error("the bag {bag} does not fit the parameters:{}", list(problems))]
    Topics {
        bag: String,
        problems: Vec<TopicProblem>,
    },
    #[error("the parameters do not fit the checkpoint:{}", list(.0))]
    Parameters(Vec<ParameterProblem>),
    #[error("the policy does not take the number of denoising steps: {0}")]
    DenoiseSteps(#[source] PolicyError),
    #[error("the bag {bag} has no observation: {reason}")]
    NoObservation { bag: String, reason: String },
    #[error("the policy could predict from none of {count} observations of {bag}: {reason}")]
    NoPrediction { bag: String, count: u64, reason: String },
}

/// What a user chooses about an evaluation, beside the node's own parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluationOptions {
    /// Where the commands were recorded; none for the choice of [`BagTopics::choose`].
    pub actions_topic: Option<String>,
    /// Actions from one observation to the next; none for as many as the node plays.
    pub actions_between: Option<usize>,
    /// Nothing is known of actions further than this from the recorded message before.
    pub longest_gap: Duration,
    /// A joint that moved by less counts as still, in the robot's units.
    pub still: f32,
    /// Whether to compute the flow-matching loss, which takes as long as another chunk without its images.
    pub flow_matching_loss: bool,
}

impl EvaluationOptions {
    /// Actions from one observation to the next: as chosen here, or else as many as the node plays.
    pub fn actions_between(&self, settings: &Settings, action_horizon: usize) -> usize {
        let played = settings.runtime.execution_horizon.map(usize::from);
        let chosen = self.actions_between.or(played);
        chosen.unwrap_or(action_horizon / 2).clamp(1, action_horizon)
    }
}

/// A prediction, for who looks on.
#[derive(Clone, Copy, Debug)]
pub struct Prediction<'a> {
    /// Counts from 0.
    pub index: u64,
    pub sample: &'a Sample,
    pub chunk: &'a ActionChunk,
    /// Mean square error over what was recorded.
    pub mse: Option<f64>,
    pub latency: Duration,
}

/// Looks at every prediction.
pub type Look<'a> = dyn FnMut(Prediction<'_>) + 'a;

/// Evaluates a policy on a bag.
///
/// # Errors
/// When the bag cannot be read or does not fit the parameters, these do not fit the policy, or there is nothing to predict.
pub fn evaluate(
    bag: &Bag,
    policy: &mut dyn Policy,
    settings: &Settings,
    options: &EvaluationOptions,
    look: &mut Look,
) -> Result<BagResult, EvaluationError> {
    let name = bag.path().display().to_string();
    let info = policy.info();
    settings
        .check_against(PolicyShape::from(info))
        .and_then(|()| settings.check_relative(&info.relative_actions))
        .map_err(EvaluationError::Parameters)?;
    let horizon = info.action_horizon;
    policy
        .set_denoise_steps(settings.runtime.denoise_steps)
        .map_err(EvaluationError::DenoiseSteps)?;
    let topics = BagTopics::choose(bag, settings, options.actions_topic.as_deref()).map_err(|problems| {
        EvaluationError::Topics {
            bag: name.clone(),
            problems,
        }
    })?;
    let actions_between = options.actions_between(settings, horizon);
    let replay_options = ReplayOptions {
        action_horizon: horizon,
        actions_between,
        longest_gap: options.longest_gap,
    };
    let policy = &mut RobotPolicy::new(policy, settings.joint_mapping.clone());
    let mut evaluation = Evaluation::new(settings, options, horizon);
    let started = Instant::now();
    let (summary, reading) = std::thread::scope(|scope| {
        let (send, samples) = sync_channel(WAITING_SAMPLES);
        let reader = scope.spawn(move || {
            let started = Instant::now();
            let mut blocked = Duration::ZERO;
            let summary = replay(bag, &topics, settings, replay_options, &mut |sample| {
                let waiting = Instant::now();
                let sent = send.send(sample);
                blocked += waiting.elapsed();
                match sent {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(_) => ControlFlow::Break(()),
                }
            });
            (
                summary.map(|summary| (summary, topics)),
                started.elapsed() - blocked,
            )
        });
        for sample in samples {
            evaluation.predict(policy, &sample, look);
        }
        match reader.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
    let (summary, topics) = summary?;
    evaluation.check(&name, &summary)?;
    let live = LiveRun {
        duration: summary.duration,
        control_period: settings.runtime.control_period,
        action_period: settings.runtime.action_period,
        action_horizon: horizon,
        actions_between,
        camera_period: summary.duration * settings.inputs.cameras.len() as u32
            / u32::try_from(summary.images.max(1)).unwrap_or(u32::MAX),
    };
    let missed = live.play(&evaluation.latencies);
    let milliseconds: Vec<f64> = evaluation
        .latencies
        .iter()
        .map(|one| one.as_secs_f64() * 1e3)
        .collect();
    let timing = Timing {
        wall_s: started.elapsed().as_secs_f64(),
        chunk_ms: Spread::of(&milliseconds),
        stages_ms: evaluation
            .stages_ms
            .iter()
            .map(|(stage, times)| ((*stage).to_owned(), Spread::of(times)))
            .collect(),
        images_read_per_s: (summary.images > 0).then(|| summary.images as f64 / reading.as_secs_f64()),
        ticks_without_action: missed.map(|missed| missed.ticks_without_action),
        frames_not_used: missed.map(|missed| missed.frames_not_used),
    };
    Ok(BagResult {
        bag: name,
        inputs: String::new(),
        settings: UsedSettings {
            policy: policy.info().description.clone(),
            seed: settings.policy.seed,
            threads: settings.device.threads,
            joints: settings.commanded_joints(),
            actions_topic: topics.actions.keys().cloned().collect::<Vec<_>>().join(", "),
            action_rate_hz: 1.0 / settings.runtime.action_period.as_secs_f64(),
            control_rate_hz: 1.0 / settings.runtime.control_period.as_secs_f64(),
            action_horizon: horizon,
            actions_between,
        },
        accuracy: evaluation.metrics.accuracy(),
        recording: evaluation.found(settings, summary, topics.notes),
        timing,
    })
}

struct Evaluation<'a> {
    options: &'a EvaluationOptions,
    /// Places in the state of the joints that are told to move.
    commanded: Vec<usize>,
    has_loss: bool,
    action_period: Duration,
    metrics: Metrics,
    latencies: Vec<Duration>,
    stages_ms: BTreeMap<&'static str, Vec<f64>>,
    /// `[cameras]`
    camera_ages_s: Vec<Vec<f64>>,
    samples: u64,
    predictions: u64,
    previous_at: Option<Duration>,
    failures: u64,
    first_failure: Option<String>,
}

impl<'a> Evaluation<'a> {
    fn new(settings: &Settings, options: &'a EvaluationOptions, horizon: usize) -> Self {
        let action_period = settings.runtime.action_period;
        Self {
            options,
            commanded: settings.joint_mapping.commanded().collect(),
            has_loss: options.flow_matching_loss && settings.joint_mapping.uses_all_actions(),
            action_period,
            metrics: Metrics::new(
                &settings.commanded_joints(),
                horizon,
                action_period.as_secs_f64(),
                options.still,
            ),
            latencies: Vec::new(),
            stages_ms: BTreeMap::new(),
            camera_ages_s: vec![Vec::new(); settings.inputs.cameras.len()],
            samples: 0,
            predictions: 0,
            previous_at: None,
            failures: 0,
            first_failure: None,
        }
    }

    fn predict(&mut self, policy: &mut dyn Policy, sample: &Sample, look: &mut Look) {
        self.samples += 1;
        for (ages, age) in self.camera_ages_s.iter_mut().zip(&sample.camera_ages_s) {
            ages.extend(age);
        }
        let started = Instant::now();
        let chunk = match policy.predict(&sample.observation) {
            Ok(chunk) => chunk,
            Err(error) => return self.fail(error.to_string()),
        };
        let latency = started.elapsed();
        let stages = policy.report().durations;
        for (stage, duration) in [
            ("resize", stages.resize),
            ("vision", stages.vision),
            ("prompt", stages.prompt),
            ("prefix", stages.prefix),
            ("denoise", stages.denoise),
        ] {
            let times = self.stages_ms.entry(stage).or_default();
            times.push(duration.as_secs_f64() * 1e3);
        }
        self.latencies.push(latency);
        let since_previous = self.previous_at.and_then(|previous| {
            let elapsed = sample.observed_at.checked_sub(previous)?;
            Some((elapsed.as_secs_f64() / self.action_period.as_secs_f64()).round() as usize)
        });
        self.previous_at = Some(sample.observed_at);
        let state = &sample.observation.state;
        let commanded: Vec<f32> = self.commanded.iter().map(|&joint| state[joint]).collect();
        let mse = self
            .metrics
            .add(&commanded, &chunk, &sample.recorded, since_previous);
        look(Prediction {
            index: self.predictions,
            sample,
            chunk: &chunk,
            mse,
            latency,
        });
        let noise = self.predictions;
        self.predictions += 1;
        let whole: Option<Vec<&Vec<f32>>> = sample.recorded.iter().map(Option::as_ref).collect();
        if self.has_loss
            && let Some(recorded) = whole
        {
            let recorded = recorded.into_iter().flatten().copied().collect();
            let recorded = ActionChunk::new(recorded, chunk.action_dim());
            match policy.flow_matching_loss(&sample.observation, &recorded, noise) {
                Ok(losses) => self.metrics.add_loss(&losses),
                Err(error) => self.fail(error.to_string()),
            }
        }
    }

    fn fail(&mut self, reason: String) {
        self.failures += 1;
        self.first_failure.get_or_insert(reason);
        self.previous_at = None;
    }

    fn check(&self, bag: &str, summary: &ReplaySummary) -> Result<(), EvaluationError> {
        if self.samples == 0 {
            let mut reasons = vec![
                "an observation needs a good message of every camera, of the joint states, and a prompt"
                    .to_owned(),
            ];
            for (topic, (count, problem)) in &summary.bad_messages {
                reasons.push(format!("{topic}: {count} messages could not be used: {problem}"));
            }
            reasons.extend(summary.input_problems.clone());
            reasons.extend(summary.warnings.clone());
            return Err(EvaluationError::NoObservation {
                bag: bag.to_owned(),
                reason: reasons.join("; "),
            });
        }
        if self.predictions == 0 {
            return Err(EvaluationError::NoPrediction {
                bag: bag.to_owned(),
                count: self.samples,
                reason: self.first_failure.clone().unwrap_or_default(),
            });
        }
        Ok(())
    }

    fn found(&self, settings: &Settings, summary: ReplaySummary, mut notes: Vec<String>) -> RecordingFound {
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
        let bad_messages = summary
            .bad_messages
            .into_iter()
            .map(|(topic, (count, first_problem))| (topic, BadMessages { count, first_problem }));
        RecordingFound {
            duration_s: summary.duration.as_secs_f64(),
            messages: summary.messages,
            images: summary.images,
            clock_resets: summary.clock_resets,
            bad_messages: bad_messages.collect(),
            camera_age_s: settings
                .inputs
                .cameras
                .iter()
                .zip(&self.camera_ages_s)
                .map(|(camera, ages)| (camera.name.clone(), Spread::of(ages)))
                .collect(),
            failed_predictions: self.failures,
            first_failure: self.first_failure.clone(),
            notes,
            warnings,
        }
    }
}
