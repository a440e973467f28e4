//! A server that answers as the Hugging Face Hub does, with a second one in the place of its content delivery network.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::{fs, thread};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub const COMMIT: &str = "9e55186aa00000000000000000000000000000aa";
/// The repository's name before it was renamed to [`REPOSITORY`].
pub const OLD_NAME: &str = "lerobot/pi0_small_old";
pub const REPOSITORY: &str = "lerobot/pi0_small";
pub const GATED: &str = "lerobot/pi0_gated";
pub const TOKEN: &str = "hf_of_a_user_with_access";

/// One request, as a test looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `GET` or `HEAD`, and the path.
    pub what: String,
    pub range: Option<String>,
    pub has_token: bool,
    pub is_of_cdn: bool,
}

/// What goes wrong.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Bytes after which the network's connections end, and how many of them do.
    pub breaks: Option<(usize, usize)>,
    /// Requests of files that the hub answers with 503.
    pub unavailable: usize,
    /// Whether the network ignores ranges.
    pub ignores_ranges: bool,
    /// Whether the network's content is damaged.
    pub damages: bool,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    faults: Faults,
    asked: Vec<Asked>,
}

/// The hub with one model under three names: a public one, the public one's old name, and a gated one.
pub struct Server {
    hub: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct Request {
    method: String,
    path: String,
    range: Option<String>,
    token: Option<String>,
}

struct Answer {
    status: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Bytes of the body that are sent.
    sent: usize,
}

impl Server {
    pub fn start(files: BTreeMap<String, Vec<u8>>) -> Self {
        let state = Arc::new(Mutex::new(State {
            files,
            ..State::default()
        }));
        let cdn = TcpListener::bind("127.0.0.1:0").unwrap();
        let hub = TcpListener::bind("127.0.0.1:0").unwrap();
        let cdn_address = cdn.local_addr().unwrap();
        let server = Self {
            hub: hub.local_addr().unwrap(),
            state: Arc::clone(&state),
        };
        let of_cdn = Arc::clone(&state);
        thread::spawn(move || serve(&cdn, &of_cdn, true, |state, request| state.content(request)));
        thread::spawn(move || {
            serve(&hub, &state, false, move |state, request| {
                state.hub(request, cdn_address)
            })
        });
        server
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.hub)
    }

    pub fn set_faults(&self, faults: Faults) {
        self.state.lock().unwrap().faults = faults;
    }

    /// Requests since the last look.
    pub fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }
}

/// Files of a folder, by their paths within it.
pub fn files_of(folder: &std::path::Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            let inner = files_of(&path).into_iter();
            files.extend(inner.map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
        } else {
            files.insert(name, fs::read(path).unwrap());
        }
    }
    files
}

