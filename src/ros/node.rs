//! The node: subscriptions, publishers, services and the three threads.

use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use r2r::diagnostic_msgs::msg::DiagnosticArray;
use r2r::trajectory_msgs::msg::JointTrajectory;
use r2r::{Context, Node, Publisher};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::hangup::hangup_is_ignored;
use super::lifecycle_service::{serve_lifecycle, transition_events};
use super::node_error::NodeError;
use super::other_publishers::other_publishers;
use super::output_publishers::OutputPublishers;
use super::publisher::publisher;
use super::publisher_mismatches::{SubscribedTopic, publisher_mismatches};
use super::run_policy::RunGoals;
use super::services::{serve_enable, serve_parameters, serve_reset, serve_stop, serve_takeover};
use super::subscriptions::{subscribe_inputs, subscribe_robot_description};
use super::topic_names::Names;
use super::{logging, messages};
use crate::control::TimedChunk;
use crate::parameters::{Parameters, QosOverrides, Settings};
use crate::policy::{OpenError, Policy};
use crate::runtime::{
    ChangeError, ConfigureError, ControlLoop, Lifecycle, LifecycleState, ManagedPolicy, Monitor, NodeState,
    Reports, Shared, ShowChunk, UnexpectedExit, WatchedThread, wait_for_rest, with_causes,
};

const DIAGNOSTICS_PERIOD: Duration = Duration::from_secs(1);
/// Longest wait of one spin before the thread checks whether to stop.
const SPIN_PATIENCE: Duration = Duration::from_millis(50);
/// Period of the looks at the graph of nodes and topics.
const GRAPH_PERIOD: Duration = Duration::from_millis(500);
/// Longest wait at shutdown for the prediction under way.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// A node that runs until it is stopped.
#[derive(Debug)]
pub struct Pi0Node {
    /// The node's name and its policy, for the log.
    description: String,
    runtime: Runtime,
    state: Arc<NodeState>,
    stop_control: Arc<AtomicBool>,
    stop_spinning: Arc<AtomicBool>,
    control: WatchedThread,
    inference: Arc<Mutex<Option<WatchedThread>>>,
    goals: Arc<RunGoals>,
    spin: WatchedThread,
    ended: mpsc::UnboundedReceiver<&'static str>,
}

/// Runs the node of this process: from its ROS arguments until it is interrupted or terminated.
///
/// # Errors
/// When the parameters or the checkpoint are not whole, ROS 2 fails, or a thread exits unexpectedly.
pub fn run() -> Result<(), NodeError> {
    let _trace = logging::start()?;
    let mut node = node_of_this_process()?;
    logging::publish_on_rosout(&mut node).map_err(|source| NodeError::ros("/rosout", source))?;
    let running = Pi0Node::start(node, Settings::open_policy)?;
    running.run_until_signal()
}

/// Has the device of the node that the ROS arguments of this process name compile what its policy can ever need, for every
/// later start of the node on this machine.
///
/// # Errors
/// When the parameters or the checkpoint are not whole, or the device fails.
pub fn warm_card() -> Result<(), NodeError> {
    let _trace = logging::start()?;
    let node = node_of_this_process()?;
    let parameters = parameters_of(&node)?;
    let settings = parameters.settings();
    let mut policy = settings.open_policy().map_err(|source| ConfigureError::Policy {
        from: settings.policy_source(),
        source,
    })?;
    let started = Instant::now();
    let mut parts = 0;
    policy
        .compile_ahead(&mut |part| {
            parts += 1;
            println!("{:4.0} s: {part}", started.elapsed().as_secs_f64());
        })
        .map_err(|error| ConfigureError::WarmUp(with_causes(&error)))?;
    match parts {
        0 => println!("nothing to compile: {}", policy.info().description),
        _ => println!("{:4.0} s: done", started.elapsed().as_secs_f64()),
    }
    Ok(())
}

/// The node that the ROS arguments of this process name.
pub(super) fn node_of_this_process() -> Result<Node, NodeError> {
    Node::create(context()?, "pi0_node", "").map_err(|source| NodeError::ros("the node", source))
}

