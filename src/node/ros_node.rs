//! The node put together: subscriptions, publishers, services and the three threads.

use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use r2r::diagnostic_msgs::msg::DiagnosticArray;
use r2r::trajectory_msgs::msg::JointTrajectory;
use r2r::{Context, Node, Publisher, QosProfile, WrappedTypesupport};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::output_publishers::OutputPublishers;
use super::parameters::{ParameterProblem, Parameters, PolicyShape, QosEnd, QosOverrides, Settings};
use super::services::{serve_enable, serve_parameters, serve_reset, serve_stop};
use super::subscriptions::{subscribe_inputs, subscribe_robot_description};
use super::{
    ChunkSlot, ControlLoop, ControlReport, InferenceLoop, InferenceReport, Inputs, Monitor, RosClock, Shared,
    lock, logging, messages,
};
use crate::chrome_trace::ChromeTraceError;
use crate::control::{Command, TimedChunk};
use crate::policy::{OpenError, Predict, RobotPolicy, open};

const DIAGNOSTICS_PERIOD: Duration = Duration::from_secs(1);
/// How long one spin may wait for ROS before it looks whether it shall stop.
const SPIN_PATIENCE: Duration = Duration::from_millis(50);
/// How long the end of the node waits for the prediction that is under way.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// Why the node does not run.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error(transparent)]
    Trace(#[from] ChromeTraceError),
    #[error("the parameters do not fit:{}", list(.0))]
    Parameters(Vec<ParameterProblem>),
    #[error("no policy from the checkpoint {checkpoint}")]
    Policy { checkpoint: String, source: OpenError },
    #[error("ROS 2 does not understand the arguments: {0}")]
    Arguments(String),
    #[error("ROS 2 could not make {what}")]
    Ros { what: String, source: r2r::Error },
    #[error("the system could not provide {what}")]
    System {
        what: &'static str,
        source: std::io::Error,
    },
    #[error("the {0} thread ended by itself, which is a mistake in the program; its last words are above")]
    ThreadEnded(&'static str),
}

/// A node that runs until it is stopped.
#[derive(Debug)]
pub struct Pi0Node {
    /// For the log: the node's name and its policy.
    description: String,
    runtime: Runtime,
    inputs: Arc<Inputs>,
    /// For control and inference.
    stop: Arc<AtomicBool>,
    stop_spinning: Arc<AtomicBool>,
    control: JoinHandle<()>,
    inference: JoinHandle<()>,
    spin: JoinHandle<()>,
    ended: mpsc::UnboundedReceiver<&'static str>,
}

/// The node of this process: from its ROS arguments until it is interrupted or terminated.
///
/// # Errors
/// When the parameters or the checkpoint are not whole, ROS 2 fails, or a thread ends by itself.
pub fn run() -> Result<(), NodeError> {
    let _trace = logging::start()?;
    let context = context()?;
    let mut node = Node::create(context, "pi0_node", "").map_err(|source| ros("the node", source))?;
    logging::publish_on_rosout(&mut node).map_err(|source| ros("/rosout", source))?;
    let running = Pi0Node::start(node, |settings| {
        open(
            &settings.checkpoint,
            settings.device,
            settings.device_options,
            settings.policy.clone(),
        )
    })?;
    running.run_until_signal()
}

/// The process's ROS arguments, which r2r panics about where it cannot read them.
fn context() -> Result<Context, NodeError> {
    let report_panic = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let created = panic::catch_unwind(Context::create);
    panic::set_hook(report_panic);
    match created {
        Ok(context) => context.map_err(|source| ros("the arguments", source)),
        Err(payload) => Err(NodeError::Arguments(
            payload
                .downcast_ref::<String>()
                .cloned()
                .unwrap_or_else(|| "the reason is not known".to_owned()),
        )),
    }
}

impl Pi0Node {
    /// Checks the node's parameters and the policy that `open` makes of them, and starts.
    ///
    /// # Errors
    /// Before the first message is sent: every parameter that does not fit, or why there is no policy.
    pub fn start(
        mut node: Node,
        open: impl FnOnce(&Settings) -> Result<Box<dyn Predict + Send>, OpenError>,
    ) -> Result<Self, NodeError> {
        let overrides: Vec<_> = lock(&node.params)
            .iter()
            .map(|(name, parameter)| (name.clone(), parameter.value.clone().into()))
            .collect();
        let parameters = Parameters::from_overrides(overrides.into_iter()).map_err(NodeError::Parameters)?;
        let settings = parameters.settings().clone();
        let policy = open(&settings).map_err(|source| NodeError::Policy {
            checkpoint: settings.checkpoint.display().to_string(),
            source,
        })?;
        let shape = PolicyShape::from(&*policy as &dyn Predict);
        settings
            .check_against(shape)
            .and_then(|()| settings.check_relative(&policy.relative_actions()))
            .map_err(NodeError::Parameters)?;
        let policy = Box::new(RobotPolicy::new(policy, settings.conventions.clone()));
        let name = node
            .fully_qualified_name()
            .map_err(|source| ros("the node's name", source))?;

        let description = policy.description();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("ros callbacks")
            .enable_all()
            .build()
            .map_err(|source| NodeError::System {
                what: "tokio",
                source,
            })?;
        let clock = Arc::new(if settings.use_sim_time {
            RosClock::simulated()
        } else {
            RosClock::system()
        });
        let inputs = Arc::new(Inputs::new(&settings.inputs, &settings.joint_names));
        inputs.take_prompt(&settings.prompt);
        let playback = Arc::new(Shared::new(settings.playback.clone()));
        let chunks = Arc::<ChunkSlot>::default();
        let control_report = Arc::<Mutex<ControlReport>>::default();
        let inference_report = Arc::new(Mutex::new(InferenceReport::new(&*policy)));
        let stop = Arc::<AtomicBool>::default();
        let command = Arc::new(Shared::new(match settings.auto_start {
            true => Command::Enabled,
            false => Command::Disabled,
        }));
        let described_limits = Arc::new(Shared::new(None));

        let qos = parameters.qos_overrides().clone();
        subscribe_inputs(&mut node, runtime.handle(), &parameters, &inputs, &clock)?;
        subscribe_robot_description(&mut node, runtime.handle(), &parameters, &described_limits)?;
        serve_parameters(&mut node, runtime.handle(), parameters, shape, &playback, &inputs)?;
        serve_reset(&mut node, runtime.handle(), &inputs, &clock)?;
        serve_enable(&mut node, runtime.handle(), &command)?;
        serve_stop(&mut node, runtime.handle(), &command)?;
        let diagnostics = publisher(&mut node, &qos, "/diagnostics")?;
        runtime.spawn(publish_diagnostics(
            diagnostics,
            Arc::clone(&clock),
            Arc::clone(&control_report),
            Arc::clone(&inference_report),
            Arc::clone(&inputs),
        ));
        let chunk_publisher = publisher::<JointTrajectory>(&mut node, &qos, "~/chunk")?;
        let joints = settings.commanded_joints();
        let show = move |chunk: &TimedChunk| {
            if let Err(error) = chunk_publisher.publish(&messages::chunk(chunk, &joints)) {
                tracing::debug!("a chunk could not be published on ~/chunk: {error}");
            }
        };
        let outputs = OutputPublishers::new(&mut node, &qos, &settings.outputs)?;

        let (ending, ended) = mpsc::unbounded_channel();
        let control = ControlLoop {
            clock: Arc::clone(&clock),
            chunks: Arc::clone(&chunks),
            inputs: Arc::clone(&inputs),
            settings: Arc::clone(&playback),
            command,
            described_limits,
            priority: settings.control_priority,
            report: Arc::clone(&control_report),
            stop: Arc::clone(&stop),
            commanded: settings.conventions.commanded().collect(),
            commanded_joints: settings.commanded_joints().into(),
        };
        let inference = InferenceLoop {
            policy,
            vision_refresh: settings.vision_refresh,
            clock,
            inputs: Arc::clone(&inputs),
            chunks,
            settings: playback,
            control: control_report,
            report: inference_report,
            show: Box::new(show),
        };
        let stop_spinning = Arc::<AtomicBool>::default();
        let spinning = Arc::clone(&stop_spinning);
        Ok(Self {
            description: format!("{name} is running {description}"),
            control: spawn("control", &ending, move || {
                control.run(|now, points| outputs.publish(now, &points));
            })?,
            inference: spawn("inference", &ending, move || inference.run())?,
            spin: spawn("spin", &ending, move || {
                while !spinning.load(Ordering::Relaxed) {
                    node.spin_once(SPIN_PATIENCE);
                }
            })?,
            runtime,
            inputs,
            stop,
            stop_spinning,
            ended,
        })
    }

    /// Runs until the process is interrupted or terminated, then stops.
    ///
    /// # Errors
    /// When a thread ends by itself.
    pub fn run_until_signal(mut self) -> Result<(), NodeError> {
        let (ended, description) = (&mut self.ended, &self.description);
        let why = self.runtime.block_on(async {
            let failed = |source| NodeError::System {
                what: "signals",
                source,
            };
            let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
            let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
            // Only now does a signal end the node cleanly, so only now may anyone be told that it runs.
            tracing::info!("{description}");
            tokio::select! {
                _ = interrupt.recv() => Ok("interrupted"),
                _ = terminate.recv() => Ok("terminated"),
                Some(name) = ended.recv() => Err(NodeError::ThreadEnded(name)),
            }
        });
        if let Ok(why) = &why {
            tracing::info!("{why}, stopping");
        }
        self.stop();
        why.map(|_| ())
    }

    /// Ends the threads. A prediction that is under way is not waited for longer than a second: it ends with the
    /// process.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.inputs.close();
        join("control", self.control);
        let started = Instant::now();
        while !self.inference.is_finished() && started.elapsed() < STOP_PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.inference.is_finished() {
            join("inference", self.inference);
        } else {
            tracing::info!("a prediction is under way and is left to end with the process");
        }
        self.runtime.shutdown_timeout(STOP_PATIENCE);
        self.stop_spinning.store(true, Ordering::Relaxed);
        join("spin", self.spin);
    }
}

