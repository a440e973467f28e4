//! The head of a request, before it becomes a WebSocket.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::server::{Request, create_response, write_response};
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, Method, Version};

use super::access::ApiKey;

/// Longest head, in bytes.
const MAX_BYTES: usize = 16 << 10;
const MAX_HEADERS: usize = 100;

/// A request that is to become a WebSocket.
pub(super) struct Upgrade {
    request: Request,
    /// Bytes of the client that came behind the head.
    pub rest: Vec<u8>,
}

/// An answer that ends the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Response {
    status: &'static str,
    body: String,
}

impl Response {
    /// As openpi's server answers `GET /healthz`.
    fn healthy() -> Self {
        Self {
            status: "200 OK",
            body: "OK\n".to_owned(),
        }
    }

    /// Too many clients.
    pub fn full(max_clients: usize) -> Self {
        Self {
            status: "503 Service Unavailable",
            body: format!("{max_clients} clients are connected, which is the most; try again later\n"),
        }
    }

    /// Sends it. Nobody is to be told if that fails.
    pub async fn send(&self, stream: &mut (impl AsyncWrite + Unpin), patience: Duration) {
        let Self { status, body } = self;
        let text = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let _ = timeout(patience, async {
            stream.write_all(text.as_bytes()).await?;
            stream.shutdown().await
        })
        .await;
    }
}

impl Upgrade {
    /// Accepts the request: from now on the connection is a WebSocket.
    pub async fn accept(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        patience: Duration,
    ) -> Result<(), Response> {
        let bad = |reason: String| Response {
            status: "400 Bad Request",
            body: format!("expected a WebSocket, or GET /healthz: {reason}\n"),
        };
        let response = create_response(&self.request).map_err(|error| bad(error.to_string()))?;
        let mut head = Vec::new();
        write_response(&mut head, &response).map_err(|error| bad(error.to_string()))?;
        match timeout(patience, stream.write_all(&head)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(bad("the connection is lost".to_owned())),
        }
    }
}

/// Reads the head of a request. Health is told to everybody, a WebSocket is for those with the key.
///
/// # Errors
/// The answer to any other request; none where nothing can be answered.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    api_key: Option<&ApiKey>,
    patience: Duration,
) -> Result<Upgrade, Option<Response>> {
    let mut bytes = Vec::new();
    let end = timeout(patience, head_end(stream, &mut bytes)).await;
    let end = end.map_err(|_| {
        Some(Response {
            status: "408 Request Timeout",
            body: "the request did not come in time\n".to_owned(),
        })
    })??;
    let rest = bytes.split_off(end);
    let request = parse(&bytes).ok_or_else(|| {
        Some(Response {
            status: "400 Bad Request",
            body: "the head of the request is no HTTP\n".to_owned(),
        })
    })?;
    if request.uri().path() == "/healthz" {
        return Err(Some(Response::healthy()));
    }
    if let Some(api_key) = api_key {
        let authorization = request.headers().get("Authorization").map(HeaderValue::as_bytes);
        if !api_key.is_in(authorization) {
            return Err(Some(Response {
                status: "401 Unauthorized",
                body: "expected the header Authorization: Api-Key KEY, with the key of the server\n"
                    .to_owned(),
            }));
        }
    }
    Ok(Upgrade { request, rest })
}

/// Reads until the empty line, and returns the place behind it.
async fn head_end(
    stream: &mut (impl AsyncRead + Unpin),
    bytes: &mut Vec<u8>,
) -> Result<usize, Option<Response>> {
    let mut part = [0; 1024];
    loop {
        let read = stream.read(&mut part).await.map_err(|_| None)?;
        if read == 0 {
            return Err(None);
        }
        let searched = bytes.len().saturating_sub(3);
        bytes.extend_from_slice(&part[..read]);
        if let Some(place) = bytes[searched..].windows(4).position(|four| four == b"\r\n\r\n") {
            return Ok(searched + place + 4);
        }
        if bytes.len() > MAX_BYTES {
            return Err(Some(Response {
                status: "431 Request Header Fields Too Large",
                body: format!("the head of the request is longer than {MAX_BYTES} bytes\n"),
            }));
        }
    }
}

fn parse(head: &[u8]) -> Option<Request> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    parsed.parse(head).ok().filter(httparse::Status::is_complete)?;
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(parsed.method?.as_bytes()).ok()?;
    *request.uri_mut() = parsed.path?.parse().ok()?;
    *request.version_mut() = match parsed.version? {
        1 => Version::HTTP_11,
        _ => Version::HTTP_10,
    };
    for header in parsed.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        request
            .headers_mut()
            .append(name, HeaderValue::from_bytes(header.value).ok()?);
    }
    Some(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(100);

    async fn response_to(head: &[u8]) -> Option<Response> {
        let mut stream = head;
        read(&mut stream, None, PATIENCE).await.err().unwrap()
    }

    #[tokio::test]
    async fn anybody_may_ask_whether_the_server_is_healthy() {
        let response = response_to(b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(response, Response::healthy());
        let mut answer = Vec::new();
        response.send(&mut answer, PATIENCE).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nOK\n"),
            "{answer}"
        );
    }

    #[tokio::test]
    async fn what_is_no_request_is_refused() {
        for (head, status) in [
            (&b"\x16\x03\x01 TLS \r\n\r\n"[..], "400"),
            (&[b'a'; 20_000][..], "431"),
        ] {
            let response = response_to(head).await.unwrap();
            assert!(response.status.starts_with(status), "{response:?}");
        }
        assert_eq!(response_to(b"GET / HTTP/1.1\r\n").await, None, "it ended early");
    }

    #[tokio::test]
    async fn a_head_that_never_ends_is_not_waited_for() {
        let (mut stream, _open) = tokio::io::duplex(16);
        let response = read(&mut stream, None, PATIENCE).await.err().unwrap().unwrap();
        assert!(response.status.starts_with("408"), "{response:?}");
    }

    #[tokio::test]
    async fn a_request_for_no_websocket_is_refused_and_one_for_it_accepted_with_what_follows() {
        let mut plain = &b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"[..];
        let upgrade = read(&mut plain, None, PATIENCE)
            .await
            .unwrap_or_else(|_| panic!("no head"));
        let refused = upgrade.accept(&mut Vec::new(), PATIENCE).await.unwrap_err();
        assert!(refused.status.starts_with("400"), "{refused:?}");

        let mut socket = &b"GET / HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nmore"[..];
        let upgrade = read(&mut socket, None, PATIENCE)
            .await
            .unwrap_or_else(|_| panic!("no head"));
        assert_eq!(upgrade.rest, b"more");
        let mut answer = Vec::new();
        upgrade.accept(&mut answer, PATIENCE).await.unwrap();
        let answer = String::from_utf8(answer).unwrap().to_lowercase();
        // The key and its answer are those of RFC 6455, section 1.3.
        assert!(
            answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
            "{answer}"
        );
    }
}
