//! One client: its observations and the answers to them, one after the other.

use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::policy_thread::{NoChunk, Question};
use super::shared::Shared;
use crate::policy::{ActionPrefix, ActionPrefixError, Observation};
use crate::protocol::{Answer, DecodeError, DecodeLimits, ObservationKeyError, Timing, decode, encode};

/// Why an observation has no answer.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Message(#[from] DecodeError),
    #[error(transparent)]
    Observation(#[from] ObservationKeyError),
    #[error("the observation has no prompt at {0:?}, and the server has no --prompt for such observations")]
    NoPrompt(String),
    #[error(transparent)]
    Prefix(#[from] ActionPrefixError),
    #[error(transparent)]
    NoChunk(#[from] NoChunk),
}

/// Serves a client until it leaves or is dropped, and returns why.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    socket: WebSocketStream<S>,
    client: u64,
    shared: &Shared,
    mut is_stopped: watch::Receiver<()>,
) -> String {
    let mut session = Session {
        socket,
        client,
        shared,
        next: None,
        last_heard: Instant::now(),
        previous_total: None,
    };
    tokio::select! {
        why = session.run() => return why,
        // It only ends.
        _ = is_stopped.changed() => {}
    }
    session.close(CloseCode::Away, "the server ends").await;
    "the server ends".to_owned()
}

struct Session<'a, S> {
    socket: WebSocketStream<S>,
    client: u64,
    shared: &'a Shared,
    /// An observation that came while the one before was answered.
    next: Option<Bytes>,
    /// When the newest whole message came.
    last_heard: Instant,
    previous_total: Option<Duration>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<'_, S> {
    async fn run(&mut self) -> String {
        if let Err(why) = self.send(Message::binary(self.shared.metadata.clone())).await {
            return why;
        }
        loop {
            let message = match self.next.take() {
                Some(message) => message,
                None => match self.receive().await {
                    Ok(message) => message,
                    Err(why) => return why,
                },
            };
            let arrived = Instant::now();
            let answer = match self.answer(&message, arrived).await {
                Ok(answer) => answer,
                Err(Ended::Left(why)) => return why,
                Err(Ended::Problem(problem)) => return self.refuse(&problem).await,
            };
            // Its memory is not needed while the answer leaves.
            drop(message);
            if let Err(why) = self.send(Message::binary(answer)).await {
                return why;
            }
            self.previous_total = Some(arrived.elapsed());
        }
    }

    /// The next observation. Pings the client meanwhile, and gives it up after too long a silence.
    async fn receive(&mut self) -> Result<Bytes, String> {
        let patience = self.shared.options.client_patience;
        loop {
            let ping_due = Instant::now() + patience / 3;
            let give_up = self.last_heard + patience;
            tokio::select! {
                message = self.socket.next() => {
                    if let Some(message) = self.heard(message).await? {
                        return Ok(message);
                    }
                }
                () = sleep_until(ping_due.min(give_up).into()) => {
                    if self.last_heard.elapsed() >= patience {
                        self.close(CloseCode::Policy, "no message for too long").await;
                        return Err(format!("it sent no whole message for {} s", patience.as_secs_f64()));
                    }
                    self.send(Message::Ping(Bytes::new())).await?;
                }
            }
        }
    }

    /// The observation of a message; none for one of another kind.
    async fn heard(&mut self, message: Option<Result<Message, Error>>) -> Result<Option<Bytes>, String> {
        let message = match message {
            None => return Err("the connection ended".to_owned()),
            Some(Err(Error::Capacity(CapacityError::MessageTooLong { size, max_size }))) => {
                self.close(CloseCode::Size, "the message is too long").await;
                return Err(format!(
                    "it sent a message of {size} bytes, expected at most {max_size}"
                ));
            }
            Some(Err(error)) => return Err(error.to_string()),
            Some(Ok(message)) => message,
        };
        self.last_heard = Instant::now();
        match message {
            Message::Binary(bytes) => Ok(Some(bytes)),
            Message::Text(_) => Err("it sent a text, expected observations in msgpack".to_owned()),
            Message::Close(_) => Err("it closed the connection".to_owned()),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(None),
        }
    }

    /// Answers an observation. Pings are answered meanwhile, and a client that leaves is not predicted for.
    async fn answer(&mut self, message: &[u8], arrived: Instant) -> Result<Vec<u8>, Ended> {
        let question = self.question(message)?;
        let mut answered = self.shared.queue.ask(question).map_err(Problem::from)?;
        let predicted = loop {
            tokio::select! {
                predicted = &mut answered => break predicted,
                message = self.socket.next(), if self.next.is_none() => {
                    self.next = self.heard(message).await.map_err(Ended::Left)?;
                }
            }
        };
        let predicted = predicted
            .map_err(|_| NoChunk::Ended)
            .and_then(|predicted| Ok(predicted?));
        let predicted = predicted.map_err(Problem::from)?;
        let answer = Answer {
            shape: [predicted.chunk.horizon(), predicted.chunk.action_dim()],
            actions: predicted.chunk.values().to_vec(),
            timing: Timing {
                server: arrived.elapsed(),
                previous_total: self.previous_total,
                policy: predicted.duration,
            },
        };
        self.last_heard = Instant::now();
        Ok(encode(&answer.to_value()))
    }

    fn question(&self, message: &[u8]) -> Result<Question, Problem> {
        let options = &self.shared.options;
        let value = decode(message, DecodeLimits::default())?;
        let prompt = options
            .keys
            .prompt(&value)?
            .or_else(|| options.default_prompt.clone());
        Ok(Question {
            client: self.client,
            prefix: ActionPrefix::from_observation(&value, self.shared.action_dim)?,
            observation: Observation {
                images: options.keys.images(&value)?,
                state: options.keys.state(&value)?,
                prompt: prompt.ok_or_else(|| Problem::NoPrompt(options.keys.prompt.clone()))?,
            },
        })
    }

    /// Tells the client in a text what is wrong and closes the connection, both as openpi's server.
    async fn refuse(&mut self, problem: &Problem) -> String {
        let (code, reason) = match problem {
            Problem::NoChunk(NoChunk::QueueFull(_)) => (CloseCode::Again, "the queue is full"),
            Problem::NoChunk(NoChunk::Ended) => (CloseCode::Away, "the server ends"),
            _ => (
                CloseCode::Error,
                "Internal server error. Traceback included in previous frame.",
            ),
        };
        let text = problem.to_string();
        if let Err(why) = self.send(Message::text(text.clone())).await {
            return why;
        }
        self.close(code, reason).await;
        text
    }

    async fn send(&mut self, message: Message) -> Result<(), String> {
        match timeout(self.shared.options.client_patience, self.socket.send(message)).await {
            Ok(sent) => sent.map_err(|error| error.to_string()),
            Err(_) => Err("it does not take its answer".to_owned()),
        }
    }

    async fn close(&mut self, code: CloseCode, reason: &'static str) {
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        let patience = self.shared.options.client_patience.min(Duration::from_secs(1));
        // The connection ends in any case.
        let _ = timeout(patience, async {
            self.socket.close(Some(frame)).await?;
            while let Some(Ok(_)) = self.socket.next().await {}
            Ok::<_, Error>(())
        })
        .await;
    }
}

enum Ended {
    Left(String),
    Problem(Problem),
}

impl From<Problem> for Ended {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}