pub(super) fn publisher<T: WrappedTypesupport>(
    node: &mut Node,
    qos: &QosOverrides,
    topic: &str,
) -> Result<Publisher<T>, NodeError> {
    let newest = QosProfile::default().keep_last(1);
    let profile = messages::qos_profile(newest, qos.of(topic, QosEnd::Publisher));
    node.create_publisher(topic, profile)
        .map_err(|source| ros(topic, source))
}

async fn publish_diagnostics(
    diagnostics: Publisher<DiagnosticArray>,
    clock: Arc<RosClock>,
    control: Arc<Mutex<ControlReport>>,
    inference: Arc<Mutex<InferenceReport>>,
    inputs: Arc<Inputs>,
) {
    let mut monitor = Monitor::new(Instant::now());
    let mut interval = tokio::time::interval(DIAGNOSTICS_PERIOD);
    loop {
        interval.tick().await;
        let control = {
            let mut report = lock(&control);
            let snapshot = report.clone();
            report.holds_begun.clear();
            snapshot
        };
        let inference = lock(&inference).clone();
        let statuses = monitor.statuses(&control, &inference, &inputs.report());
        let message = messages::diagnostics(clock.now().unwrap_or_default(), statuses);
        if let Err(error) = diagnostics.publish(&message) {
            tracing::warn!("diagnostics could not be published: {error}");
        }
    }
}

/// A thread that tells `ending` its name when it ends, however it ends.
fn spawn(
    name: &'static str,
    ending: &mpsc::UnboundedSender<&'static str>,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, NodeError> {
    struct Ending(&'static str, mpsc::UnboundedSender<&'static str>);
    impl Drop for Ending {
        fn drop(&mut self) {
            // Nobody listens once the node is stopping.
            let _ = self.1.send(self.0);
        }
    }
    let ending = Ending(name, ending.clone());
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let _ending = ending;
            work();
        })
        .map_err(|source| NodeError::System { what: name, source })
}

fn join(name: &str, thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("the {name} thread panicked");
    }
}

pub(super) fn ros(what: &str, source: r2r::Error) -> NodeError {
    NodeError::Ros {
        what: what.to_owned(),
        source,
    }
}

fn list(problems: &[ParameterProblem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}
