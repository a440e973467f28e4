//! Names of models on the Hugging Face Hub.

use std::fmt;

/// Branch that a name without a revision stands for.
const DEFAULT_REVISION: &str = "main";

/// A model of the hub at one revision: `owner/name` or `owner/name@revision`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelId {
    /// Owner and name, with a slash between them.
    pub repository: String,
    /// Branch, tag or commit.
    pub revision: String,
}

impl ModelId {
    /// Reads a name; `None` where it has not the form of one.
    pub fn parse(name: &str) -> Option<Self> {
        let (repository, revision) = name.split_once('@').unwrap_or((name, DEFAULT_REVISION));
        let (owner, model) = repository.split_once('/')?;
        let is_revision = revision.split('/').all(is_path_segment);
        (is_word(owner) && is_word(model) && is_revision).then(|| Self {
            repository: repository.to_owned(),
            revision: revision.to_owned(),
        })
    }

    /// Name of the model's folder in the hub's cache.
    pub(super) fn folder_name(&self) -> String {
        format!("models--{}", self.repository.replace('/', "--"))
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.revision.as_str() {
            DEFAULT_REVISION => write!(f, "{}", self.repository),
            revision => write!(f, "{}@{revision}", self.repository),
        }
    }
}

/// An owner's or a model's name, by the hub's rules.
fn is_word(text: &str) -> bool {
    is_path_segment(text)
        && text.len() <= 96
        && !text.starts_with(['-', '.'])
        && !text.ends_with(['-', '.'])
        && !text.contains("--")
        && !text.contains("..")
}

/// One level of a path: no way up, no separator.
pub(super) fn is_path_segment(text: &str) -> bool {
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    !text.is_empty() && !text.chars().all(|letter| letter == '.') && text.chars().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(name: &str) -> Option<(String, String)> {
        ModelId::parse(name).map(|id| (id.repository, id.revision))
    }

    #[test]
    fn owner_and_name_with_or_without_a_revision_are_a_model() {
        for (name, repository, revision) in [
            ("lerobot/pi05_base", "lerobot/pi05_base", "main"),
            ("lerobot/pi05_base@9e55186", "lerobot/pi05_base", "9e55186"),
            (
                "google/paligemma-3b-pt-224@v1.0",
                "google/paligemma-3b-pt-224",
                "v1.0",
            ),
            ("me/pi0@refs/pr/1", "me/pi0", "refs/pr/1"),
        ] {
            assert_eq!(parsed(name), Some((repository.to_owned(), revision.to_owned())));
            assert_eq!(ModelId::parse(name).unwrap().to_string(), name);
        }
    }

    #[test]
    fn paths_are_no_models() {
        for path in [
            "",
            "pi0",
            "/data/pi0",
            "./data/pi0",
            "../pi0",
            "data/../pi0",
            "a/b/c",
            "data/pi0/",
            "data/..",
            "~/pi0",
            "me/pi0@",
            "me/pi0@..",
            "me/pi0@a/../b",
            "me/pi 0",
            "me--too/pi0",
            "C:\\data/pi0",
        ] {
            assert_eq!(parsed(path), None, "{path:?}");
        }
    }
}
