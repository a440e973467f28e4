//! Where a server is, and how it is spoken to.

use std::fs;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Instant;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::tungstenite::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::http::Uri;

use super::super::remote_error::RemoteError;
use super::super::remote_options::RemoteOptions;

/// Where a server is, and how it is spoken to.
#[derive(Clone)]
pub(super) struct Address {
    /// As the user wrote it.
    pub text: String,
    uri: Uri,
    host: String,
    port: u16,
    api_key: Option<String>,
    /// With TLS.
    pub tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Address {
    /// Reads the address and the files that belong to it.
    pub fn new(options: &RemoteOptions) -> Result<Self, RemoteError> {
        let unfit = |reason: String| RemoteError::Unfit {
            server: options.server.clone(),
            reason,
        };
        let no_address = || unfit("expected ws://host:port, or wss://host:port with TLS".to_owned());
        let uri: Uri = options.server.parse().map_err(|_| no_address())?;
        let host = uri
            .host()
            .ok_or_else(no_address)?
            .trim_matches(['[', ']'])
            .to_owned();
        let (has_tls, usual_port) = match uri.scheme_str() {
            Some("ws") => (false, 80),
            Some("wss") => (true, 443),
            _ => return Err(no_address()),
        };
        let read = |file: &std::path::Path| {
            fs::read(file).map_err(|error| unfit(format!("{} cannot be read: {error}", file.display())))
        };
        let api_key = match &options.api_key_file {
            None => None,
            Some(file) => {
                let key = String::from_utf8(read(file)?);
                let key = key.map_err(|_| unfit(format!("{} is no text", file.display())))?;
                Some(key.trim().to_owned())
            }
        };
        let tls = match has_tls {
            false if options.ca_file.is_some() => {
                return Err(unfit(
                    "server_ca_file is set, and only wss:// has certificates".to_owned(),
                ));
            }
            false => None,
            true => {
                let mut roots = RootCertStore::empty();
                match &options.ca_file {
                    None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
                    Some(file) => {
                        for certificate in CertificateDer::pem_slice_iter(&read(file)?) {
                            let bad = |error: String| unfit(format!("{}: {error}", file.display()));
                            let certificate = certificate.map_err(|error| bad(error.to_string()))?;
                            roots.add(certificate).map_err(|error| bad(error.to_string()))?;
                        }
                        if roots.is_empty() {
                            return Err(unfit(format!("{} has no certificate in PEM", file.display())));
                        }
                    }
                }
                let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                    .with_safe_default_protocol_versions()
                    .map_err(|error| unfit(error.to_string()))?
                    .with_root_certificates(roots)
                    .with_no_client_auth();
                let name = ServerName::try_from(host.clone()).map_err(|_| no_address())?;
                Some((Arc::new(config), name))
            }
        };
        Ok(Self {
            text: options.server.clone(),
            port: uri.port_u16().unwrap_or(usual_port),
            uri,
            host,
            api_key,
            tls,
        })
    }

    /// Connects to the first of the host's addresses that answers before the deadline.
    pub fn connect(&self, deadline: Instant) -> std::io::Result<TcpStream> {
        let mut failure = std::io::Error::other("the host has no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(std::io::ErrorKind::TimedOut.into());
            }
            match TcpStream::connect_timeout(&address, left) {
                Ok(socket) => {
                    socket.set_nodelay(true)?;
                    return Ok(socket);
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// The request that opens the WebSocket.
    pub fn request(&self) -> ClientRequestBuilder {
        let request = ClientRequestBuilder::new(self.uri.clone());
        match &self.api_key {
            None => request,
            Some(key) => request.with_header("Authorization", format!("Api-Key {key}")),
        }
    }
}
