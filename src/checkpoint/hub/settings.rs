//! The hub as the environment sets it, by the variables of the Python package `huggingface_hub`.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const ENDPOINT: &str = "https://huggingface.co";

/// Settings of the Hugging Face Hub: the service and its cache on this machine.
#[derive(Clone, PartialEq, Eq)]
pub struct Hub {
    /// Folder of the cache, which has a folder for each model.
    pub cache: PathBuf,
    /// Address of the service, without a slash at its end.
    pub endpoint: String,
    /// Token of the user, for models that are private or gated.
    pub token: Option<String>,
    /// Whether only the cache may be used.
    pub is_offline: bool,
    /// Wait before the first repetition of a request; each further one is twice as long.
    pub retry_delay: Duration,
}

impl Hub {
    /// Reads `HF_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME`, `HF_ENDPOINT`, `HF_TOKEN`, `HF_TOKEN_PATH`,
    /// `HF_HUB_DISABLE_IMPLICIT_TOKEN`, `HF_HUB_OFFLINE` and their older names.
    pub fn from_environment() -> Self {
        let home = env::home_dir().unwrap_or_else(|| PathBuf::from("/"));
        Self::new(|name| env::var(name).ok(), &home)
    }

    /// As [`from_environment`](Self::from_environment), from these variables and this home.
    fn new(variable: impl Fn(&str) -> Option<String>, home: &Path) -> Self {
        let first = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| variable(name).filter(|value| !value.is_empty()))
        };
        let folder = |names: &[&str]| first(names).map(|path| expand(&path, home));
        let hub_home = folder(&["HF_HOME"]).unwrap_or_else(|| {
            folder(&["XDG_CACHE_HOME"])
                .unwrap_or_else(|| home.join(".cache"))
                .join("huggingface")
        });
        let is_set = |names: &[&str]| {
            first(names).is_some_and(|value| matches!(&*value.to_uppercase(), "1" | "ON" | "YES" | "TRUE"))
        };
        let token_file = folder(&["HF_TOKEN_PATH"]).unwrap_or_else(|| hub_home.join("token"));
        let token = first(&["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]).or_else(|| {
            let is_used = !is_set(&["HF_HUB_DISABLE_IMPLICIT_TOKEN"]);
            is_used.then(|| fs::read_to_string(token_file).ok()).flatten()
        });
        let token = token.map(|token| token.trim().to_owned());
        Self {
            cache: folder(&["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"]).unwrap_or_else(|| hub_home.join("hub")),
            endpoint: first(&["HF_ENDPOINT"])
                .unwrap_or_else(|| ENDPOINT.to_owned())
                .trim_end_matches('/')
                .to_owned(),
            token: token.filter(|token| !token.is_empty()),
            is_offline: is_set(&["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]),
            retry_delay: Duration::from_secs(1),
        }
    }
}

/// Leaves the token out.
impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Hub")
            .field("cache", &self.cache)
            .field("endpoint", &self.endpoint)
            .field("has_token", &self.token.is_some())
            .field("is_offline", &self.is_offline)
            .finish_non_exhaustive()
    }
}

/// A path whose `~` is the home.
pub(in crate::checkpoint) fn expand(path: &str, home: &Path) -> PathBuf {
    match path
        .strip_prefix('~')
        .map(|rest| rest.strip_prefix('/').unwrap_or(rest))
    {
        Some(rest) if path == "~" || path.starts_with("~/") => home.join(rest),
        _ => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(variables: &[(&str, &str)], home: &Path) -> Hub {
        let value = |name: &str| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        Hub::new(value, home)
    }

    #[test]
    fn the_cache_is_where_huggingface_hub_has_it() {
        for (variables, cache) in [
            (&[][..], "/home/me/.cache/huggingface/hub"),
            (&[("XDG_CACHE_HOME", "/xdg")], "/xdg/huggingface/hub"),
            (
                &[("HF_HOME", "~/hf"), ("XDG_CACHE_HOME", "/xdg")],
                "/home/me/hf/hub",
            ),
            (&[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HOME", "/hf")], "/old"),
            (
                &[("HF_HUB_CACHE", "/new"), ("HUGGINGFACE_HUB_CACHE", "/old")],
                "/new",
            ),
            (&[("HF_HUB_CACHE", ""), ("HF_HOME", "/hf")], "/hf/hub"),
        ] {
            assert_eq!(
                hub(variables, Path::new("/home/me")).cache,
                Path::new(cache),
                "{variables:?}"
            );
        }
    }

    #[test]
    fn the_token_is_the_variable_s_or_else_the_file_s() {
        let home = tempfile::tempdir().unwrap();
        let token = |variables: &[(&str, &str)]| hub(variables, home.path()).token;
        assert_eq!(token(&[]), None);
        fs::create_dir_all(home.path().join(".cache/huggingface")).unwrap();
        fs::write(home.path().join(".cache/huggingface/token"), "hf_file\n").unwrap();
        fs::write(home.path().join("other"), "hf_other").unwrap();
        assert_eq!(token(&[]), Some("hf_file".to_owned()));
        assert_eq!(
            token(&[("HF_TOKEN_PATH", "~/other")]),
            Some("hf_other".to_owned())
        );
        assert_eq!(
            token(&[("HF_TOKEN", " hf_variable ")]),
            Some("hf_variable".to_owned())
        );
        assert_eq!(
            token(&[("HUGGING_FACE_HUB_TOKEN", "hf_old")]),
            Some("hf_old".to_owned())
        );
        assert_eq!(token(&[("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
        assert!(!format!("{:?}", hub(&[("HF_TOKEN", "hf_secret")], home.path())).contains("hf_secret"));
    }

    #[test]
    fn endpoint_and_offline_mode_are_those_of_the_variables() {
        let with = |variables: &[(&str, &str)]| hub(variables, Path::new("/home/me"));
        assert_eq!(with(&[]).endpoint, "https://huggingface.co");
        assert_eq!(
            with(&[("HF_ENDPOINT", "https://mirror/")]).endpoint,
            "https://mirror"
        );
        for (variable, value, is_offline) in [
            ("HF_HUB_OFFLINE", "1", true),
            ("HF_HUB_OFFLINE", "true", true),
            ("TRANSFORMERS_OFFLINE", "YES", true),
            ("HF_HUB_OFFLINE", "0", false),
        ] {
            assert_eq!(with(&[(variable, value)]).is_offline, is_offline);
        }
    }
}
