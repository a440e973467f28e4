//! Writing into a model's folder of the hub's cache, safe beside other processes, `huggingface_hub`'s among them.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::cache::ModelCache;
use super::error::HubError;
use super::model_id::ModelId;
use super::settings::Hub;

/// The writable side of a model's cache.
pub(super) struct Store<'a> {
    model: &'a ModelId,
    cache: ModelCache,
    locks: PathBuf,
}

impl<'a> Store<'a> {
    pub fn new(hub: &Hub, model: &'a ModelId) -> Self {
        Self {
            model,
            cache: ModelCache::new(&hub.cache, model),
            locks: hub.cache.join(".locks").join(model.folder_name()),
        }
    }

    /// Folder with the files of a commit.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.cache.snapshot(commit)
    }

    /// Path of the content that the hub calls `etag`.
    pub fn blob(&self, etag: &str) -> PathBuf {
        self.cache.folder.join("blobs").join(etag)
    }

    /// Waits until no other process downloads this content. The lock ends with the file.
    pub fn lock(&self, etag: &str, file: &str) -> Result<File, HubError> {
        let path = self.locks.join(format!("{etag}.lock"));
        let lock = || {
            fs::create_dir_all(&self.locks)?;
            let lock = File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    tracing::info!("{}: another process downloads {file}, waiting for it", self.model);
                    lock.lock()?;
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
            Ok(lock)
        };
        lock().map_err(self.at(&path))
    }

    /// Opens the part of a content that has arrived.
    pub fn open_incomplete(&self, path: &Path) -> Result<File, HubError> {
        let open = || {
            fs::create_dir_all(path.parent().unwrap_or(path))?;
            File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
        };
        open().map_err(self.at(path))
    }

    /// Makes `file` of a commit the content `etag`.
    pub fn link(&self, commit: &str, file: &str, etag: &str) -> Result<(), HubError> {
        let link = self.snapshot(commit).join(file);
        let up = "../".repeat(2 + file.split('/').count() - 1);
        let target = format!("{up}blobs/{etag}");
        let temporary = beside(&link);
        let make = || {
            fs::create_dir_all(link.parent().unwrap_or(&link))?;
            symlink(target, &temporary)?;
            fs::rename(&temporary, &link)
        };
        make().map_err(self.at(&link))
    }

    /// Makes a revision stand for a commit.
    pub fn set_commit(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        let path = self.cache.folder.join("refs").join(revision);
        if revision == commit || self.cache.commit(revision).as_deref() == Some(commit) && path.exists() {
            return Ok(());
        }
        let temporary = beside(&path);
        let write = || {
            fs::create_dir_all(path.parent().unwrap_or(&path))?;
            fs::write(&temporary, commit)?;
            fs::rename(&temporary, &path)
        };
        write().map_err(self.at(&path))
    }

    /// Puts the model and a path before the error of writing there.
    pub fn at(&self, path: &Path) -> impl Fn(io::Error) -> HubError {
        let (model, path) = (self.model.to_string(), path.to_owned());
        move |source| HubError::Cache {
            model: model.clone(),
            path: path.clone(),
            source,
        }
    }
}

/// A new path in the same folder, to be renamed to `path`.
fn beside(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    path.with_file_name(format!(".{}.{now}.{count}.tmp", process::id()))
}
