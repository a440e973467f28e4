//! A hub with a small checkpoint, and an empty cache.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pi0_node::checkpoint::hub::{Hub, HubError, ModelId};
use tempfile::TempDir;

use crate::server::{REPOSITORY, Server, files_of};

pub fn small_checkpoint() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reference/checkpoint")
}

/// A server of the small checkpoint beside files that no policy needs, and a cache for what comes from it.
pub struct Setup {
    pub server: Server,
    pub hub: Hub,
    pub folder: TempDir,
}

impl Setup {
    pub fn new() -> Self {
        let mut files = files_of(&small_checkpoint());
        for other in [
            "README.md",
            "pytorch_model.bin",
            "training_state/optimizer_state.safetensors",
        ] {
            files.insert(other.to_owned(), b"not of the policy".to_vec());
        }
        files.insert("assets/robot/norm_stats.json".to_owned(), b"{}".to_vec());
        let server = Server::start(files);
        let folder = tempfile::tempdir().unwrap();
        let hub = Hub {
            cache: folder.path().join("hub"),
            endpoint: server.endpoint(),
            token: None,
            is_offline: false,
            retry_delay: Duration::from_millis(1),
        };
        Self { server, hub, folder }
    }

    pub fn find(&self, name: &str) -> Result<PathBuf, HubError> {
        self.hub.find(&ModelId::parse(name).unwrap())
    }

    /// Finds the model in spite of everything, and its files whole.
    pub fn find_whole(&self, name: &str) -> PathBuf {
        let folder = self.find(name).unwrap_or_else(|error| panic!("{error}"));
        for (file, bytes) in files_of(&small_checkpoint()) {
            assert_eq!(std::fs::read(folder.join(&file)).unwrap(), bytes, "{file}");
        }
        folder
    }

    /// Message of the refusal, in one line.
    pub fn refusal(&self, name: &str) -> String {
        let message = self.find(name).unwrap_err().to_string();
        assert_eq!(message.lines().count(), 1, "{message}");
        message
    }

    /// The model's folder in the cache.
    pub fn model_cache(&self) -> PathBuf {
        self.hub
            .cache
            .join(format!("models--{}", REPOSITORY.replace('/', "--")))
    }
}
