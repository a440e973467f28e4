//! One input: its newest messages and its state.

use std::mem::{Discriminant, discriminant};
use std::time::{Duration, Instant};

use super::InputProblem;
use super::history::History;

/// State of an input, for diagnostics.
#[derive(Clone, Debug, PartialEq)]
pub struct InputReport {
    /// Kind of the input.
    pub kind: InputKind,
    /// Topic of the input.
    pub topic: String,
    /// Time since the newest good message came.
    pub age: Option<Duration>,
    /// How much older than the joint positions its part of the newest observation is, in seconds.
    pub behind_s: Option<f64>,
    /// Problem of the newest message, if any.
    pub problem: Option<String>,
    /// The prompt, [shortened](super::shortened); none of another input.
    pub prompt: Option<String>,
}

/// Kind of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// Camera, by its name.
    Camera(String),
    /// Joint positions on a single topic.
    JointStates,
    /// One of several topics.
    SomeJointStates(String),
    /// Pose, by its topic or frame.
    Pose(String),
    /// Extra state, by its topic.
    ExtraState(String),
    /// Prompt.
    Prompt,
}

impl std::fmt::Display for InputKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Camera(name) => write!(formatter, "camera {name}"),
            Self::JointStates => write!(formatter, "joint states"),
            Self::SomeJointStates(topic) => write!(formatter, "joint states {topic}"),
            Self::Pose(source) => write!(formatter, "pose {source}"),
            Self::ExtraState(topic) => write!(formatter, "extra state {topic}"),
            Self::Prompt => write!(formatter, "prompt"),
        }
    }
}

/// The newest good messages of one input, and what is wrong with the newest one.
#[derive(Debug)]
pub struct Input<T> {
    kind: InputKind,
    topic: String,
    pub messages: History<T>,
    /// When the newest good message came.
    pub received: Option<Instant>,
    pub problem: Option<InputProblem>,
    logged: Vec<Discriminant<InputProblem>>,
}

impl<T> Input<T> {
    pub fn new(kind: InputKind, topic: &str, limit: usize) -> Self {
        Self {
            kind,
            topic: topic.to_owned(),
            messages: History::new(limit),
            received: None,
            problem: None,
            logged: Vec::new(),
        }
    }

    pub fn kind(&self) -> &InputKind {
        &self.kind
    }

    /// Takes a message in, and answers whether it was good. Each kind of problem is logged once until a good
    /// message comes.
    pub fn take(&mut self, message: Result<T, InputProblem>, stamp: Duration) -> bool {
        match message {
            Ok(message) => {
                if self.problem.take().is_some() {
                    tracing::info!("{} on {}: good again", self.kind, self.topic);
                }
                self.logged.clear();
                self.messages.push(stamp, message);
                self.received = Some(Instant::now());
                true
            }
            Err(problem) => {
                let cause = discriminant(&problem);
                if !self.logged.contains(&cause) {
                    self.logged.push(cause);
                    tracing::warn!(
                        "{} on {}: {problem}; no actions until a good message comes",
                        self.kind,
                        self.topic
                    );
                }
                self.problem = Some(problem);
                false
            }
        }
    }

    /// The message nearest to `stamp`, at most `slop` from it; the newest one without a slop.
    pub fn near(&self, stamp: Duration, slop: Option<Duration>) -> Option<(Duration, &T)> {
        if self.problem.is_some() {
            return None;
        }
        match slop {
            Some(slop) => self.messages.nearest(stamp, slop),
            None => self.messages.newest(),
        }
    }

    pub fn report(&self, behind_s: Option<f64>) -> InputReport {
        InputReport {
            kind: self.kind.clone(),
            topic: self.topic.clone(),
            age: self.received.map(|received| received.elapsed()),
            behind_s,
            problem: self.problem.as_ref().map(InputProblem::to_string),
            prompt: None,
        }
    }

    pub fn forget(&mut self) {
        self.messages.clear();
        self.received = None;
    }
}
