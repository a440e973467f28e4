//! A model's folder in the hub's cache, in the layout of the Python package `huggingface_hub`: `refs/<revision>` has a
//! commit, `snapshots/<commit>/` has links to the content in `blobs/`.

use std::fs;
use std::path::{Path, PathBuf};

use super::model_id::{ModelId, is_path_segment};

/// Fewest digits of an abbreviated commit.
const SHORT_COMMIT: usize = 7;
/// Digits of a commit.
const COMMIT: usize = 40;

/// Folder of a model in the hub's cache.
pub(super) struct ModelCache {
    /// `models--owner--name`.
    pub folder: PathBuf,
}

impl ModelCache {
    pub fn new(cache: &Path, model: &ModelId) -> Self {
        Self {
            folder: cache.join(model.folder_name()),
        }
    }

    /// Commit that a revision stands for, as far as the cache knows.
    pub fn commit(&self, revision: &str) -> Option<String> {
        let stored = fs::read_to_string(self.folder.join("refs").join(revision)).ok();
        let commit = stored.map(|commit| commit.trim().to_owned());
        if let Some(commit) = commit.filter(|commit| is_path_segment(commit)) {
            return Some(commit);
        }
        let is_hexadecimal = revision.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !is_hexadecimal || !(SHORT_COMMIT..=COMMIT).contains(&revision.len()) {
            return None;
        }
        let mut commits = self.commits().into_iter();
        let found = commits.find(|commit| commit.starts_with(revision))?;
        let is_unique = !commits.any(|commit| commit.starts_with(revision));
        is_unique.then_some(found)
    }

    /// Folder with the files of a commit.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// Folders of every commit, the one of `revision` first, then in the order of their names.
    pub fn snapshots(&self, revision: &str) -> Vec<PathBuf> {
        let first = self.commit(revision);
        let others = self
            .commits()
            .into_iter()
            .filter(|commit| Some(commit) != first.as_ref());
        first
            .iter()
            .cloned()
            .chain(others)
            .map(|commit| self.snapshot(&commit))
            .collect()
    }

    fn commits(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder.join("snapshots")) else {
            return Vec::new();
        };
        let mut commits: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        commits.sort();
        commits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "9e55186aa00000000000000000000000000000aa";
    const SECOND: &str = "9e55186bb00000000000000000000000000000bb";

    /// A cache with these commits, the first of which is `main`.
    fn cache(commits: &[&str]) -> (tempfile::TempDir, ModelCache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = ModelCache::new(folder.path(), &ModelId::parse("lerobot/pi05_base").unwrap());
        assert!(cache.folder.ends_with("models--lerobot--pi05_base"));
        for commit in commits {
            fs::create_dir_all(cache.snapshot(commit)).unwrap();
        }
        fs::create_dir_all(cache.folder.join("refs/refs/pr")).unwrap();
        fs::write(cache.folder.join("refs/main"), commits[0]).unwrap();
        fs::write(cache.folder.join("refs/refs/pr/1"), commits[0]).unwrap();
        (folder, cache)
    }

    #[test]
    fn a_revision_is_a_reference_a_commit_or_the_beginning_of_one() {
        let (_folder, cache) = cache(&[FIRST]);
        for revision in ["main", "refs/pr/1", FIRST, "9e55186", "9e55186aa0"] {
            assert_eq!(cache.commit(revision).as_deref(), Some(FIRST), "{revision}");
        }
        for revision in ["v2", SECOND, "9e5518", ""] {
            assert_eq!(cache.commit(revision), None, "{revision}");
        }
    }

    #[test]
    fn the_beginning_of_two_commits_is_neither() {
        let (_folder, cache) = cache(&[FIRST, SECOND]);
        assert_eq!(cache.commit("9e55186"), None);
        assert_eq!(cache.commit("9e55186b").as_deref(), Some(SECOND));
    }

    #[test]
    fn snapshots_begin_with_the_revision_s() {
        let (_folder, cache) = cache(&[SECOND, FIRST]);
        assert_eq!(
            cache.snapshots("main"),
            [cache.snapshot(SECOND), cache.snapshot(FIRST)]
        );
        assert_eq!(
            cache.snapshots("v2"),
            [cache.snapshot(FIRST), cache.snapshot(SECOND)]
        );
    }
}
