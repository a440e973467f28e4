//! The state that the threads of a node share.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;

use super::control_report::ControlReport;
use super::inference_report::InferenceReport;
use super::mailbox::{ChunkSlot, Shared};
use crate::control::{Command, DescribedLimits, Takeover};
use crate::observation::{Clock, Feed, Inputs};
use crate::parameters::{RuntimeSettings, Settings};

/// The end of the run of an action goal. It holds the robot until the next prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoalOver {
    /// Number of the empty prompt that the run left behind.
    pub prompt_generation: u64,
    /// How the run ended, in words.
    pub detail: String,
}

/// The state that inference, control, subscriptions and services share.
#[derive(Debug)]
pub struct NodeState {
    /// Clock of the stamps.
    pub clock: Clock,
    /// Newest messages of every input.
    pub inputs: Inputs,
    /// Newest chunk, on its way from inference to control.
    pub chunks: ChunkSlot,
    /// Settings that can change while the node runs.
    pub settings: Shared<RuntimeSettings>,
    /// State set by the services `~/enable` and `~/stop`.
    pub command: Shared<Command>,
    /// End of the newest run of an action goal, if there was one.
    pub goal_over: Shared<Option<GoalOver>>,
    /// State set by the service `~/takeover`.
    pub takeover: Shared<Takeover>,
    /// Whether the managed node is active.
    pub is_active: AtomicBool,
    /// Limits of the robot's description.
    pub described_limits: Shared<DescribedLimits>,
    /// See [`SafetyInputs::other_publishers`](crate::control::SafetyInputs::other_publishers).
    pub other_publishers: Shared<Option<String>>,
    /// See [`SafetyInputs::server_lost`](crate::control::SafetyInputs::server_lost).
    pub server_lost: Shared<Option<String>>,
    /// Publishers that the node cannot receive from, in words, by the topic as the parameters have it.
    pub mismatches: Shared<BTreeMap<String, String>>,
    /// Report of the control thread.
    pub control: Mutex<ControlReport>,
    /// Report of the inference thread.
    pub inference: Mutex<InferenceReport>,
}

impl NodeState {
    /// State of a node that is not configured and has received nothing but its prompt.
    pub fn new(settings: &Settings) -> Self {
        let clock = if settings.use_sim_time {
            Clock::simulated()
        } else {
            Clock::system()
        };
        let inputs = Inputs::new(&settings.inputs, &settings.joint_names);
        inputs.take_prompt(&settings.prompt);
        let state = Self::of(clock, inputs, settings.runtime.clone());
        if !settings.auto_start {
            state.command.set(Command::Disabled);
        }
        state
    }

    /// State of an enabled node with this clock, these inputs and settings.
    pub fn of(clock: Clock, inputs: Inputs, settings: RuntimeSettings) -> Self {
        Self {
            clock,
            inputs,
            chunks: ChunkSlot::default(),
            settings: Shared::new(settings),
            command: Shared::new(Command::Enabled),
            goal_over: Shared::default(),
            takeover: Shared::default(),
            is_active: AtomicBool::new(false),
            described_limits: Shared::default(),
            other_publishers: Shared::default(),
            server_lost: Shared::default(),
            mismatches: Shared::default(),
            control: Mutex::default(),
            inference: Mutex::new(InferenceReport::unconfigured()),
        }
    }

    /// Makes everything void that was received before, but for the prompt.
    pub fn reset(&self) {
        self.feed().reset();
    }

    /// Entry of all messages into the inputs.
    pub fn feed(&self) -> Feed<'_> {
        Feed {
            inputs: &self.inputs,
            clock: &self.clock,
            max_age: Some(self.settings.get().control.supervision.max_age),
        }
    }
}
