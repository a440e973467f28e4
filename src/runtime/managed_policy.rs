//! The policy of a managed node: from its checkpoint to the thread that predicts with it, and back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::control_report::ControlReport;
use super::inference_loop::InferenceLoop;
use super::inference_report::InferenceReport;
use super::lifecycle::Managed;
use super::mailbox::Shared;
use super::node_state::NodeState;
use super::watched_thread::{UnexpectedExit, WatchedThread};
use super::with_causes::with_causes;
use crate::control::TimedChunk;
use crate::observation::with_short_prompt;
use crate::parameters::{ParameterProblem, Parameters, PolicyShape, Settings};
use crate::policy::{OpenError, Policy, RobotPolicy};

/// Longest wait for a robot to come to rest; longer than any sensible acceleration limit requires.
pub(super) const REST_PATIENCE: Duration = Duration::from_secs(5);

/// Why the node is not configured.
#[derive(Debug, thiserror::Error)]
pub enum ConfigureError {
    /// Checkpoint or server that gives no policy.
    #[error("no policy from {from}")]
    Policy {
        /// The checkpoint or the server, in words.
        from: String,
        /// Error of opening it.
        source: OpenError,
    },
    /// Parameters that do not fit the policy.
    #[error("the parameters do not fit the policy:{}", ParameterProblem::list(.0))]
    Parameters(Vec<ParameterProblem>),
    /// Failed warm-up, with its causes in words.
    #[error("the policy does not warm up: {0}")]
    WarmUp(String),
    /// Failure of the system to start a thread.
    #[error("the system could not provide a thread for inference")]
    Thread(#[source] std::io::Error),
}

/// Receives a chunk and the names of its joints.
pub type ShowChunk = Arc<dyn Fn(&TimedChunk, &[String]) + Send + Sync>;

/// Opens the policy that the settings name.
pub type OpenPolicy = dyn FnMut(&Settings) -> Result<Box<dyn Policy + Send>, OpenError> + Send;

/// The transitions of the node: load the policy and start inference, let the robot move, hold it, free the policy.
pub struct ManagedPolicy {
    /// Opens the policy at every `configure`.
    pub open: Box<OpenPolicy>,
    /// Current parameters.
    pub parameters: Arc<Mutex<Parameters>>,
    /// Shape that the parameters must fit while there is a policy.
    pub shape: Arc<Shared<Option<PolicyShape>>>,
    /// State shared with the other threads.
    pub state: Arc<NodeState>,
    /// Publishes a chunk, with the names of its joints, before control plays it.
    pub show_chunk: ShowChunk,
    /// Receives the name of the inference thread when it exits unexpectedly.
    pub on_unexpected_exit: UnexpectedExit,
    /// The inference thread, while there is a policy.
    pub inference: Arc<Mutex<Option<WatchedThread>>>,
}

impl ManagedPolicy {
    fn policy(&mut self, settings: &Settings) -> Result<RobotPolicy<Box<dyn Policy + Send>>, ConfigureError> {
        let policy = (self.open)(settings).map_err(|source| ConfigureError::Policy {
            from: settings.policy_source(),
            source,
        })?;
        settings
            .check_policy(policy.info())
            .map_err(ConfigureError::Parameters)?;
        let mut policy = RobotPolicy::new(policy, settings.joint_mapping.clone());
        policy
            .set_denoise_steps(settings.runtime.denoise_steps)
            .and_then(|()| policy.warm_up(&settings.prompt))
            .map_err(|error| {
                ConfigureError::WarmUp(with_short_prompt(&with_causes(&error), &settings.prompt))
            })?;
        Ok(policy)
    }

    /// Loads the policy, and starts the thread that predicts with it.
    fn start_inference(&mut self) -> Result<(), ConfigureError> {
        // The parameters cannot change during the transition.
        let settings = self.parameters.lock().settings().clone();
        let mut policy = self.policy(&settings)?;
        let description = policy.info().description.clone();
        let strategy = settings.runtime.blending.strategy_with(policy.info()).name();
        self.shape.set(Some(PolicyShape::from(policy.info())));
        *self.state.inference.lock() = InferenceReport {
            added_latency: settings.runtime.added_inference_latency,
            ..InferenceReport::new(&policy)
        };
        let state = Arc::clone(&self.state);
        policy.report_server(Box::new(move |lost| state.server_lost.set(lost)));
        let axes = settings.axes();
        let show_chunk = Arc::clone(&self.show_chunk);
        let inference = InferenceLoop {
            policy: Box::new(policy),
            state: Arc::clone(&self.state),
            show: Box::new(move |chunk| show_chunk(chunk, axes.names())),
        };
        self.state.inputs.open();
        let thread = WatchedThread::spawn("inference", &self.on_unexpected_exit, move || inference.run())
            .map_err(ConfigureError::Thread)?;
        *self.inference.lock() = Some(thread);
        tracing::info!("configured: {description}; chunks join by chunk_blending {strategy}");
        Ok(())
    }
}

/// Waits until control has brought the robot to rest after the node became inactive, for no longer than `patience`.
pub fn wait_for_rest(control: &Mutex<ControlReport>, patience: Duration) {
    let started = Instant::now();
    let ticks_before = control.lock().ticks;
    while started.elapsed() < patience {
        let report = control.lock();
        // The newest tick may be one from before, and so may the one that was under way.
        if report.is_silent && report.ticks > ticks_before + 1 {
            return;
        }
        drop(report);
        std::thread::sleep(Duration::from_millis(5));
    }
    tracing::warn!("the robot may not be at rest yet: control did not say so within {patience:?}");
}

impl Managed for ManagedPolicy {
    type Error = ConfigureError;

    fn configure(&mut self) -> Result<(), ConfigureError> {
        self.start_inference().inspect_err(|error| {
            *self.state.inference.lock() = InferenceReport::not_configured(with_causes(error));
        })
    }

    fn activate(&mut self) {
        self.state.is_active.store(true, Ordering::Release);
        tracing::info!("active: the robot moves with the next chunk");
    }

    fn deactivate(&mut self) {
        self.state.is_active.store(false, Ordering::Release);
        wait_for_rest(&self.state.control, REST_PATIENCE);
        tracing::info!("inactive: the robot is held");
    }

    fn cleanup(&mut self) {
        let inference = self.inference.lock().take();
        if let Some(thread) = inference {
            thread.expect_exit();
            self.state.inputs.close();
            thread.join();
        }
        self.shape.set(None);
        // The policy is gone, and its server does not matter any more.
        self.state.server_lost.set(None);
        *self.state.inference.lock() = InferenceReport::unconfigured();
        self.state.reset();
        tracing::info!("unconfigured: the policy's memory is free");
    }

    fn shutdown(&mut self) {
        if self.state.is_active.load(Ordering::Acquire) {
            self.deactivate();
        }
        self.cleanup();
        tracing::info!("finalized: only another start of the node goes on from here");
    }
}
