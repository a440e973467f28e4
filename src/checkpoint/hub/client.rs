//! Requests to the hub.

use std::io::Read;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::{Method, Request, Response, StatusCode};
use ureq::{Agent, Body};

use super::error::HubError;
use super::model_id::{ModelId, is_path_segment};
use super::settings::Hub;

const PATIENCE: Duration = Duration::from_secs(10);
/// Longest wait for the next bytes of an answer.
const READ_PATIENCE: Duration = Duration::from_secs(30);
const MOST_REDIRECTS: usize = 10;
/// A listing with the hashes of thousands of files has fewer bytes.
const LONGEST_LISTING: u64 = 64 << 20;
const USER_AGENT: &str = concat!("pi0_node/", env!("CARGO_PKG_VERSION"));

/// A client of one model. Its token goes to the hub alone, and not to the servers that the hub redirects to.
pub(super) struct Client<'a> {
    hub: &'a Hub,
    model: &'a ModelId,
    agent: Agent,
}

/// Files of a model at one commit.
pub(super) struct Listing {
    pub commit: String,
    pub files: Vec<ListedFile>,
}

/// A file of a listing.
#[derive(Deserialize)]
pub(super) struct ListedFile {
    #[serde(rename = "rfilename")]
    pub name: String,
    /// Number of bytes, where the hub states it.
    pub size: Option<u64>,
}

/// What the hub knows of a file's content.
pub(super) struct FileMetadata {
    /// Name of the content: its SHA-256 for a large file, a hash of git for any other.
    pub etag: String,
    pub bytes: Option<u64>,
}

/// The content of a file, or the rest of it.
pub(super) struct Content {
    /// Bytes before the first one of `reader`.
    pub offset: u64,
    pub reader: Box<dyn Read>,
}

/// Why there is no content.
pub(super) enum Failure {
    /// A reason that may pass.
    Passing(String),
    /// A reason that stays.
    Lasting(HubError),
}

#[derive(Deserialize)]
struct ModelInfo {
    sha: String,
    siblings: Vec<ListedFile>,
}

impl<'a> Client<'a> {
    pub fn new(hub: &'a Hub, model: &'a ModelId) -> Self {
        let config = Agent::config_builder()
            .user_agent(USER_AGENT)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(PATIENCE))
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(READ_PATIENCE))
            .timeout_per_read(Some(READ_PATIENCE))
            .build();
        Self {
            hub,
            model,
            agent: config.new_agent(),
        }
    }

    /// Lists the files of the model's revision.
    pub fn listing(&self) -> Result<Listing, HubError> {
        let ModelId { repository, revision } = self.model;
        let url = format!(
            "{}/api/models/{repository}/revision/{}?blobs=true",
            self.hub.endpoint,
            encoded(revision)
        );
        let (mut response, _) = self
            .answer(&Method::GET, url, 0, |_| false)
            .map_err(|error| self.unreachable(error.to_string()))?;
        if response.status() != StatusCode::OK {
            return Err(self.refusal(&response));
        }
        let body = response.body_mut().with_config().limit(LONGEST_LISTING);
        let text = body
            .read_to_string()
            .map_err(|error| self.unreachable(error.to_string()))?;
        let info: ModelInfo =
            serde_json::from_str(&text).map_err(|error| self.no_hub(format!("its listing: {error}")))?;
        if !is_path_segment(&info.sha) {
            return Err(self.no_hub(format!("the commit {:?}", info.sha)));
        }
        Ok(Listing {
            commit: info.sha,
            files: info.siblings,
        })
    }

    /// Asks for what the hub knows of a file.
    pub fn metadata(&self, commit: &str, file: &str) -> Result<FileMetadata, Failure> {
        let is_described = |response: &Response<Body>| header(response, "x-linked-etag").is_some();
        let url = self.file_url(commit, file);
        let (response, _) = self
            .answer(&Method::HEAD, url, 0, is_described)
            .map_err(passing)?;
        let is_redirect = response.status().is_redirection();
        if !is_redirect && response.status() != StatusCode::OK {
            return Err(self.failure(&response, true));
        }
        let etag = header(&response, "x-linked-etag").or_else(|| header(&response, "etag"));
        let etag = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"'));
        let Some(etag) = etag.filter(|etag| is_path_segment(etag)) else {
            return Err(Failure::Lasting(self.no_hub(format!("no ETag of {file}"))));
        };
        let bytes = header(&response, "x-linked-size")
            .or_else(|| header(&response, "content-length").filter(|_| !is_redirect));
        Ok(FileMetadata {
            etag: etag.to_owned(),
            bytes: bytes.and_then(|bytes| bytes.parse().ok()),
        })
    }

    /// Asks for the content of a file from byte `offset` on; it may begin at 0 instead.
    pub fn content(&self, commit: &str, file: &str, offset: u64) -> Result<Content, Failure> {
        let url = self.file_url(commit, file);
        let (response, is_hub) = self
            .answer(&Method::GET, url, offset, |_| false)
            .map_err(passing)?;
        let offset = match response.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT if starts_at(&response, offset) => offset,
            _ => return Err(self.failure(&response, is_hub)),
        };
        Ok(Content {
            offset,
            reader: Box::new(response.into_body().into_reader()),
        })
    }

    fn file_url(&self, commit: &str, file: &str) -> String {
        let file: Vec<String> = file.split('/').map(encoded).collect();
        let Hub { endpoint, .. } = self.hub;
        format!(
            "{endpoint}/{}/resolve/{commit}/{}",
            self.model.repository,
            file.join("/")
        )
    }

    /// Follows redirects until there is none, or `is_enough`. The second value: whether the hub itself answered.
    fn answer(
        &self,
        method: &Method,
        mut url: String,
        offset: u64,
        is_enough: impl Fn(&Response<Body>) -> bool,
    ) -> Result<(Response<Body>, bool), ureq::Error> {
        for _ in 0..=MOST_REDIRECTS {
            let is_hub = origin(&url) == origin(&self.hub.endpoint);
            let mut request = Request::builder()
                .method(method)
                .uri(&url)
                .header("Accept-Encoding", "identity");
            if let Some(token) = self.hub.token.as_ref().filter(|_| is_hub) {
                request = request.header("Authorization", format!("Bearer {token}"));
            }
            if offset > 0 {
                request = request.header("Range", format!("bytes={offset}-"));
            }
            let response = self.agent.run(request.body(()).map_err(ureq::Error::Http)?)?;
            match header(&response, "location") {
                Some(location) if response.status().is_redirection() && !is_enough(&response) => {
                    url = joined(&url, location);
                }
                _ => return Ok((response, is_hub)),
            }
        }
        Err(ureq::Error::TooManyRedirects)
    }

    /// What an answer that is none says, of the hub itself or of a server that it redirected to.
    fn failure(&self, response: &Response<Body>, is_hub: bool) -> Failure {
        let status = response.status();
        let is_lasting = status.is_client_error()
            && ![
                StatusCode::REQUEST_TIMEOUT,
                StatusCode::TOO_MANY_REQUESTS,
                StatusCode::RANGE_NOT_SATISFIABLE,
            ]
            .contains(&status);
        if is_hub && is_lasting {
            return Failure::Lasting(self.refusal(response));
        }
        Failure::Passing(words(response))
    }

    fn refusal(&self, response: &Response<Body>) -> HubError {
        let (model, repository) = (self.model.to_string(), self.model.repository.clone());
        let (endpoint, has_token) = (self.hub.endpoint.clone(), self.hub.token.is_some());
        let message = header(response, "x-error-message").unwrap_or_default();
        match (response.status().as_u16(), header(response, "x-error-code")) {
            (_, Some("GatedRepo")) => HubError::Gated {
                model,
                repository,
                endpoint,
                has_token,
            },
            (_, Some("RevisionNotFound")) => HubError::NoRevision {
                repository,
                revision: self.model.revision.clone(),
                endpoint,
            },
            (404, _) | (_, Some("RepoNotFound")) => HubError::NotFound {
                model,
                endpoint,
                has_token,
            },
            // The hub does not tell a stranger that there is no such model.
            (401, _) if !has_token => HubError::NotFound {
                model,
                endpoint,
                has_token,
            },
            (status @ (401 | 403), _) => HubError::Token {
                model,
                endpoint,
                status,
                reason: message.to_owned(),
            },
            _ => self.unreachable(words(response)),
        }
    }

    fn unreachable(&self, reason: String) -> HubError {
        HubError::Unreachable {
            model: self.model.to_string(),
            endpoint: self.hub.endpoint.clone(),
            cache: self.hub.cache.clone(),
            reason,
        }
    }

    fn no_hub(&self, problem: String) -> HubError {
        HubError::Answer {
            model: self.model.to_string(),
            endpoint: self.hub.endpoint.clone(),
            problem,
        }
    }
}

