//! The state machine of a managed node, as the ROS 2 design article "Managed nodes" defines it.

use parking_lot::Mutex;

/// A primary or transition state of a node. The numbers are those of `lifecycle_msgs/State`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LifecycleState {
    /// No policy is loaded.
    Unconfigured = 1,
    /// The policy is loaded, and the robot is not moved.
    Inactive = 2,
    /// The robot is moved.
    Active = 3,
    /// The node is about to end.
    Finalized = 4,
    /// Transition from unconfigured to inactive.
    Configuring = 10,
    /// Transition from inactive to unconfigured.
    CleaningUp = 11,
    /// Transition to finalized.
    ShuttingDown = 12,
    /// Transition from inactive to active.
    Activating = 13,
    /// Transition from active to inactive.
    Deactivating = 14,
}

/// A transition between two primary states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// As in `lifecycle_msgs/Transition`.
    pub id: u8,
    /// Label that rcl has for it.
    pub label: &'static str,
    /// State before it.
    pub start: LifecycleState,
    /// The state of the node while the transition is under way.
    pub transition_state: LifecycleState,
    /// State after it.
    pub goal: LifecycleState,
}

/// Every transition that can be requested.
pub const TRANSITIONS: [Transition; 7] = {
    use LifecycleState::{
        Activating, Active, CleaningUp, Configuring, Deactivating, Finalized, Inactive, ShuttingDown,
        Unconfigured,
    };
    const fn transition(
        id: u8,
        label: &'static str,
        start: LifecycleState,
        transition_state: LifecycleState,
        goal: LifecycleState,
    ) -> Transition {
        Transition {
            id,
            label,
            start,
            transition_state,
            goal,
        }
    }
    [
        transition(1, "configure", Unconfigured, Configuring, Inactive),
        transition(2, "cleanup", Inactive, CleaningUp, Unconfigured),
        transition(3, "activate", Inactive, Activating, Active),
        transition(4, "deactivate", Active, Deactivating, Inactive),
        transition(5, "shutdown", Unconfigured, ShuttingDown, Finalized),
        transition(6, "shutdown", Inactive, ShuttingDown, Finalized),
        transition(7, "shutdown", Active, ShuttingDown, Finalized),
    ]
};

/// A change of a node's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransitionEvent {
    /// Number that rcl has for it.
    pub id: u8,
    /// Label that rcl has for it.
    pub label: &'static str,
    /// State before it.
    pub start: LifecycleState,
    /// State after it.
    pub goal: LifecycleState,
}

/// The work of a node's transitions. Only `configure` can fail.
pub trait Managed {
    /// Reason why `configure` fails.
    type Error;
    /// # Errors
    /// Why the node stays unconfigured.
    fn configure(&mut self) -> Result<(), Self::Error>;
    /// Lets the robot move.
    fn activate(&mut self);
    /// Brings the robot to rest.
    fn deactivate(&mut self);
    /// Frees what `configure` made.
    fn cleanup(&mut self);
    /// Ends the node from any primary state.
    fn shutdown(&mut self);
}

/// Why a transition did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError<E> {
    /// Transition that does not start in the state of the node.
    #[error("transition {id} {label:?} from the state {}, expected {possible}", .from.label())]
    InvalidTransition {
        /// Number of the requested transition.
        id: u8,
        /// Label of the requested transition.
        label: String,
        /// State of the node.
        from: LifecycleState,
        /// Transitions that are possible.
        possible: String,
    },
    /// Transition that failed.
    #[error("{0}")]
    Failed(E),
}

/// A node and its state.
pub struct Lifecycle<M> {
    state: Mutex<LifecycleState>,
    managed: Mutex<M>,
    report: Box<dyn Fn(TransitionEvent) + Send + Sync>,
}

impl LifecycleState {
    /// Every state.
    pub const ALL: [Self; 9] = [
        Self::Unconfigured,
        Self::Inactive,
        Self::Active,
        Self::Finalized,
        Self::Configuring,
        Self::CleaningUp,
        Self::ShuttingDown,
        Self::Activating,
        Self::Deactivating,
    ];

    /// The name that rcl has for it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unconfigured => "unconfigured",
            Self::Inactive => "inactive",
            Self::Active => "active",
            Self::Finalized => "finalized",
            Self::Configuring => "configuring",
            Self::CleaningUp => "cleaningup",
            Self::ShuttingDown => "shuttingdown",
            Self::Activating => "activating",
            Self::Deactivating => "deactivating",
        }
    }

    /// The transitions that start in this state; none from a transition state.
    pub fn transitions(self) -> impl Iterator<Item = &'static Transition> {
        TRANSITIONS
            .iter()
            .filter(move |transition| transition.start == self)
    }
}

impl<M: Managed> Lifecycle<M> {
    /// An unconfigured node. `report` receives every change of state.
    pub fn new(managed: M, report: impl Fn(TransitionEvent) + Send + Sync + 'static) -> Self {
        Self {
            state: Mutex::new(LifecycleState::Unconfigured),
            managed: Mutex::new(managed),
            report: Box::new(report),
        }
    }

    /// Current state.
    pub fn state(&self) -> LifecycleState {
        *self.state.lock()
    }

