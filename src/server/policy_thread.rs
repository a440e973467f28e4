//! The thread that has the policy, and the queue before it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::error::ServerError;
use crate::policy::{ActionChunk, ActionPrefix, Observation, Policy, PolicyError};

/// An observation of a client.
pub(super) struct Question {
    pub client: u64,
    pub observation: Observation,
    pub prefix: Option<ActionPrefix>,
}

/// A chunk, and how long the policy took for it.
pub(super) struct Predicted {
    pub chunk: ActionChunk,
    pub duration: Duration,
}

enum Task {
    Predict(Question, oneshot::Sender<Result<Predicted, PolicyError>>),
    Forget(u64),
}

/// Why an observation gave no chunk.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoChunk {
    #[error(
        "the queue is full: {0} observations wait already; ask again later, or give the server a longer --queue"
    )]
    QueueFull(usize),
    #[error("the server ends")]
    Ended,
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

/// The queue before the thread that has the policy.
#[derive(Clone)]
pub(super) struct PolicyQueue {
    tasks: mpsc::Sender<Task>,
    length: usize,
}

impl PolicyQueue {
    /// Starts the thread. It ends when the last copy of the queue is dropped, or with a panic of the policy; then the receiver
    /// resolves.
    pub fn start(
        policy: Box<dyn Policy + Send>,
        length: usize,
    ) -> Result<(Self, oneshot::Receiver<()>), ServerError> {
        let length = length.max(1);
        let (tasks, received) = mpsc::channel(length);
        let (alive, ended) = oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("policy".to_owned())
            .spawn(move || {
                let _alive = alive;
                run(policy, received);
            })
            .map_err(ServerError::Thread)?;
        Ok((Self { tasks, length }, ended))
    }

    /// Puts an observation into the queue; the chunk comes later.
    pub fn ask(
        &self,
        question: Question,
    ) -> Result<oneshot::Receiver<Result<Predicted, PolicyError>>, NoChunk> {
        let (answer, answered) = oneshot::channel();
        match self.tasks.try_send(Task::Predict(question, answer)) {
            Ok(()) => Ok(answered),
            Err(mpsc::error::TrySendError::Full(_)) => Err(NoChunk::QueueFull(self.length)),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(NoChunk::Ended),
        }
    }

    /// Frees what is kept for a client that has left.
    pub async fn forget(&self, client: u64) {
        // Nothing is kept any more where the thread has ended.
        let _ = self.tasks.send(Task::Forget(client)).await;
    }
}

fn run(mut policy: Box<dyn Policy + Send>, mut tasks: mpsc::Receiver<Task>) {
    while let Some(task) = tasks.blocking_recv() {
        match task {
            Task::Forget(client) => policy.forget_client(client),
            // The client has left meanwhile.
            Task::Predict(_, answer) if answer.is_closed() => {}
            Task::Predict(question, answer) => {
                let predicted = catch_unwind(AssertUnwindSafe(|| predict(&mut *policy, &question)));
                // What a panic leaves of the policy is not known.
                let Ok(predicted) = predicted else { return };
                let _ = answer.send(predicted);
            }
        }
    }
}

fn predict(policy: &mut dyn Policy, question: &Question) -> Result<Predicted, PolicyError> {
    let started = Instant::now();
    policy.select_client(question.client);
    let chunk = match &question.prefix {
        Some(prefix) => policy.predict_after(&question.observation, prefix)?,
        None => policy.predict(&question.observation)?,
    };
    Ok(Predicted {
        chunk,
        duration: started.elapsed(),
    })
}
