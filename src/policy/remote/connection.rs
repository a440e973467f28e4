//! One connection to a server: a request, its answer, and whether the server still lives.

use std::io::{self, Read, Write};
use std::time::Instant;

use rustls::{ClientConnection, StreamOwned};
use tokio_tungstenite::tungstenite::client::client_with_config;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::handshake::HandshakeError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, WebSocket};

use super::address::Address;
use super::deadline_socket::DeadlineSocket;
use crate::protocol::{Answer, DecodeLimits, MAX_MESSAGE_BYTES, Metadata, decode};

/// Why a connection gave no answer. It must not be used any more in either case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It is broken, for this reason.
    Lost(String),
    /// The server refused, in these words.
    Refused(String),
}

/// One connection to a server.
pub(super) struct Connection(WebSocket<Stream>);

enum Stream {
    Plain(DeadlineSocket),
    Tls(Box<StreamOwned<ClientConnection, DeadlineSocket>>),
}

impl Stream {
    fn socket(&mut self) -> &mut DeadlineSocket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &mut stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

fn lost(error: &dyn ToString) -> Failure {
    Failure::Lost(error.to_string())
}

impl Connection {
    /// Connects, and reads the server's metadata; none of a server that tells nothing of its policy.
    pub fn open(address: &Address, deadline: Instant) -> Result<(Self, Option<Metadata>), Failure> {
        let socket = address.connect(deadline).map_err(|error| lost(&error))?;
        let socket = DeadlineSocket::new(socket, deadline);
        let stream = match &address.tls {
            None => Stream::Plain(socket),
            Some((config, name)) => {
                let session =
                    ClientConnection::new(config.clone(), name.clone()).map_err(|error| lost(&error))?;
                Stream::Tls(Box::new(StreamOwned::new(session, socket)))
            }
        };
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let (socket, _) =
            client_with_config(address.request(), stream, Some(config)).map_err(|error| match error {
                HandshakeError::Failure(Error::Http(response)) => {
                    let body = response.body().as_deref().unwrap_or_default();
                    let body = String::from_utf8_lossy(body);
                    Failure::Refused(format!("{}: {}", response.status(), body.trim()))
                }
                HandshakeError::Failure(error) => lost(&error),
                HandshakeError::Interrupted(_) => Failure::Lost("the server does not answer".to_owned()),
            })?;
        let mut connection = Self(socket);
        let message = connection.read_binary(deadline)?;
        let value = decode(&message, DecodeLimits::default()).map_err(|error| lost(&error))?;
        let metadata = Metadata::from_value(&value).map_err(|error| lost(&error))?;
        Ok((connection, metadata))
    }

    /// Sends an observation and waits for its answer. An answer after the deadline is lost with the connection.
    pub fn request(&mut self, message: Vec<u8>, deadline: Instant) -> Result<Answer, Failure> {
        self.send(Message::binary(message), deadline)?;
        let message = self.read_binary(deadline)?;
        let value = decode(&message, DecodeLimits::default()).map_err(|error| lost(&error))?;
        Answer::from_value(&value).map_err(|error| lost(&error))
    }

    /// Waits until the server answers a ping.
    pub fn ping(&mut self, deadline: Instant) -> Result<(), Failure> {
        self.send(Message::Ping(Vec::new().into()), deadline)?;
        match self.read(deadline)? {
            Message::Pong(_) => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Says goodbye, if that takes no time.
    pub fn close(mut self) {
        self.0.get_mut().socket().deadline = Instant::now() + std::time::Duration::from_millis(100);
        // The server notices the end of the connection in any case.
        let _ = self.0.close(None);
        let _ = self.0.flush();
    }

    fn send(&mut self, message: Message, deadline: Instant) -> Result<(), Failure> {
        self.0.get_mut().socket().deadline = deadline;
        self.0.send(message).map_err(|error| lost(&error))
    }

    fn read_binary(&mut self, deadline: Instant) -> Result<Vec<u8>, Failure> {
        match self.read(deadline)? {
            Message::Binary(bytes) => Ok(bytes.into()),
            Message::Text(text) => Err(Failure::Refused(text.as_str().trim().to_owned())),
            other => Err(unexpected(&other)),
        }
    }

    /// The next message that is no ping: those are answered.
    fn read(&mut self, deadline: Instant) -> Result<Message, Failure> {
        self.0.get_mut().socket().deadline = deadline;
        loop {
            match self.0.read() {
                Ok(Message::Ping(_)) => self.0.flush().map_err(|error| lost(&error))?,
                Ok(message) => return Ok(message),
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::TimedOut => {
                    return Err(Failure::Lost("it does not answer in time".to_owned()));
                }
                Err(error) => return Err(lost(&error)),
            }
        }
    }
}

fn unexpected(message: &Message) -> Failure {
    Failure::Lost(match message {
        Message::Close(Some(frame)) => format!("it closed the connection ({}: {})", frame.code, frame.reason),
        Message::Close(None) => "it closed the connection".to_owned(),
        Message::Binary(bytes) => format!("it sent {} bytes that nobody asked for", bytes.len()),
        other => format!("it sent {other}, which is no answer"),
    })
}