/// The process's ROS arguments. r2r panics where it cannot read them.
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
    /// which is now, unless the node is managed from outside.
    ///
    /// # Errors
    /// Every parameter that does not fit, or why there is no policy.
    pub fn start(
        mut node: Node,
        open: impl FnMut(&Settings) -> Result<Box<dyn Policy + Send>, OpenError> + Send + 'static,
    ) -> Result<Self, NodeError> {
        let parameters = parameters_of(&node)?;
        let settings = parameters.settings().clone();
        let qos = parameters.qos_overrides().clone();
        let name = node
            .fully_qualified_name()
            .map_err(|source| NodeError::ros("the node's name", source))?;
        let runtime = callback_runtime()?;
        let state = Arc::new(NodeState::new(&settings));
        let (ending, ended) = mpsc::unbounded_channel();
        let on_unexpected_exit: UnexpectedExit = Arc::new(move |name| {
            // Nobody listens once the node is stopping.
            let _ = ending.send(name);
        });

        let mut subscribed = subscribe_inputs(&mut node, runtime.handle(), &parameters, &state)?;
        subscribed.extend(subscribe_robot_description(
            &mut node,
            runtime.handle(),
            &parameters,
            &state,
        )?);
        let parameters = Arc::new(Mutex::new(parameters));
        let shape = Arc::new(Shared::new(None));
        let inference = Arc::<Mutex<Option<WatchedThread>>>::default();
        let managed = ManagedPolicy {
            open: Box::new(open),
            parameters: Arc::clone(&parameters),
            shape: Arc::clone(&shape),
            state: Arc::clone(&state),
            show_chunk: chunk_publisher(&mut node, &qos)?,
            on_unexpected_exit: Arc::clone(&on_unexpected_exit),
            inference: Arc::clone(&inference),
        };
        let lifecycle = Arc::new(Lifecycle::new(managed, transition_events(&mut node)?));
        if !settings.managed {
            change(&lifecycle, "configure")?;
        }
        serve_lifecycle(&mut node, runtime.handle(), &lifecycle)?;
        let parameters_lifecycle = Arc::clone(&lifecycle);
        let is_unconfigured = move || parameters_lifecycle.state() == LifecycleState::Unconfigured;
        serve_parameters(
            &mut node,
            runtime.handle(),
            &parameters,
            is_unconfigured,
            &shape,
            &state,
        )?;
        serve_reset(&mut node, runtime.handle(), &state)?;
        serve_enable(&mut node, runtime.handle(), &state)?;
        serve_stop(&mut node, runtime.handle(), &state)?;
        serve_takeover(&mut node, runtime.handle(), &state)?;
        let names = Names::new(&node, std::env::args())?;
        let commanded: Arc<[usize]> = settings.joint_mapping.commanded().collect();
        let goals = RunGoals::serve(&mut node, runtime.handle(), &names, &state, &commanded)?;
        let diagnostics = publisher(&mut node, &qos, "/diagnostics")?;
        runtime.spawn(publish_diagnostics(diagnostics, name.clone(), Arc::clone(&state)));

        let outputs = OutputPublishers::new(&mut node, &qos, &settings.outputs)?;
        let (stop_control, stop_spinning) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let no_thread = |source| NodeError::System {
            what: "a thread",
            source,
        };
        let control = ControlLoop {
            state: Arc::clone(&state),
            priority: settings.control_priority,
            stop: Arc::clone(&stop_control),
            commanded: commanded.to_vec(),
            axes: settings.axes(),
        };
        let control = WatchedThread::spawn("control", &on_unexpected_exit, move || {
            control.run(|trajectory| outputs.publish(&trajectory));
        })
        .map_err(no_thread)?;
        let graph = GraphWatch {
            node_name: name.clone(),
            names,
            subscribed,
            state: Arc::clone(&state),
        };
        let spinning = Arc::clone(&stop_spinning);
        let spin = WatchedThread::spawn("spin", &on_unexpected_exit, move || {
            spin(&mut node, &graph, &spinning);
        })
        .map_err(no_thread)?;
        let description = if settings.managed {
            format!("{name} is running and waits to be configured")
        } else {
            change(&lifecycle, "activate")?;
            format!("{name} is running {}", state.inference.lock().description)
        };
        Ok(Self {
            description,
            runtime,
            state,
            stop_control,
            stop_spinning,
            control,
            inference,
            goals,
            spin,
            ended,
        })
    }

    /// Runs until the process is interrupted, terminated or loses its terminal, then stops.
    ///
    /// # Errors
    /// When a thread exits unexpectedly.
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
                // A node that was started with nohup is to outlive the terminal.
                true => None,
                false => Some(signal(SignalKind::hangup()).map_err(failed)?),
            };
            // Signals end the node cleanly from here on, so the log says only now that it runs.
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
        if self.state.is_active.swap(false, Ordering::AcqRel) {
            wait_for_rest(&self.state.control, STOP_PATIENCE);
        }
        self.goals.wait_until_none_runs(STOP_PATIENCE);
        self.control.expect_exit();
        self.spin.expect_exit();
        self.stop_control.store(true, Ordering::Relaxed);
        self.control.join();
        let inference = self.inference.lock().take();
        if let Some(thread) = inference {
            thread.expect_exit();
            self.state.inputs.close();
            if !thread.join_within(STOP_PATIENCE) {
                tracing::info!("a prediction is under way and is left to end with the process");
            }
        }
        self.runtime.shutdown_timeout(STOP_PATIENCE);
        self.stop_spinning.store(true, Ordering::Relaxed);
        self.spin.join();
    }
}

