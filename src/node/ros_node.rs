//! The node put together: subscriptions, publishers, services and the three threads.

use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use r2r::diagnostic_msgs::msg::DiagnosticArray;
use r2r::{Context, Node, Publisher, QosProfile, WrappedTypesupport};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::hangup::hangup_is_ignored;
use super::lifecycle_service::{serve_lifecycle, transition_events};
use super::managed_policy::{ManagedPolicy, wait_for_rest};
use super::other_publishers::other_publishers;
use super::output_publishers::OutputPublishers;
use super::parameters::{Parameters, QosEnd, QosOverrides, Settings};
use super::services::{serve_enable, serve_parameters, serve_reset, serve_stop};
use super::subscriptions::{subscribe_inputs, subscribe_robot_description};
use super::watched_thread::WatchedThread;
use super::{
    ChangeError, ChunkSlot, ControlLoop, ControlReport, DescribedLimits, InferenceReport, Inputs, Lifecycle,
    LifecycleState, Monitor, NodeError, RosClock, Shared, lock, logging, messages,
};
use crate::control::Command;
use crate::policy::{OpenError, Predict, open};

const DIAGNOSTICS_PERIOD: Duration = Duration::from_secs(1);
/// How long one spin may wait for ROS before it looks whether it shall stop.
const SPIN_PATIENCE: Duration = Duration::from_millis(50);
/// How often the graph is asked who else publishes.
const GRAPH_PERIOD: Duration = Duration::from_millis(500);
/// How long the end of the node waits for the prediction that is under way.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// A node that runs until it is stopped.
#[derive(Debug)]
pub struct Pi0Node {
    /// For the log: the node's name and its policy.
    description: String,
    runtime: Runtime,
    inputs: Arc<Inputs>,
    is_active: Arc<AtomicBool>,
    control_report: Arc<Mutex<ControlReport>>,
    stop_control: Arc<AtomicBool>,
    stop_spinning: Arc<AtomicBool>,
    control: WatchedThread,
    inference: Arc<Mutex<Option<WatchedThread>>>,
    spin: WatchedThread,
    ended: mpsc::UnboundedReceiver<&'static str>,
}

/// The node of this process: from its ROS arguments until it is interrupted or terminated.
///
/// # Errors
/// When the parameters or the checkpoint are not whole, ROS 2 fails, or a thread ends by itself.
pub fn run() -> Result<(), NodeError> {
    let _trace = logging::start()?;
    let context = context()?;
    let mut node =
        Node::create(context, "pi0_node", "").map_err(|source| NodeError::ros("the node", source))?;
    logging::publish_on_rosout(&mut node).map_err(|source| NodeError::ros("/rosout", source))?;
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
        Ok(context) => context.map_err(|source| NodeError::ros("the arguments", source)),
        Err(payload) => Err(NodeError::Arguments(
            payload
                .downcast_ref::<String>()
                .cloned()
                .unwrap_or_else(|| "the reason is not known".to_owned()),
        )),
    }
}

