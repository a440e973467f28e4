//! The policy's folder within what a training run of LeRobot leaves.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::error::CheckpointError;

/// Finds the folder of the policy: `folder` itself, or the `pretrained_model` of a training step
/// (`checkpoints/020000`), of all steps (`checkpoints`) or of a whole run. Among several steps it is the one
/// that `last` links to, else the highest.
pub(super) fn of_policy(folder: &Path) -> PathBuf {
    let Some(policy) = find(folder) else {
        return folder.to_owned();
    };
    if policy != folder {
        tracing::info!(
            "{}: the folder of a training run, its policy is {}",
            folder.display(),
            policy.display()
        );
    }
    policy
}

/// As [`of_policy`]; `None` where there is no policy.
pub(super) fn find(folder: &Path) -> Option<PathBuf> {
    if is_policy(folder) {
        return Some(folder.to_owned());
    }
    [folder.to_owned()]
        .into_iter()
        .chain(newest_step(folder))
        .chain(newest_step(&folder.join("checkpoints")))
        .map(|step| step.join("pretrained_model"))
        .find(|policy| is_policy(policy))
}

/// # Errors
/// When the file is a link to one that does not exist, or to itself.
pub(super) fn refuse_broken_link(file: &Path) -> Result<(), CheckpointError> {
    match file.is_symlink() && !file.exists() {
        false => Ok(()),
        true => Err(CheckpointError::File {
            path: file.to_owned(),
            problem: "a link that leads nowhere; copy the folder with the files that its links name (cp -rL)"
                .to_owned(),
        }),
    }
}

/// The file that a file of a folder names; `None` where there is none, and for a name that leads out of the folder: a folder
/// of somebody else must not make a device or another file of this machine be read.
pub(super) fn named_file(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut parts = Path::new(name).components();
    let is_within = parts.all(|part| matches!(part, Component::Normal(_)));
    Some(folder.join(name)).filter(|path| is_within && path.is_file())
}

fn is_policy(folder: &Path) -> bool {
    ["config.json", "model.safetensors", "adapter_config.json"]
        .iter()
        .any(|file| folder.join(file).exists())
}

/// The step of a training run that was saved last.
fn newest_step(steps: &Path) -> Option<PathBuf> {
    let last = steps.join("last");
    if last.is_dir() {
        return Some(last);
    }
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u64>().ok();
    fs::read_dir(steps)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter_map(|path| Some((number(&path)?, path)))
        .max()
        .map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_folder_itself_are_named_in_it() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("policy");
        fs::create_dir_all(folder.join("deeper")).unwrap();
        for file in [folder.join("a"), folder.join("deeper/b"), outer.path().join("c")] {
            fs::write(file, "").unwrap();
        }
        for name in ["a", "deeper/b"] {
            assert_eq!(named_file(&folder, name), Some(folder.join(name)));
        }
        let absolute = folder.join("a");
        for name in [
            "../c",
            "/dev/zero",
            "deeper/../../c",
            "missing",
            "deeper",
            "",
            absolute.to_str().unwrap(),
        ] {
            assert_eq!(named_file(&folder, name), None, "{name:?}");
        }
    }
}
