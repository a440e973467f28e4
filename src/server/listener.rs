//! Listens for clients.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::client::serve;
use super::error::ServerError;
use super::http_head::{self, Response};
use super::options::ServerOptions;
use super::policy_thread::PolicyQueue;
use super::shared::Shared;
use super::tls::acceptor;
use crate::policy::{Policy, Resize};
use crate::protocol::{Metadata, encode};

/// Longest wait at the end for clients to take leave.
const FAREWELL: Duration = Duration::from_secs(2);

/// A server that listens and does not serve yet.
pub struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    options: ServerOptions,
}

impl Server {
    /// Listens on the address of the options.
    ///
    /// # Errors
    /// When the address cannot be listened on, or others reach it and need no key though that was not said; when TLS is not
    /// possible with the files.
    pub async fn bind(options: ServerOptions) -> Result<Self, ServerError> {
        let address = options.address;
        if !address.ip().is_loopback() && options.api_key.is_none() && !options.is_open_to_all {
            return Err(ServerError::OpenToAll(address));
        }
        let tls = match &options.tls_files {
            Some((certificate, key)) => Some(acceptor(certificate, key)?),
            None => None,
        };
        let listener = TcpListener::bind(address).await;
        Ok(Self {
            listener: listener.map_err(|source| ServerError::Listen { address, source })?,
            tls,
            options,
        })
    }

    /// The address that is listened on, with its port.
    ///
    /// # Errors
    /// When the system does not say it.
    pub fn address(&self) -> Result<SocketAddr, ServerError> {
        let address = self.listener.local_addr();
        address.map_err(|source| ServerError::Listen {
            address: self.options.address,
            source,
        })
    }

    /// Serves the policy until `stop` resolves. Then clients are told, and what is predicted for them is lost.
    ///
    /// # Errors
    /// When the policy panics.
    pub async fn run(
        self,
        policy: Box<dyn Policy + Send>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), ServerError> {
        let metadata = encode(&metadata(&*policy, &self.options).to_value());
        let action_dim = policy.info().action_dim;
        let (queue, ended) = PolicyQueue::start(policy, self.options.queue)?;
        let shared = Arc::new(Shared {
            metadata,
            queue,
            action_dim,
            clients: Semaphore::new(self.options.max_clients),
            next_client: AtomicU64::new(1),
            options: self.options,
        });
        // Clients hear of the end by the drop of the sender.
        let (running, is_stopped) = watch::channel(());
        let ended = tokio::select! {
            () = accept(&self.listener, self.tls.as_ref(), &shared, &is_stopped) => Ok(()),
            () = stop => Ok(()),
            _ = ended => Err(ServerError::PolicyEnded),
        };
        drop(running);
        let everybody = u32::try_from(shared.options.max_clients).unwrap_or(u32::MAX);
        let _ = timeout(FAREWELL, shared.clients.acquire_many(everybody)).await;
        ended
    }
}

fn metadata(policy: &dyn Policy, options: &ServerOptions) -> Metadata {
    let info = policy.info();
    let cameras = options.keys.cameras.iter();
    Metadata {
        description: info.description.clone(),
        cameras: cameras
            .map(|camera| (camera.camera.clone(), camera.key.clone()))
            .collect(),
        state_keys: options.keys.state.clone(),
        state_dim: info.state_dim,
        action_dim: info.action_dim,
        action_horizon: info.action_horizon,
        rtc_training_max_delay: info.rtc_training_max_delay,
        image_size: info.image_size,
        is_antialiased: info.resize == Resize::Antialiased,
    }
}

async fn accept(
    listener: &TcpListener,
    tls: Option<&TlsAcceptor>,
    shared: &Arc<Shared>,
    is_stopped: &watch::Receiver<()>,
) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Too many open files, for example; others may be closed soon.
                tracing::warn!("a connection could not be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (shared, tls, is_stopped) = (Arc::clone(shared), tls.cloned(), is_stopped.clone());
        tokio::spawn(async move {
            // Observations and chunks are whole messages, that nothing waits behind.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!("{peer}: {error}");
            }
            greet(stream, tls, peer, &shared, is_stopped).await;
        });
    }
}

async fn greet(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    peer: SocketAddr,
    shared: &Shared,
    is_stopped: watch::Receiver<()>,
) {
    match tls {
        None => admit(stream, peer, shared, is_stopped).await,
        Some(tls) => match timeout(shared.options.client_patience, tls.accept(stream)).await {
            Ok(Ok(stream)) => admit(stream, peer, shared, is_stopped).await,
            Ok(Err(error)) => tracing::info!("{peer}: no TLS: {error}"),
            Err(_) => tracing::info!("{peer}: no TLS in time"),
        },
    }
}

async fn admit<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    peer: SocketAddr,
    shared: &Shared,
    is_stopped: watch::Receiver<()>,
) {
    let patience = shared.options.client_patience;
    let upgrade = match http_head::read(&mut stream, shared.options.api_key.as_ref(), patience).await {
        Ok(upgrade) => upgrade,
        Err(response) => {
            if let Some(response) = response {
                tracing::debug!("{peer}: {response:?}");
                response.send(&mut stream, patience).await;
            }
            return;
        }
    };
    let Ok(_place) = shared.clients.try_acquire() else {
        let full = Response::full(shared.options.max_clients);
        tracing::warn!("{peer} is refused: {full:?}");
        return full.send(&mut stream, patience).await;
    };
    if let Err(refusal) = upgrade.accept(&mut stream, patience).await {
        tracing::info!("{peer} is refused: {refusal:?}");
        return refusal.send(&mut stream, patience).await;
    }
    let client = shared.next_client.fetch_add(1, Ordering::Relaxed);
    let longest = Some(shared.options.max_message_bytes);
    let config = WebSocketConfig::default()
        .max_message_size(longest)
        .max_frame_size(longest);
    let socket = WebSocketStream::from_partially_read(stream, upgrade.rest, Role::Server, Some(config)).await;
    tracing::info!("client {client} is connected from {peer}");
    let why = serve(socket, client, shared, is_stopped).await;
    tracing::info!("client {client} has left: {why}");
    shared.queue.forget(client).await;
}