    /// Makes a transition, given by its label or, where that is empty, by its number. Returns when it is complete.
    ///
    /// # Errors
    /// When the transition does not start in the node's state, or fails.
    pub fn change(&self, id: u8, label: &str) -> Result<(), ChangeError<M::Error>> {
        let transition = self.begin(id, label)?;
        let mut managed = self.managed.lock();
        let mut done = Ok(());
        match transition.transition_state {
            LifecycleState::Configuring => done = managed.configure(),
            LifecycleState::Activating => managed.activate(),
            LifecycleState::Deactivating => managed.deactivate(),
            LifecycleState::CleaningUp => managed.cleanup(),
            _ => managed.shutdown(),
        }
        drop(managed);
        // The numbers and labels that rcl reports for every transition alike.
        let (id, label, goal) = match done {
            Ok(()) => (97, "transition_success", transition.goal),
            Err(_) => (98, "transition_failure", transition.start),
        };
        *self.state.lock() = goal;
        (self.report)(TransitionEvent {
            id,
            label,
            start: transition.transition_state,
            goal,
        });
        done.map_err(ChangeError::Failed)
    }

    fn begin(&self, id: u8, label: &str) -> Result<&'static Transition, ChangeError<M::Error>> {
        let mut state = self.state.lock();
        let asked_for = |transition: &&Transition| match label {
            "" => transition.id == id,
            label => transition.label == label,
        };
        let Some(transition) = state.transitions().find(asked_for) else {
            let possible: Vec<&str> = state.transitions().map(|transition| transition.label).collect();
            return Err(ChangeError::InvalidTransition {
                id,
                label: label.to_owned(),
                from: *state,
                possible: match possible[..] {
                    [] => "none".to_owned(),
                    _ => format!("one of {}", possible.join(", ")),
                },
            });
        };
        *state = transition.transition_state;
        drop(state);
        (self.report)(TransitionEvent {
            id: transition.id,
            label: transition.label,
            start: transition.start,
            goal: transition.transition_state,
        });
        Ok(transition)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    use super::*;

    /// A node that notes its transitions.
    struct Noting {
        done: Vec<&'static str>,
        has_checkpoint: bool,
    }

    impl Noting {
        fn note(&mut self, what: &'static str) {
            self.done.push(what);
        }
    }

    impl Managed for Noting {
        type Error = String;
        fn configure(&mut self) -> Result<(), String> {
            self.note("configure");
            if self.has_checkpoint {
                Ok(())
            } else {
                Err("no checkpoint".to_owned())
            }
        }
        fn activate(&mut self) {
            self.note("activate");
        }
        fn deactivate(&mut self) {
            self.note("deactivate");
        }
        fn cleanup(&mut self) {
            self.note("cleanup");
        }
        fn shutdown(&mut self) {
            self.note("shutdown");
        }
    }

    type Noted = Arc<Mutex<Vec<(&'static str, LifecycleState)>>>;

    fn lifecycle(has_checkpoint: bool) -> (Lifecycle<Noting>, Noted) {
        let noting = Noting {
            done: Vec::new(),
            has_checkpoint,
        };
        let events = Noted::default();
        let seen = Arc::clone(&events);
        let lifecycle = Lifecycle::new(noting, move |event| {
            seen.lock().push((event.label, event.goal));
        });
        (lifecycle, events)
    }

    #[test]
    fn a_node_goes_from_unconfigured_to_active_and_back_and_reports_every_change() {
        let (node, events) = lifecycle(true);
        for label in ["configure", "activate", "deactivate", "cleanup", "shutdown"] {
            node.change(0, label).unwrap();
        }
        assert_eq!(node.state(), LifecycleState::Finalized);
        assert_eq!(
            node.managed.lock().done,
            ["configure", "activate", "deactivate", "cleanup", "shutdown"]
        );
        let first_four = [
            ("configure", LifecycleState::Configuring),
            ("transition_success", LifecycleState::Inactive),
            ("activate", LifecycleState::Activating),
            ("transition_success", LifecycleState::Active),
        ];
        assert_eq!(events.lock()[..4], first_four);
    }

    #[test]
    fn a_transition_that_fails_leaves_the_node_where_it_was_with_the_reason() {
        let (node, events) = lifecycle(false);
        let failed = ChangeError::Failed("no checkpoint".to_owned());
        assert_eq!(node.change(1, ""), Err(failed));
        assert_eq!(node.state(), LifecycleState::Unconfigured);
        assert_eq!(
            events.lock()[1],
            ("transition_failure", LifecycleState::Unconfigured)
        );
    }

    #[test]
    fn a_transition_that_does_not_start_here_is_refused_with_those_that_do() {
        let (node, events) = lifecycle(true);
        let refused = node.change(3, "activate").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "transition 3 \"activate\" from the state unconfigured, expected one of configure, shutdown"
        );
        assert!(node.change(200, "").is_err());
        node.change(5, "").unwrap();
        assert!(
            node.change(1, "")
                .unwrap_err()
                .to_string()
                .ends_with("expected none")
        );
        assert_eq!(events.lock().len(), 2);
    }

    #[test]
    fn nothing_else_begins_during_a_transition() {
        struct Waits(std::sync::mpsc::Receiver<()>);
        impl Managed for Waits {
            type Error = std::sync::mpsc::RecvError;
            fn configure(&mut self) -> Result<(), Self::Error> {
                self.0.recv()
            }
            fn activate(&mut self) {}
            fn deactivate(&mut self) {}
            fn cleanup(&mut self) {}
            fn shutdown(&mut self) {}
        }
        let (go_on, waits) = channel();
        let (arrived, configuring) = channel();
        let node = Lifecycle::new(Waits(waits), move |event| {
            // Nobody listens any more when the node is configured.
            let _ = arrived.send(event.goal);
        });
        std::thread::scope(|scope| {
            let configured = scope.spawn(|| node.change(1, ""));
            assert_eq!(configuring.recv(), Ok(LifecycleState::Configuring));
            assert!(node.change(0, "shutdown").is_err());
            assert_eq!(node.state(), LifecycleState::Configuring);
            go_on.send(()).unwrap();
            assert_eq!(configured.join().unwrap(), Ok(()));
        });
        assert_eq!(node.state(), LifecycleState::Inactive);
    }
}
