//! The file of PaliGemma's tokenizer, which neither LeRobot nor openpi stores with a policy.

use std::env;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::error::CheckpointError;
use super::hub::{Hub, ModelId, expand};
use super::json;

/// Names of the file in a folder.
const FILES: [&str; 3] = ["tokenizer.json", "tokenizer.model", "paligemma_tokenizer.model"];
/// Model of the hub whose tokenizer π0 and π0.5 were trained with.
const PALIGEMMA: &str = "google/paligemma-3b-pt-224";
/// What the names of all models begin with that have this tokenizer.
const PALIGEMMA_FAMILY: &str = "google/paligemma-3b-";
/// openpi's copy of the tokenizer within its cache.
const OPENPI_FILE: &str = "big_vision/paligemma_tokenizer.model";

/// Finds the tokenizer's file: `given`, which is a file or a folder; else in the checkpoint's folder, in the hub's cache,
/// and in openpi's.
///
/// # Errors
/// When it is nowhere, with the command that gets it.
pub(super) fn find(folder: &Path, given: Option<&Path>) -> Result<PathBuf, CheckpointError> {
    let home = env::home_dir().unwrap_or_else(|| PathBuf::from("/"));
    let openpi = env::var("OPENPI_DATA_HOME").unwrap_or_else(|_| "~/.cache/openpi".to_owned());
    let caches = Caches {
        hub: &Hub::from_environment(),
        openpi: &expand(&openpi, &home),
    };
    let (path, place) = caches.find(folder, given)?;
    tracing::info!("tokenizer: {} ({place})", path.display());
    Ok(path)
}

/// Folders of other programs that may have downloaded the tokenizer.
struct Caches<'a> {
    hub: &'a Hub,
    openpi: &'a Path,
}

impl Caches<'_> {
    /// The file, and where it was found.
    fn find(&self, folder: &Path, given: Option<&Path>) -> Result<(PathBuf, &'static str), CheckpointError> {
        if let Some(given) = given {
            return match in_folder(given).or_else(|| given.is_file().then(|| given.to_owned())) {
                Some(path) => Ok((path, "of the parameter tokenizer")),
                None => Err(CheckpointError::File {
                    path: given.to_owned(),
                    problem: format!(
                        "the parameter tokenizer names it, expected a file, or a folder with one of {}",
                        FILES.join(", ")
                    ),
                }),
            };
        }
        if let Some(path) = in_folder(folder) {
            return Ok((path, "in the checkpoint's folder"));
        }
        let named = name_in_processors(folder);
        let name = named.as_deref().unwrap_or(PALIGEMMA);
        let is_paligemma = name.starts_with(PALIGEMMA_FAMILY);
        let names = [Some(name), is_paligemma.then_some(PALIGEMMA)];
        let models = names.into_iter().flatten().filter_map(ModelId::parse);
        if let Some(path) = models
            .flat_map(|model| self.hub.cached(&model))
            .find_map(|folder| in_folder(&folder))
        {
            return Ok((path, "in the hub's cache"));
        }
        let of_openpi = self.openpi.join(OPENPI_FILE);
        if is_paligemma && of_openpi.is_file() {
            return Ok((of_openpi, "in openpi's cache"));
        }
        let is_cached = folder.starts_with(&self.hub.cache);
        let into = if is_cached {
            String::new()
        } else {
            format!(" --local-dir {}", folder.display())
        };
        Err(CheckpointError::File {
            path: folder.join(FILES[0]),
            problem: format!(
                "missing, and so is {name} in the hub's cache {}{}; accept its licence at {}/{name}, then run: hf download \
                 {name} tokenizer.json{into}",
                self.hub.cache.display(),
                match is_paligemma {
                    true => format!(" and openpi's {}", of_openpi.display()),
                    false => String::new(),
                },
                self.hub.endpoint
            ),
        })
    }
}

fn in_folder(folder: &Path) -> Option<PathBuf> {
    FILES
        .iter()
        .map(|file| folder.join(file))
        .find(|path| path.is_file())
}