fn serve(
    listener: &TcpListener,
    state: &Arc<Mutex<State>>,
    is_cdn: bool,
    answer: impl Fn(&mut State, &Request) -> Answer + Copy + Send + 'static,
) {
    for stream in listener.incoming() {
        let (stream, state) = (stream.unwrap(), Arc::clone(state));
        thread::spawn(move || {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while let Some(request) = read_request(&mut reader) {
                let mut state = state.lock().unwrap();
                state.asked.push(Asked {
                    what: format!("{} {}", request.method, request.path),
                    range: request.range.clone(),
                    has_token: request.token.is_some(),
                    is_of_cdn: is_cdn,
                });
                let answer = answer(&mut state, &request);
                drop(state);
                if !answer.write(&request.method, &stream) {
                    return;
                }
            }
        });
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace();
    let mut request = Request {
        method: words.next()?.to_owned(),
        path: words.next()?.to_owned(),
        range: None,
        token: None,
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(": ") else {
            return Some(request);
        };
        match name.to_lowercase().as_str() {
            "range" => request.range = Some(value.to_owned()),
            "authorization" => request.token = value.strip_prefix("Bearer ").map(str::to_owned),
            _ => {}
        }
    }
}

impl Answer {
    fn new(status: &'static str, headers: Vec<(&'static str, String)>, body: Vec<u8>) -> Self {
        Self {
            status,
            headers,
            sent: body.len(),
            body,
        }
    }

    fn error(status: &'static str, code: &str, message: &str) -> Self {
        let headers = vec![
            ("X-Error-Code", code.to_owned()),
            ("X-Error-Message", message.to_owned()),
        ];
        Self::new(status, headers, Vec::new())
    }

    /// Whether the connection goes on.
    fn write(&self, method: &str, mut stream: &TcpStream) -> bool {
        let mut head = format!("HTTP/1.1 {}\r\n", self.status);
        let mut headers = self.headers.clone();
        if !headers.iter().any(|(name, _)| *name == "Content-Length") {
            headers.push(("Content-Length", self.body.len().to_string()));
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        let body = if method == "HEAD" {
            &[]
        } else {
            &self.body[..self.sent]
        };
        let written = stream
            .write_all(format!("{head}\r\n").as_bytes())
            .and_then(|()| stream.write_all(body));
        written.is_ok() && self.sent == self.body.len()
    }
}

impl State {
    fn hub(&mut self, request: &Request, cdn: SocketAddr) -> Answer {
        if self.faults.unavailable > 0 && request.path.contains("/resolve/") {
            self.faults.unavailable -= 1;
            return Answer::error("503 Service Unavailable", "", "maintenance");
        }
        let path = request.path.split('?').next().unwrap();
        if let Some(file) = path.strip_prefix("/api/resolve-cache/") {
            return self.small_file(file);
        }
        if let Some(rest) = path.strip_prefix("/api/models/") {
            let (repository, rest) = split_repository(rest);
            return match (repository.as_str(), rest) {
                (OLD_NAME, rest) => redirect(&format!("/api/models/{REPOSITORY}{rest}")),
                (REPOSITORY | GATED, rest) => self.api(&repository, rest),
                _ if request.token.is_none() => {
                    Answer::error("401 Unauthorized", "", "Invalid username or password.")
                }
                _ => Answer::error("404 Not Found", "RepoNotFound", "Repository not found"),
            };
        }
        let (repository, rest) = split_repository(&path[1..]);
        if repository == OLD_NAME {
            return redirect(&format!("/{REPOSITORY}{rest}"));
        }
        if repository == GATED && request.token.as_deref() != Some(TOKEN) {
            let status = match request.token {
                None => "401 Unauthorized",
                Some(_) => "403 Forbidden",
            };
            return Answer::error(status, "GatedRepo", "Access to this model is restricted.");
        }
        self.resolve(rest, cdn)
    }

    /// The listing, and what `huggingface_hub` reads in its place.
    fn api(&self, repository: &str, rest: &str) -> Answer {
        let (what, revision) = rest
            .trim_start_matches('/')
            .split_once('/')
            .unwrap_or(("revision", "main"));
        if !["main", "v1.0", "refs%2Fpr%2F1", "9e55186", COMMIT].contains(&revision) {
            return Answer::error("404 Not Found", "RevisionNotFound", "Invalid rev id");
        }
        let body = match what {
            "tree" => Value::Array(
                self.files
                    .iter()
                    .map(|(file, bytes)| tree_entry(file, bytes))
                    .collect(),
            ),
            _ => json!({
                "id": repository,
                "sha": COMMIT,
                "siblings": self.files.iter().map(|(file, bytes)| json!({
                    "rfilename": file, "size": bytes.len(), "blobId": "0"
                })).collect::<Vec<_>>(),
            }),
        };
        let headers = vec![("Content-Type", "application/json".to_owned())];
        Answer::new("200 OK", headers, body.to_string().into_bytes())
    }

    /// A redirect to the content network for a large file, to another path of the hub for a small one.
    fn resolve(&self, rest: &str, cdn: SocketAddr) -> Answer {
        let Some(file) = rest.strip_prefix(&format!("/resolve/{COMMIT}/")) else {
            return Answer::error("404 Not Found", "RevisionNotFound", "Invalid rev id");
        };
        let Some(bytes) = self.files.get(file) else {
            return Answer::error("404 Not Found", "EntryNotFound", "Entry not found");
        };
        let mut headers = vec![
            ("X-Repo-Commit", COMMIT.to_owned()),
            ("X-Linked-Size", bytes.len().to_string()),
            ("X-Linked-ETag", format!("\"{}\"", etag(file, bytes))),
        ];
        if is_large(file) {
            headers.push(("Location", format!("http://{cdn}/{file}?signature=1")));
            return Answer::new("302 Found", headers, b"Found. Redirecting".to_vec());
        }
        headers.push(("Location", format!("/api/resolve-cache/{file}")));
        Answer::new("307 Temporary Redirect", headers, Vec::new())
    }

    fn small_file(&self, file: &str) -> Answer {
        let bytes = &self.files[file];
        let headers = vec![
            ("X-Repo-Commit", COMMIT.to_owned()),
            ("ETag", format!("W/\"{}\"", etag(file, bytes))),
        ];
        Answer::new("200 OK", headers, bytes.clone())
    }

    fn content(&mut self, request: &Request) -> Answer {
        let file = request.path.trim_start_matches('/').split('?').next().unwrap();
        let mut bytes = self.files[file].clone();
        if self.faults.damages {
            *bytes.last_mut().unwrap() ^= 1;
        }
        let range = request.range.as_ref().filter(|_| !self.faults.ignores_ranges);
        let mut answer = match range {
            None => Answer::new("200 OK", Vec::new(), bytes),
            Some(range) => {
                let from: usize = range
                    .trim_start_matches("bytes=")
                    .trim_end_matches('-')
                    .parse()
                    .unwrap();
                let found = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
                Answer::new(
                    "206 Partial Content",
                    vec![("Content-Range", found)],
                    bytes[from..].to_vec(),
                )
            }
        };
        if let Some((after, left @ 1..)) = self.faults.breaks {
            self.faults.breaks = Some((after, left - 1));
            answer.sent = after.min(answer.body.len());
        }
        answer
    }
}

fn redirect(to: &str) -> Answer {
    Answer::new(
        "307 Temporary Redirect",
        vec![("Location", to.to_owned())],
        Vec::new(),
    )
}

/// Owner with name, and the rest of the path.
fn split_repository(path: &str) -> (String, &str) {
    let end = path.match_indices('/').nth(1).map_or(path.len(), |(end, _)| end);
    (path[..end].to_owned(), &path[end..])
}

fn is_large(file: &str) -> bool {
    file.ends_with(".safetensors")
}

fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// The hash of a large file; for a small one a name as long as git's hashes.
fn etag(file: &str, bytes: &[u8]) -> String {
    let hash = sha256(bytes);
    if is_large(file) {
        hash
    } else {
        hash[..40].to_owned()
    }
}

fn tree_entry(file: &str, bytes: &[u8]) -> Value {
    let mut entry = json!({"type": "file", "path": file, "size": bytes.len(), "oid": sha256(bytes)[..40]});
    if is_large(file) {
        entry["lfs"] = json!({"oid": sha256(bytes), "size": bytes.len(), "pointerSize": 134});
    }
    entry
}