impl Pi0Node {
    /// Checks the node's parameters and starts. `open` makes the policy of the settings whenever the node is configured,
    /// which is now, unless somebody else manages the node.
    ///
    /// # Errors
    /// Every parameter that does not fit, or why there is no policy.
    pub fn start(
        mut node: Node,
        open: impl FnMut(&Settings) -> Result<Box<dyn Predict + Send>, OpenError> + Send + 'static,
    ) -> Result<Self, NodeError> {
        let overrides: Vec<_> = lock(&node.params)
            .iter()
            .map(|(name, parameter)| (name.clone(), parameter.value.clone().into()))
            .collect();
        let parameters = Parameters::from_overrides(overrides.into_iter()).map_err(NodeError::Parameters)?;
        let settings = parameters.settings().clone();
        let qos = parameters.qos_overrides().clone();
        let name = node
            .fully_qualified_name()
            .map_err(|source| NodeError::ros("the node's name", source))?;
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
        let inference_report = Arc::new(Mutex::new(InferenceReport::unconfigured()));
        let (is_active, shape) = (Arc::<AtomicBool>::default(), Arc::new(Shared::new(None)));
        let command = Arc::new(Shared::new(match settings.auto_start {
            true => Command::Enabled,
            false => Command::Disabled,
        }));
        let described_limits = Arc::<Shared<DescribedLimits>>::default();
        let other_publishers = Arc::<Shared<Option<String>>>::default();
        let (ending, ended) = mpsc::unbounded_channel();
        let inference = Arc::<Mutex<Option<WatchedThread>>>::default();

        subscribe_inputs(
            &mut node,
            runtime.handle(),
            &parameters,
            &inputs,
            &clock,
            &playback,
        )?;
        subscribe_robot_description(&mut node, runtime.handle(), &parameters, &described_limits)?;
        let parameters = Arc::new(Mutex::new(parameters));
        let managed = ManagedPolicy {
            open: Box::new(open),
            parameters: Arc::clone(&parameters),
            shape: Arc::clone(&shape),
            is_active: Arc::clone(&is_active),
            clock: Arc::clone(&clock),
            inputs: Arc::clone(&inputs),
            chunks: Arc::clone(&chunks),
            playback: Arc::clone(&playback),
            control: Arc::clone(&control_report),
            report: Arc::clone(&inference_report),
            chunk_publisher: publisher(&mut node, &qos, "~/chunk")?,
            ending: ending.clone(),
            inference: Arc::clone(&inference),
        };
        let lifecycle = Arc::new(Lifecycle::new(managed, transition_events(&mut node)?));
        if !settings.managed {
            change(&lifecycle, "configure")?;
        }
        serve_lifecycle(&mut node, runtime.handle(), &lifecycle)?;
        let of_state = Arc::clone(&lifecycle);
        let is_unconfigured = move || of_state.state() == LifecycleState::Unconfigured;
        serve_parameters(
            &mut node,
            runtime.handle(),
            &parameters,
            is_unconfigured,
            &shape,
            &playback,
            &inputs,
        )?;
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
        let outputs = OutputPublishers::new(&mut node, &qos, &settings.outputs)?;

        let (stop_control, stop_spinning) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let control = ControlLoop {
            clock,
            chunks,
            inputs: Arc::clone(&inputs),
            settings: playback,
            command,
            is_active: Arc::clone(&is_active),
            described_limits,
            other_publishers: Arc::clone(&other_publishers),
            priority: settings.control_priority,
            report: Arc::clone(&control_report),
            stop: Arc::clone(&stop_control),
            commanded: settings.conventions.commanded().collect(),
            commanded_joints: settings.commanded_joints().into(),
        };
        let control = WatchedThread::spawn("control", &ending, move || {
            control.run(|now, points| outputs.publish(now, &points));
        })?;
        let spinning = Arc::clone(&stop_spinning);
        let own_name = name.clone();
        let spin = WatchedThread::spawn("spin", &ending, move || {
            let mut asked: Option<Instant> = None;
            while !spinning.load(Ordering::Relaxed) {
                node.spin_once(SPIN_PATIENCE);
                if asked.is_none_or(|asked| asked.elapsed() > GRAPH_PERIOD) {
                    asked = Some(Instant::now());
                    look_for_others(&node, &own_name, &other_publishers);
                }
            }
        })?;
        let description = match settings.managed {
            true => format!("{name} is running and waits to be configured"),
            false => {
                change(&lifecycle, "activate")?;
                format!("{name} is running {}", lock(&inference_report).description)
            }
        };
        Ok(Self {
            description,
            runtime,
            inputs,
            is_active,
            control_report,
            stop_control,
            stop_spinning,
            control,
            inference,
            spin,
            ended,
        })
    }

    /// Runs until the process is interrupted, terminated or loses its terminal, then stops.
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
            let mut hangup = match hangup_is_ignored() {
                // Who starts the node with nohup wants it to outlive the terminal.
                true => None,
                false => Some(signal(SignalKind::hangup()).map_err(failed)?),
            };
            // Only now does a signal end the node cleanly, so only now may anyone be told that it runs.
            tracing::info!("{description}");
            tokio::select! {
                _ = interrupt.recv() => Ok("interrupted"),
                _ = terminate.recv() => Ok("terminated"),
                Some(()) = async { hangup.as_mut()?.recv().await } => Ok("hung up"),
                Some(name) = ended.recv() => Err(NodeError::ThreadEnded(name)),
            }
        });
        if let Ok(why) = &why {
            tracing::info!("{why}, stopping");
        }
        self.stop();
        why.map(|_| ())
    }

    /// Brings the robot to rest, and ends the threads. Neither that nor a prediction that is under way is waited for longer
    /// than a second: the prediction ends with the process.
    pub fn stop(self) {
        if self.is_active.swap(false, Ordering::AcqRel) {
            wait_for_rest(&self.control_report, STOP_PATIENCE);
        }
        self.control.mean_the_end();
        self.spin.mean_the_end();
        self.stop_control.store(true, Ordering::Relaxed);
        self.control.join();
        let inference = lock(&self.inference).take();
        if let Some(thread) = inference {
            thread.mean_the_end();
            self.inputs.close();
            if !thread.join_within(STOP_PATIENCE) {
                tracing::info!("a prediction is under way and is left to end with the process");
            }
        }
        self.runtime.shutdown_timeout(STOP_PATIENCE);
        self.stop_spinning.store(true, Ordering::Relaxed);
        self.spin.join();
    }
}

/// Looks who else moves the robot. What was so stays so while the graph gives no answer.
fn look_for_others(node: &Node, name: &str, others: &Shared<Option<String>>) {
    match other_publishers(node, name) {
        Ok(found) => others.set(found),
        Err(error) => tracing::debug!("who publishes besides this node is not known: {error}"),
    }
}

/// Goes a way of which the node's own start knows that it is there.
fn change(lifecycle: &Lifecycle<ManagedPolicy>, label: &'static str) -> Result<(), NodeError> {
    lifecycle.change(0, label).map_err(|error| match error {
        ChangeError::Failed(error) => error,
        ChangeError::NoSuchWay { .. } => unreachable!("a node that starts is {error}"),
    })
}

pub(super) fn publisher<T: WrappedTypesupport>(
    node: &mut Node,
    qos: &QosOverrides,
    topic: &str,
) -> Result<Publisher<T>, NodeError> {
    let newest = QosProfile::default().keep_last(1);
    let profile = messages::qos_profile(newest, qos.of(topic, QosEnd::Publisher));
    node.create_publisher(topic, profile)
        .map_err(|source| NodeError::ros(topic, source))
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
