//! The thread that keeps the connection to a server.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::super::ServerReport;
use super::super::remote_error::RemoteError;
use super::super::remote_options::RemoteOptions;
use super::address::Address;
use super::connection::{Connection, Failure};
use crate::protocol::{Answer, Metadata};

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// Longest time between two pings: a server may drop a client that is silent for longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Longest wait for a connection that is made again, and for an observation meanwhile.
const RECONNECT_PATIENCE: Duration = Duration::from_secs(1);

/// The first connection to a server.
pub(super) struct FirstContact {
    address: Address,
    connection: Connection,
    metadata: Option<Metadata>,
}

impl FirstContact {
    pub fn make(address: Address, deadline: Instant) -> Result<Self, RemoteError> {
        let opened = Connection::open(&address, deadline);
        let (connection, metadata) = opened.map_err(|failure| in_words(&address, failure))?;
        Ok(Self {
            address,
            connection,
            metadata,
        })
    }

    pub fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }

    /// Starts the thread that keeps the connection.
    pub fn keep(self, options: &RemoteOptions) -> Link {
        let (requests, received) = channel();
        let report = Arc::<Mutex<Option<ServerReport>>>::default();
        let keeper = Keeper {
            address: self.address.clone(),
            metadata: self.metadata,
            connection: Some(self.connection),
            max_silence: options.max_silence,
            report: Arc::clone(&report),
            reason: Failure::Lost(String::new()),
            is_lost: false,
            next_attempt: Instant::now(),
            wait: FIRST_WAIT,
        };
        // It ends when the link does.
        std::thread::spawn(move || keeper.run(&received));
        Link {
            address: self.address,
            requests,
            report,
        }
    }
}

fn in_words(address: &Address, failure: Failure) -> RemoteError {
    let server = address.text.clone();
    match failure {
        Failure::Lost(reason) => RemoteError::Lost { server, reason },
        Failure::Refused(reason) => RemoteError::Refused { server, reason },
    }
}

struct Request {
    message: Vec<u8>,
    deadline: Instant,
    answer: SyncSender<Result<Answer, Failure>>,
}

/// The connection to a server, kept by a thread of its own: it asks whether the server still lives while there is no request, and
/// connects again after waits that double.
pub(super) struct Link {
    address: Address,
    requests: Sender<Request>,
    report: Arc<Mutex<Option<ServerReport>>>,
}

impl Link {
    /// Sends an observation, and waits for its answer no longer than `patience`. An answer that comes later is never seen: the
    /// connection ends with it.
    pub fn request(&self, message: Vec<u8>, patience: Duration) -> Result<Answer, RemoteError> {
        let (answer, answered) = sync_channel(1);
        let request = Request {
            message,
            deadline: Instant::now() + patience,
            answer,
        };
        let ended = |_| in_words(&self.address, Failure::Lost("its thread has ended".to_owned()));
        self.requests.send(request).map_err(|_| ended(()))?;
        let result = answered.recv().map_err(|_| ended(()))?;
        result.map_err(|failure| in_words(&self.address, failure))
    }

    /// Sets who is told that the server is lost or there again.
    pub fn report_to(&self, report: ServerReport) {
        *self.report.lock() = Some(report);
    }
}

struct Keeper {
    address: Address,
    metadata: Option<Metadata>,
    connection: Option<Connection>,
    max_silence: Duration,
    report: Arc<Mutex<Option<ServerReport>>>,
    /// Why there is no connection.
    reason: Failure,
    is_lost: bool,
    next_attempt: Instant,
    wait: Duration,
}

impl Keeper {
    fn run(mut self, requests: &Receiver<Request>) {
        loop {
            let pause = match self.connection {
                Some(_) => LONGEST_PAUSE.min(self.max_silence / 2),
                None => self.next_attempt.saturating_duration_since(Instant::now()),
            };
            match requests.recv_timeout(pause) {
                Ok(request) => {
                    let answer = self.answer(request.message, request.deadline);
                    // The policy waits for it.
                    let _ = request.answer.send(answer);
                }
                Err(RecvTimeoutError::Timeout) if self.connection.is_some() => self.ping(),
                Err(RecvTimeoutError::Timeout) => self.reconnect(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if let Some(connection) = self.connection {
            connection.close();
        }
    }

    fn answer(&mut self, message: Vec<u8>, deadline: Instant) -> Result<Answer, Failure> {
        let connection = self.connection.as_mut().ok_or_else(|| self.reason.clone())?;
        let answer = connection.request(message, deadline);
        match &answer {
            Ok(_) => self.wait = FIRST_WAIT,
            Err(failure) => self.break_off(failure.clone()),
        }
        answer
    }

    fn ping(&mut self) {
        let deadline = Instant::now() + self.max_silence / 2;
        if let Some(connection) = &mut self.connection
            && let Err(failure) = connection.ping(deadline)
        {
            self.break_off(failure);
        }
    }

    /// Ends the connection. A server that refused an observation is not lost by that, though it ends the connection too.
    fn break_off(&mut self, failure: Failure) {
        self.connection = None;
        if let Failure::Lost(reason) = &failure {
            self.lose(reason.clone());
        }
        self.reason = failure;
        self.wait_for_the_next_attempt();
    }

    fn reconnect(&mut self) {
        let failure = match Connection::open(&self.address, Instant::now() + RECONNECT_PATIENCE) {
            Ok((connection, metadata)) if metadata == self.metadata => {
                self.connection = Some(connection);
                if std::mem::take(&mut self.is_lost) {
                    tracing::info!("the server {} is there again", self.address.text);
                    self.tell(None);
                }
                return;
            }
            Ok((_, metadata)) => {
                let other = metadata.map_or_else(|| "it does not tell".to_owned(), |other| other.description);
                Failure::Lost(format!(
                    "it has another policy than before ({other}); configure the node again"
                ))
            }
            Err(failure) => failure,
        };
        let (Failure::Lost(reason) | Failure::Refused(reason)) = &failure;
        self.lose(reason.clone());
        self.reason = failure;
        self.wait_for_the_next_attempt();
    }

    fn wait_for_the_next_attempt(&mut self) {
        self.next_attempt = Instant::now() + self.wait;
        self.wait = LONGEST_WAIT.min(2 * self.wait);
    }

    fn lose(&mut self, reason: String) {
        if !std::mem::replace(&mut self.is_lost, true) {
            tracing::warn!("the server {} is lost: {reason}", self.address.text);
        }
        self.tell(Some(format!(
            "the server {} is lost: {reason}",
            self.address.text
        )));
    }

    fn tell(&self, lost: Option<String>) {
        if let Some(report) = &*self.report.lock() {
            report(lost);
        }
    }
}