/// Name of the tokenizer in the step that LeRobot tokenizes with.
fn name_in_processors(folder: &Path) -> Option<String> {
    // A pipeline that cannot be read is refused where its statistics are.
    let pipeline: Value = json::read(&folder.join("policy_preprocessor.json")).ok()?;
    let mut steps = pipeline.get("steps")?.as_array()?.iter();
    let name = steps.find_map(|step| step.get("config")?.get("tokenizer_name")?.as_str());
    name.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    /// Every place that a tokenizer is looked for in, all of them empty.
    struct Places {
        root: tempfile::TempDir,
        hub: Hub,
    }

    impl Places {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let hub = Hub {
                cache: root.path().join("hub"),
                endpoint: "https://huggingface.co".to_owned(),
                token: None,
                is_offline: true,
                retry_delay: Duration::ZERO,
            };
            Self { root, hub }
        }

        /// Makes an empty file. Its path.
        fn put(&self, file: &str) -> PathBuf {
            let path = self.root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            path
        }

        fn name_in_processors(&self, name: &str) {
            let path = self.put("policy/policy_preprocessor.json");
            let pipeline =
                serde_json::json!({"steps": [{"config": {}}, {"config": {"tokenizer_name": name}}]});
            fs::write(path, pipeline.to_string()).unwrap();
        }

        fn find(&self, given: Option<&Path>) -> Result<PathBuf, String> {
            let openpi = self.root.path().join("openpi");
            let caches = Caches {
                hub: &self.hub,
                openpi: &openpi,
            };
            let found = caches.find(&self.root.path().join("policy"), given);
            found.map(|(path, _)| path).map_err(|error| error.to_string())
        }
    }

    #[test]
    fn the_parameter_comes_before_the_folder_the_hub_s_cache_and_openpi_s() {
        let places = Places::new();
        places.name_in_processors(PALIGEMMA);
        let paligemma = "hub/models--google--paligemma-3b-pt-224/snapshots";
        let found = |path: &PathBuf| assert_eq!(places.find(None).as_ref(), Ok(path));
        found(&places.put("openpi/big_vision/paligemma_tokenizer.model"));
        found(&places.put(&format!("{paligemma}/b0/tokenizer.model")));
        found(&places.put(&format!("{paligemma}/b0/tokenizer.json")));
        places.put(&format!("{paligemma}/a0/tokenizer.json"));
        fs::create_dir_all(
            places
                .root
                .path()
                .join("hub/models--google--paligemma-3b-pt-224/refs"),
        )
        .unwrap();
        fs::write(
            places
                .root
                .path()
                .join("hub/models--google--paligemma-3b-pt-224/refs/main"),
            "b0",
        )
        .unwrap();
        found(&places.root.path().join(format!("{paligemma}/b0/tokenizer.json")));
        found(&places.put("policy/tokenizer.json"));
        let given = places.put("elsewhere/tokenizer.json");
        assert_eq!(places.find(Some(&given)), Ok(given.clone()));
        assert_eq!(places.find(given.parent()), Ok(given.clone()));
    }

    #[test]
    fn a_tokenizer_that_the_checkpoint_names_is_taken_before_paligemma_s() {
        let places = Places::new();
        places.put("hub/models--google--paligemma-3b-pt-224/snapshots/a0/tokenizer.json");
        places.name_in_processors("google/paligemma-3b-mix-224");
        assert!(places.find(None).is_ok());
        let mix = places.put("hub/models--google--paligemma-3b-mix-224/snapshots/a0/tokenizer.json");
        assert_eq!(places.find(None), Ok(mix));
    }

    #[test]
    fn no_other_tokenizer_stands_in_for_one_that_the_checkpoint_names() {
        let places = Places::new();
        places.put("hub/models--google--paligemma-3b-pt-224/snapshots/a0/tokenizer.json");
        places.put("openpi/big_vision/paligemma_tokenizer.model");
        places.name_in_processors("google/gemma-3-4b-it");
        let message = places.find(None).unwrap_err();
        assert!(
            message.contains("hf download google/gemma-3-4b-it tokenizer.json"),
            "{message}"
        );
        assert!(!message.contains("openpi"), "{message}");
    }

    #[test]
    fn a_missing_tokenizer_is_refused_with_the_command_that_gets_it() {
        let places = Places::new();
        let folder = places.root.path().join("policy");
        let message = places.find(None).unwrap_err();
        let command = format!(
            "hf download {PALIGEMMA} tokenizer.json --local-dir {}",
            folder.display()
        );
        assert!(message.ends_with(&command), "{message}");
        for words in [
            "https://huggingface.co/google/paligemma-3b-pt-224",
            "openpi/big_vision/paligemma_tokenizer.model",
        ] {
            assert!(message.contains(words), "{words:?} is not in: {message}");
        }
    }

    #[test]
    fn a_parameter_that_names_nothing_is_refused() {
        let places = Places::new();
        places.put("policy/tokenizer.json");
        let message = places.find(Some(Path::new("/no/such"))).unwrap_err();
        assert!(
            message.contains("/no/such: the parameter tokenizer names it"),
            "{message}"
        );
        let empty = places.root.path().join("policy/empty");
        fs::create_dir_all(&empty).unwrap();
        assert!(places.find(Some(&empty)).is_err());
    }
}
