//! Checkpoints of the Hugging Face Hub, in its cache on this machine or downloaded into it.

mod cache;
#[cfg(feature = "hub")]
mod client;
mod completeness;
#[cfg(feature = "hub")]
mod download;
mod error;
mod model_id;
#[cfg(feature = "hub")]
mod progress;
#[cfg(feature = "hub")]
mod selection;
mod settings;
#[cfg(feature = "hub")]
mod store;

use std::path::PathBuf;

use super::folder;
use cache::ModelCache;
use completeness::is_whole;
pub use error::HubError;
pub use model_id::ModelId;
pub use settings::Hub;
pub(super) use settings::expand;

impl Hub {
    /// Finds the folder with the files of a model's policy: in the cache if it has all of them, without asking
    /// the hub; else it is downloaded into the cache. Where the hub cannot be reached, what the cache has is
    /// better than nothing.
    ///
    /// # Errors
    /// When there is no such model, it may not be read or downloaded, or the cache cannot be written.
    pub fn find(&self, model: &ModelId) -> Result<PathBuf, HubError> {
        let cache = ModelCache::new(&self.cache, model);
        let cached = cache
            .commit(&model.revision)
            .map(|commit| cache.snapshot(&commit));
        let cached = cached.filter(|folder| folder.is_dir());
        if let Some(folder) = &cached
            && is_whole(&folder::find(folder).unwrap_or_else(|| folder.clone()))
        {
            tracing::info!(
                "{model}: found in the hub's cache, {}; to look for a newer one: {}",
                folder.display(),
                download_command(model)
            );
            return Ok(folder.clone());
        }
        match (self.obtain(model), cached) {
            (Err(error @ (HubError::Unreachable { .. } | HubError::NotCached { .. })), Some(folder)) => {
                tracing::warn!("{error}; using the part that is cached, {}", folder.display());
                Ok(folder)
            }
            (obtained, _) => obtained,
        }
    }

    /// Folders of a model in the cache: that of its revision first, then those of any other.
    pub(super) fn cached(&self, model: &ModelId) -> Vec<PathBuf> {
        ModelCache::new(&self.cache, model).snapshots(&model.revision)
    }

    fn obtain(&self, model: &ModelId) -> Result<PathBuf, HubError> {
        let not_cached = |reason: &str| {
            Err(HubError::NotCached {
                model: model.to_string(),
                cache: self.cache.clone(),
                reason: reason.to_owned(),
                command: download_command(model),
            })
        };
        if self.is_offline {
            return not_cached("HF_HUB_OFFLINE is set");
        }
        #[cfg(feature = "hub")]
        return download::download(self, model);
        #[cfg(not(feature = "hub"))]
        not_cached("this build downloads nothing (it is without the Cargo feature hub)")
    }
}

/// Command of `huggingface_hub` that downloads a model into the cache.
fn download_command(model: &ModelId) -> String {
    match model.revision.as_str() {
        "main" => format!("hf download {}", model.repository),
        revision => format!("hf download {} --revision {revision}", model.repository),
    }
}
