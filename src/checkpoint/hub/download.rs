//! Download of a model into the hub's cache.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;

use sha2::{Digest, Sha256};

use super::client::{Client, Content, Failure, FileMetadata};
use super::error::HubError;
use super::model_id::ModelId;
use super::progress::{Progress, size};
use super::selection::needed;
use super::settings::Hub;
use super::store::Store;

/// Attempts in a row that may bring nothing.
const ATTEMPTS: u32 = 5;
const BUFFER: usize = 1 << 20;
/// Hexadecimal digits of a SHA-256.
const SHA256_DIGITS: usize = 64;
/// Files of a repository that a message names.
const NAMED_FILES: usize = 10;

/// Downloads the files that a policy needs, as far as the cache has not got them, and names the folder.
///
/// # Errors
/// When the hub has no such model or does not answer, a file does not arrive whole, or the cache cannot be
/// written. What has arrived stays, and is not downloaded again.
pub(super) fn download(hub: &Hub, model: &ModelId) -> Result<PathBuf, HubError> {
    let client = Client::new(hub, model);
    let listing = client.listing()?;
    let names: Vec<&str> = listing.files.iter().map(|file| file.name.as_str()).collect();
    let needed = needed(&names);
    if needed.is_empty() {
        return Err(HubError::NoPolicy {
            model: model.to_string(),
            files: some_of(&names),
        });
    }
    let store = Store::new(hub, model);
    let snapshot = store.snapshot(&listing.commit);
    let is_missing = |name: &&str| !snapshot.join(name).exists();
    let missing: Vec<&str> = needed.into_iter().filter(is_missing).collect();
    let sizes = listing
        .files
        .iter()
        .filter(|file| missing.contains(&file.name.as_str()));
    let total = sizes.filter_map(|file| file.size).sum();
    tracing::info!(
        "{model}: downloading commit {} from {} to {}, {} files, {}",
        listing.commit,
        hub.endpoint,
        snapshot.display(),
        missing.len(),
        size(total)
    );
    let mut download = Download {
        hub,
        model,
        client,
        store,
        commit: listing.commit,
        progress: Progress::new(model, total),
    };
    for file in missing {
        download.fetch(file)?;
    }
    // A revision stands for a commit only when all of it is there.
    download.store.set_commit(&model.revision, &download.commit)?;
    tracing::info!("{model}: all files are in {}", snapshot.display());
    Ok(snapshot)
}

/// The first of many names, separated by commas.
fn some_of(names: &[&str]) -> String {
    let first = names[..names.len().min(NAMED_FILES)].join(", ");
    match names.len() {
        0 => "none".to_owned(),
        1..=NAMED_FILES => first,
        count => format!("{first} and {} more", count - NAMED_FILES),
    }
}

struct Download<'a> {
    hub: &'a Hub,
    model: &'a ModelId,
    client: Client<'a>,
    store: Store<'a>,
    commit: String,
    progress: Progress<'a>,
}

/// The part of a file that has arrived.
struct Arrived {
    file: File,
    bytes: u64,
    /// Of these bytes, where the hub states the file's.
    hash: Option<Sha256>,
}