/// The parameters that the node was started with.
pub(super) fn parameters_of(node: &Node) -> Result<Parameters, NodeError> {
    let given = node.params.lock().unwrap_or_else(PoisonError::into_inner);
    let overrides: Vec<_> = given
        .iter()
        .map(|(name, parameter)| (name.clone(), parameter.value.clone().into()))
        .collect();
    Parameters::from_overrides(overrides.into_iter()).map_err(NodeError::Parameters)
}

/// The threads of ROS callbacks.
fn callback_runtime() -> Result<Runtime, NodeError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("ros callbacks")
        .enable_all()
        .build()
        .map_err(|source| NodeError::System {
            what: "tokio",
            source,
        })
}

/// Publishes every chunk on `~/chunk`.
fn chunk_publisher(node: &mut Node, qos: &QosOverrides) -> Result<ShowChunk, NodeError> {
    let publisher = Mutex::new(publisher::<JointTrajectory>(node, qos, "~/chunk")?);
    Ok(Arc::new(move |chunk: &TimedChunk, joints: &[String]| {
        if let Err(error) = publisher.lock().publish(&messages::chunk(chunk, joints)) {
            tracing::debug!("a chunk could not be published on ~/chunk: {error}");
        }
    }))
}

/// Observer of who else is on the topics of the node.
struct GraphWatch {
    /// Full name.
    node_name: String,
    names: Names,
    subscribed: Vec<SubscribedTopic>,
    state: Arc<NodeState>,
}

impl GraphWatch {
    /// Looks for other publishers of the outputs, and for publishers of the inputs that cannot be received from. What was found
    /// stays as it was while the graph gives no answer.
    fn look(&self, node: &Node) {
        match other_publishers(node, &self.node_name) {
            Ok(found) => self.state.other_publishers.set(found),
            Err(error) => tracing::debug!("other publishers are not known: {error}"),
        }
        match publisher_mismatches(node, &self.names, &self.subscribed) {
            Ok(found) => self.state.mismatches.set(found),
            Err(error) => tracing::debug!("the publishers of the inputs are not known: {error}"),
        }
    }
}

/// Takes in messages and requests until `stop` is set, and watches the graph.
fn spin(node: &mut Node, graph: &GraphWatch, stop: &AtomicBool) {
    let mut looked: Option<Instant> = None;
    while !stop.load(Ordering::Relaxed) {
        node.spin_once(SPIN_PATIENCE);
        if looked.is_none_or(|looked| looked.elapsed() > GRAPH_PERIOD) {
            looked = Some(Instant::now());
            graph.look(node);
        }
    }
}

/// Requests a transition that is always valid during start-up.
fn change(lifecycle: &Lifecycle<ManagedPolicy>, label: &'static str) -> Result<(), NodeError> {
    lifecycle.change(0, label).map_err(|error| match error {
        ChangeError::Failed(error) => error.into(),
        ChangeError::InvalidTransition { .. } => unreachable!("a node that starts is {error}"),
    })
}

async fn publish_diagnostics(
    diagnostics: Publisher<DiagnosticArray>,
    node_name: String,
    state: Arc<NodeState>,
) {
    let mut monitor = Monitor::new(Instant::now());
    let mut interval = tokio::time::interval(DIAGNOSTICS_PERIOD);
    loop {
        interval.tick().await;
        let control = {
            let mut report = state.control.lock();
            let snapshot = report.clone();
            report.holds_begun.clear();
            snapshot
        };
        let clock = state.clock.report();
        let now = clock.now.unwrap_or_default();
        let statuses = monitor.statuses(&Reports {
            control,
            inference: state.inference.lock().clone(),
            inputs: state.inputs.report(),
            clock,
            mismatches: state.mismatches.get(),
        });
        let message = messages::diagnostics(now, &node_name, statuses);
        if let Err(error) = diagnostics.publish(&message) {
            tracing::warn!("diagnostics could not be published: {error}");
        }
    }
}
