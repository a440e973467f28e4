//! The policy of a managed node: from its checkpoint to the thread that predicts with it, and back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use r2r::Publisher;
use r2r::trajectory_msgs::msg::JointTrajectory;
use tokio::sync::mpsc::UnboundedSender;

use super::parameters::{Parameters, PolicyShape, Settings};
use super::watched_thread::WatchedThread;
use super::{
    ChunkSlot, ControlReport, InferenceLoop, InferenceReport, Inputs, Managed, NodeError, PlaybackSettings,
    RosClock, Shared, lock, messages,
};
use crate::control::TimedChunk;
use crate::policy::{OpenError, Predict, RobotPolicy};

/// How long a robot that comes to rest is waited for; longer than any sensible acceleration limit asks for.
const REST_PATIENCE: Duration = Duration::from_secs(5);

/// What makes the policy that the settings ask for.
pub type OpenPolicy = dyn FnMut(&Settings) -> Result<Box<dyn Predict + Send>, OpenError> + Send;

/// What a managed node does on its ways: loads the policy and lets it predict, moves the robot, holds it, and gives the
/// policy's memory back.
pub struct ManagedPolicy {
    pub open: Box<OpenPolicy>,
    pub parameters: Arc<Mutex<Parameters>>,
    /// What the parameters must fit while there is a policy.
    pub shape: Arc<Shared<Option<PolicyShape>>>,
    /// Whether the robot may be moved.
    pub is_active: Arc<AtomicBool>,
    pub clock: Arc<RosClock>,
    pub inputs: Arc<Inputs>,
    pub chunks: Arc<ChunkSlot>,
    pub playback: Arc<Shared<PlaybackSettings>>,
    pub control: Arc<Mutex<ControlReport>>,
    pub report: Arc<Mutex<InferenceReport>>,
    /// Of `~/chunk`.
    pub chunk_publisher: Publisher<JointTrajectory>,
    /// Told when the inference thread ends by itself.
    pub ending: UnboundedSender<&'static str>,
    /// The inference thread, while there is a policy.
    pub inference: Arc<Mutex<Option<WatchedThread>>>,
}

impl ManagedPolicy {
    fn policy(&mut self, settings: &Settings) -> Result<RobotPolicy<Box<dyn Predict + Send>>, NodeError> {
        let policy = (self.open)(settings).map_err(|source| NodeError::Policy {
            checkpoint: settings.checkpoint.display().to_string(),
            source,
        })?;
        settings
            .check_against(PolicyShape::from(&*policy as &dyn Predict))
            .and_then(|()| settings.check_relative(&policy.relative_actions()))
            .map_err(NodeError::Parameters)?;
        let mut policy = RobotPolicy::new(policy, settings.conventions.clone());
        policy.warm_up(&settings.prompt).map_err(NodeError::WarmUp)?;
        Ok(policy)
    }
}

/// Waits until control, which was just told that the node is not active any more, has brought the robot to rest; for no
/// longer than `patience`.
pub fn wait_for_rest(control: &Mutex<ControlReport>, patience: Duration) {
    let started = Instant::now();
    let ticks_before = lock(control).ticks;
    while started.elapsed() < patience {
        let report = lock(control);
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
    type Error = NodeError;

    fn configure(&mut self) -> Result<(), NodeError> {
        // While the node is on its way here the parameters change no more.
        let settings = lock(&self.parameters).settings().clone();
        let policy = self.policy(&settings)?;
        let description = policy.description();
        self.shape.set(Some(PolicyShape::from(&policy as &dyn Predict)));
        *lock(&self.report) = InferenceReport::new(&policy);
        let joints = settings.commanded_joints();
        let publisher = self.chunk_publisher.clone();
        let show = move |chunk: &TimedChunk| {
            if let Err(error) = publisher.publish(&messages::chunk(chunk, &joints)) {
                tracing::debug!("a chunk could not be published on ~/chunk: {error}");
            }
        };
        let inference = InferenceLoop {
            policy: Box::new(policy),
            clock: Arc::clone(&self.clock),
            inputs: Arc::clone(&self.inputs),
            chunks: Arc::clone(&self.chunks),
            settings: Arc::clone(&self.playback),
            control: Arc::clone(&self.control),
            report: Arc::clone(&self.report),
            show: Box::new(show),
        };
        self.inputs.open();
        let thread = WatchedThread::spawn("inference", &self.ending, move || inference.run())?;
        *lock(&self.inference) = Some(thread);
        tracing::info!("configured: {description}");
        Ok(())
    }

    fn activate(&mut self) {
        self.is_active.store(true, Ordering::Release);
        tracing::info!("active: the robot moves with the next chunk");
    }

    fn deactivate(&mut self) {
        self.is_active.store(false, Ordering::Release);
        wait_for_rest(&self.control, REST_PATIENCE);
        tracing::info!("inactive: the robot is held");
    }

    fn cleanup(&mut self) {
        let inference = lock(&self.inference).take();
        if let Some(thread) = inference {
            thread.mean_the_end();
            self.inputs.close();
            thread.join();
        }
        self.shape.set(None);
        *lock(&self.report) = InferenceReport::unconfigured();
        self.clock.reset();
        self.inputs.forget_before_reset(self.clock.resets());
        tracing::info!("unconfigured: the policy's memory is free");
    }

    fn shutdown(&mut self) {
        if self.is_active.load(Ordering::Acquire) {
            self.deactivate();
        }
        self.cleanup();
        tracing::info!("finalized: only another start of the node goes on from here");
    }
}