fn passing(error: ureq::Error) -> Failure {
    Failure::Passing(error.to_string())
}

/// Status and message of an answer.
fn words(response: &Response<Body>) -> String {
    let message = header(response, "x-error-message").map(|message| format!(": {message}"));
    format!("HTTP status {}{}", response.status(), message.unwrap_or_default())
}

fn header<'r>(response: &'r Response<Body>, name: &str) -> Option<&'r str> {
    response.headers().get(name)?.to_str().ok()
}

/// Whether a partial answer begins where it was to begin.
fn starts_at(response: &Response<Body>, offset: u64) -> bool {
    header(response, "content-range").is_some_and(|range| range.starts_with(&format!("bytes {offset}-")))
}

/// Scheme and host of an address.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |scheme| scheme + 3);
    url[host..].find(['/', '?']).map_or(url, |end| &url[..host + end])
}

/// Address that a redirect from `url` leads to.
fn joined(url: &str, location: &str) -> String {
    if location.contains("://") {
        return location.to_owned();
    }
    if let Some(host) = location.strip_prefix("//") {
        let scheme = url.split("://").next().unwrap_or("https");
        return format!("{scheme}://{host}");
    }
    if location.starts_with('/') {
        return format!("{}{location}", origin(url));
    }
    let path = url.split('?').next().unwrap_or(url);
    let folder = path.rfind('/').map_or(path, |end| &path[..end]);
    format!("{folder}/{location}")
}

/// A segment of an address, with every letter that means something there by its code.
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_relative_to_the_address_that_sent_them() {
        let from = "https://hub/a/b/resolve/main/config.json?x=1";
        for (location, to) in [
            ("https://cdn/file?key=1", "https://cdn/file?key=1"),
            ("//cdn/file", "https://cdn/file"),
            (
                "/c/b/resolve/main/config.json",
                "https://hub/c/b/resolve/main/config.json",
            ),
            ("other.json", "https://hub/a/b/resolve/main/other.json"),
        ] {
            assert_eq!(joined(from, location), to);
        }
        assert_eq!(origin(from), origin("https://hub"));
        assert_ne!(origin(from), origin("https://hub.evil.org/a"));
        assert_ne!(origin(from), origin("http://hub/a"));
    }

    #[test]
    fn names_are_encoded_for_an_address() {
        assert_eq!(encoded("refs/pr/1"), "refs%2Fpr%2F1");
        assert_eq!(encoded("model 1-ä.json"), "model%201-%C3%A4.json");
    }
}
