//! The states of a managed node, and the ways between them: the ROS 2 design article "Managed nodes".

use std::sync::Mutex;

use super::lock;

/// A state that a node stays in, or is in on the way to one. The numbers are those of `lifecycle_msgs/State`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LifecycleState {
    Unconfigured = 1,
    Inactive = 2,
    Active = 3,
    Finalized = 4,
    Configuring = 10,
    CleaningUp = 11,
    ShuttingDown = 12,
    Activating = 13,
    Deactivating = 14,
}

/// A way between two states that a node stays in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// As in `lifecycle_msgs/Transition`.
    pub id: u8,
    pub label: &'static str,
    pub start: LifecycleState,
    /// Where the node is while it does what the transition asks for.
    pub through: LifecycleState,
    pub goal: LifecycleState,
}

/// Every way that whoever manages the node can ask for.
pub const TRANSITIONS: [Transition; 7] = {
    use LifecycleState::{
        Activating, Active, CleaningUp, Configuring, Deactivating, Finalized, Inactive, ShuttingDown,
        Unconfigured,
    };
    const fn way(
        id: u8,
        label: &'static str,
        start: LifecycleState,
        through: LifecycleState,
        goal: LifecycleState,
    ) -> Transition {
        Transition {
            id,
            label,
            start,
            through,
            goal,
        }
    }
    [
        way(1, "configure", Unconfigured, Configuring, Inactive),
        way(2, "cleanup", Inactive, CleaningUp, Unconfigured),
        way(3, "activate", Inactive, Activating, Active),
        way(4, "deactivate", Active, Deactivating, Inactive),
        way(5, "shutdown", Unconfigured, ShuttingDown, Finalized),
        way(6, "shutdown", Inactive, ShuttingDown, Finalized),
        way(7, "shutdown", Active, ShuttingDown, Finalized),
    ]
};

/// A node went from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransitionEvent {
    pub id: u8,
    pub label: &'static str,
    pub start: LifecycleState,
    pub goal: LifecycleState,
}

/// What a node does on its ways. Only the first can fail.
pub trait Managed {
    type Error;
    /// # Errors
    /// Why the node stays unconfigured.
    fn configure(&mut self) -> Result<(), Self::Error>;
    fn activate(&mut self);
    fn deactivate(&mut self);
    fn cleanup(&mut self);
    /// From any state.
    fn shutdown(&mut self);
}

/// Why a node is where it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError<E> {
    #[error("transition {id} {label:?} from the state {}, expected {possible}", .from.label())]
    NoSuchWay {
        id: u8,
        label: String,
        from: LifecycleState,
        possible: String,
    },
    #[error("{0}")]
    Failed(E),
}

/// A node in its state.
pub struct Lifecycle<M> {
    state: Mutex<LifecycleState>,
    managed: Mutex<M>,
    report: Box<dyn Fn(TransitionEvent) + Send + Sync>,
}

impl LifecycleState {
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

    /// As rcl names it.
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

    /// The ways that start here; none while the node is on one.
    pub fn transitions(self) -> impl Iterator<Item = &'static Transition> {
        TRANSITIONS
            .iter()
            .filter(move |transition| transition.start == self)
    }
}

impl<M: Managed> Lifecycle<M> {
    /// A node that is unconfigured. `report` is told of every change of state.
    pub fn new(managed: M, report: impl Fn(TransitionEvent) + Send + Sync + 'static) -> Self {
        Self {
            state: Mutex::new(LifecycleState::Unconfigured),
            managed: Mutex::new(managed),
            report: Box::new(report),
        }
    }

    pub fn state(&self) -> LifecycleState {
        *lock(&self.state)
    }

    /// Goes a way by its name, or by its number where there is no name. Returns when the node is there.
    ///
    /// # Errors
    /// There is no such way from its state, or it failed.
    pub fn change(&self, id: u8, label: &str) -> Result<(), ChangeError<M::Error>> {
        let transition = self.set_out(id, label)?;
        let mut managed = lock(&self.managed);
        let mut done = Ok(());
        match transition.through {
            LifecycleState::Configuring => done = managed.configure(),
            LifecycleState::Activating => managed.activate(),
            LifecycleState::Deactivating => managed.deactivate(),
            LifecycleState::CleaningUp => managed.cleanup(),
            _ => managed.shutdown(),
        }
        drop(managed);
        // The numbers and names that rcl reports for every way alike.
        let (id, label, goal) = match done {
            Ok(()) => (97, "transition_success", transition.goal),
            Err(_) => (98, "transition_failure", transition.start),
        };
        *lock(&self.state) = goal;
        (self.report)(TransitionEvent {
            id,
            label,
            start: transition.through,
            goal,
        });
        done.map_err(ChangeError::Failed)
    }

    fn set_out(&self, id: u8, label: &str) -> Result<&'static Transition, ChangeError<M::Error>> {
        let mut state = lock(&self.state);
        let asked_for = |transition: &&Transition| match label {
            "" => transition.id == id,
            label => transition.label == label,
        };
        let Some(transition) = state.transitions().find(asked_for) else {
            let possible: Vec<&str> = state.transitions().map(|transition| transition.label).collect();
            return Err(ChangeError::NoSuchWay {
                id,
                label: label.to_owned(),
                from: *state,
                possible: match possible[..] {
                    [] => "none".to_owned(),
                    _ => format!("one of {}", possible.join(", ")),
                },
            });
        };
        *state = transition.through;
        drop(state);
        (self.report)(TransitionEvent {
            id: transition.id,
            label: transition.label,
            start: transition.start,
            goal: transition.through,
        });
        Ok(transition)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    use super::*;

    /// Notes what it is told to do.
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
            match self.has_checkpoint {
                true => Ok(()),
                false => Err("no checkpoint".to_owned()),
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
            lock(&seen).push((event.label, event.goal));
        });
        (lifecycle, events)
    }

    #[test]
    fn a_node_goes_from_unconfigured_to_active_and_back_and_tells_of_every_change() {
        let (node, events) = lifecycle(true);
        for label in ["configure", "activate", "deactivate", "cleanup", "shutdown"] {
            node.change(0, label).unwrap();
        }
        assert_eq!(node.state(), LifecycleState::Finalized);
        assert_eq!(
            lock(&node.managed).done,
            ["configure", "activate", "deactivate", "cleanup", "shutdown"]
        );
        let first_four = [
            ("configure", LifecycleState::Configuring),
            ("transition_success", LifecycleState::Inactive),
            ("activate", LifecycleState::Activating),
            ("transition_success", LifecycleState::Active),
        ];
        assert_eq!(lock(&events)[..4], first_four);
    }

    #[test]
    fn a_way_that_fails_leaves_the_node_where_it_was_with_the_reason() {
        let (node, events) = lifecycle(false);
        let failed = ChangeError::Failed("no checkpoint".to_owned());
        assert_eq!(node.change(1, ""), Err(failed));
        assert_eq!(node.state(), LifecycleState::Unconfigured);
        assert_eq!(
            lock(&events)[1],
            ("transition_failure", LifecycleState::Unconfigured)
        );
    }

    #[test]
    fn a_way_that_does_not_start_here_is_refused_with_those_that_do() {
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
        assert_eq!(lock(&events).len(), 2);
    }

    #[test]
    fn nothing_else_is_begun_while_the_node_is_on_its_way() {
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