impl Download<'_> {
    /// Makes `file` a part of the snapshot.
    fn fetch(&mut self, file: &str) -> Result<(), HubError> {
        let metadata = self.metadata(file)?;
        let FileMetadata { etag, bytes } = &metadata;
        let _lock = self.store.lock(etag, file)?;
        let blob = self.store.blob(etag);
        let stored = fs::metadata(&blob).ok().map(|stored| stored.len());
        match stored {
            Some(stored) if bytes.is_none_or(|bytes| bytes == stored) => self.progress.skip(stored),
            _ => self.transfer(file, &metadata, &blob)?,
        }
        self.store.link(&self.commit, file, etag)
    }

    fn metadata(&self, file: &str) -> Result<FileMetadata, HubError> {
        let mut attempt = 1;
        loop {
            match self.client.metadata(&self.commit, file) {
                Ok(metadata) => return Ok(metadata),
                Err(Failure::Lasting(error)) => return Err(error),
                Err(Failure::Passing(reason)) if attempt == ATTEMPTS => {
                    return Err(self.broken_off(file, reason));
                }
                Err(Failure::Passing(reason)) => self.wait(file, attempt, &reason),
            }
            attempt += 1;
        }
    }

    /// Receives a content into a file beside `blob`, goes on where a transfer broke off, and renames the file to `blob`
    /// once its size and hash are right.
    fn transfer(&mut self, file: &str, metadata: &FileMetadata, blob: &Path) -> Result<(), HubError> {
        let incomplete = blob.with_file_name(format!("{}.incomplete", metadata.etag));
        let mut arrived = self.arrived(&incomplete, metadata)?;
        self.progress.skip(arrived.bytes);
        let mut fruitless = 0;
        while metadata.bytes.is_none_or(|bytes| arrived.bytes < bytes) {
            let before = arrived.bytes;
            let reason = match self.client.content(&self.commit, file, before) {
                Ok(content) => {
                    match self.receive(file, content, &mut arrived, metadata.bytes, &incomplete)? {
                        None => break,
                        Some(reason) => reason,
                    }
                }
                Err(Failure::Lasting(error)) => return Err(error),
                Err(Failure::Passing(reason)) => reason,
            };
            fruitless = if arrived.bytes > before { 0 } else { fruitless + 1 };
            if fruitless == ATTEMPTS {
                return Err(self.broken_off(file, reason));
            }
            self.wait(
                file,
                fruitless,
                &format!("{reason}, after {}", size(arrived.bytes)),
            );
        }
        let damage = damage(&arrived, metadata);
        arrived.file.sync_all().map_err(self.store.at(&incomplete))?;
        if let Some((what, found, expected)) = damage {
            fs::remove_file(&incomplete).map_err(self.store.at(&incomplete))?;
            return Err(HubError::Damaged {
                model: self.model.to_string(),
                file: file.to_owned(),
                what,
                found,
                expected,
            });
        }
        fs::rename(&incomplete, blob).map_err(self.store.at(blob))
    }

    /// Opens what has arrived of a content in an earlier run.
    fn arrived(&self, path: &Path, metadata: &FileMetadata) -> Result<Arrived, HubError> {
        let mut file = self.store.open_incomplete(path)?;
        let mut hash = (metadata.etag.len() == SHA256_DIGITS).then(Sha256::new);
        let mut bytes = 0;
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = file.read(&mut buffer).map_err(self.store.at(path))?;
            if read == 0 {
                break;
            }
            bytes += read as u64;
            if let Some(hash) = &mut hash {
                hash.update(&buffer[..read]);
            }
        }
        let mut arrived = Arrived { file, bytes, hash };
        if metadata.bytes.is_some_and(|expected| bytes > expected) {
            self.restart(&mut arrived, path)?;
        }
        Ok(arrived)
    }

    /// Forgets what has arrived.
    fn restart(&self, arrived: &mut Arrived, path: &Path) -> Result<(), HubError> {
        arrived.file.set_len(0).map_err(self.store.at(path))?;
        arrived
            .file
            .seek(SeekFrom::Start(0))
            .map_err(self.store.at(path))?;
        arrived.bytes = 0;
        arrived.hash = arrived.hash.as_ref().map(|_| Sha256::new());
        Ok(())
    }

    /// Receives until the content ends, or for the reason that is returned.
    fn receive(
        &mut self,
        file: &str,
        mut content: Content,
        arrived: &mut Arrived,
        expected: Option<u64>,
        path: &Path,
    ) -> Result<Option<String>, HubError> {
        if content.offset < arrived.bytes {
            self.progress.discard(arrived.bytes);
            self.restart(arrived, path)?;
        }
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = match content.reader.read(&mut buffer) {
                Ok(0) => {
                    let is_short = expected.is_some_and(|expected| arrived.bytes < expected);
                    return Ok(is_short.then(|| "the connection ended".to_owned()));
                }
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Some(error.to_string())),
            };
            arrived
                .file
                .write_all(&buffer[..read])
                .map_err(self.store.at(path))?;
            arrived.bytes += read as u64;
            if let Some(hash) = &mut arrived.hash {
                hash.update(&buffer[..read]);
            }
            self.progress.add(read, file);
        }
    }

    /// Waits before the next attempt.
    fn wait(&self, file: &str, attempt: u32, reason: &str) {
        tracing::warn!(
            "{}: the transfer of {file} broke off ({reason}), going on",
            self.model
        );
        thread::sleep(self.hub.retry_delay * 2u32.pow(attempt.saturating_sub(1)));
    }

    fn broken_off(&self, file: &str, reason: String) -> HubError {
        HubError::Transfer {
            model: self.model.to_string(),
            file: file.to_owned(),
            attempts: ATTEMPTS,
            reason,
        }
    }
}

/// How what has arrived differs from what the hub has: what, as it is and as it should be.
fn damage(arrived: &Arrived, metadata: &FileMetadata) -> Option<(&'static str, String, String)> {
    if let Some(bytes) = metadata.bytes.filter(|bytes| *bytes != arrived.bytes) {
        return Some(("its size in bytes", arrived.bytes.to_string(), bytes.to_string()));
    }
    let hash = format!("{:x}", arrived.hash.as_ref()?.clone().finalize());
    (hash != metadata.etag).then(|| ("its SHA-256", hash, metadata.etag.clone()))
}
