//! The running policy: an inference thread, a control thread, and what passes between them.
//!
//! Three clocks, three threads: subscriptions put the newest message of every input into
//! [`Inputs`](crate::observation::Inputs); the inference thread ([`InferenceLoop`]) takes the newest complete observation
//! and makes chunks; the control thread ([`ControlLoop`]) ticks at the control rate and publishes what the newest chunk
//! has for now. They share a slot each, and no lock is held while any of them works. Nothing here needs ROS 2.

mod control_loop;
mod control_report;
mod control_status;
mod inference_loop;
mod inference_report;
mod inference_status;
mod input_status;
mod lifecycle;
mod mailbox;
mod managed_policy;
mod monitor;
mod node_state;
mod rest;
mod run;
mod run_report;
mod run_request;
mod status;
mod thread_priority;
mod watched_thread;
mod with_causes;

pub use control_loop::ControlLoop;
pub use control_report::ControlReport;
pub use inference_loop::InferenceLoop;
pub use inference_report::InferenceReport;
pub use lifecycle::{
    ChangeError, Lifecycle, LifecycleState, Managed, TRANSITIONS, Transition, TransitionEvent,
};
pub use mailbox::{ChunkSlot, NewChunk, NewestPrediction, Shared};
pub use managed_policy::{ConfigureError, ManagedPolicy, OpenPolicy, ShowChunk, wait_for_rest};
pub use monitor::{Monitor, Reports};
pub use node_state::{GoalOver, NodeState};
pub use run::{Run, RunLook};
pub use run_report::{RunCounts, RunOutcome, RunProgress, RunStatus, Termination};
pub use run_request::{RunRefusal, RunRequest};
pub use status::{Level, Status};
pub use thread_priority::raise_this_thread;
pub use watched_thread::{UnexpectedExit, WatchedThread};
pub use with_causes::with_causes;
