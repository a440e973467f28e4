//! Many bags: a process for each, a result file for each, and nothing twice.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::Hasher;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::UNIX_EPOCH;

use parking_lot::Mutex;

use super::bag::{BagError, bags_below, is_bag};
use super::evaluation::EvaluationOptions;
use super::result::Report;
use crate::parameters::Settings;

/// The bags that paths stand for: bags themselves, and folders with bags below them.
///
/// # Errors
/// When a path is neither.
pub fn find_bags(paths: &[PathBuf]) -> Result<Vec<PathBuf>, BagError> {
    let mut bags = Vec::new();
    for path in paths {
        let found = match path.is_dir() && !is_bag(path) {
            true => bags_below(path)?,
            // What is no bag says so when it is opened.
            false => vec![path.clone()],
        };
        if found.is_empty() {
            return Err(BagError::NotABag {
                path: path.clone(),
                problem: "there is no bag in the folder or below it".to_owned(),
            });
        }
        for bag in found {
            if !bags.contains(&bag) {
                bags.push(bag);
            }
        }
    }
    Ok(bags)
}

/// The name of a bag's files in a folder of results: its path, without what cannot be in a file's name.
pub fn result_name(bag: &Path) -> String {
    let path = bag.to_string_lossy();
    let is_kept = |character: char| character.is_alphanumeric() || "-_.".contains(character);
    let name: String = path
        .trim_matches(['/', '.'])
        .chars()
        .map(|character| if is_kept(character) { character } else { '_' })
        .collect();
    name
}

/// What a result was made of, as one word: parameters, choices, and the name, size and age of every file of the bag and
/// the checkpoint. Threads are left out, because they change no result.
///
/// # Errors
/// When a file cannot be looked at.
pub fn fingerprint(bag: &Path, settings: &Settings, options: &EvaluationOptions) -> io::Result<String> {
    let mut settings = settings.clone();
    settings.device.threads = 0;
    let mut hasher = DefaultHasher::new();
    hasher.write(format!("{} {settings:?} {options:?}", env!("CARGO_PKG_VERSION")).as_bytes());
    for path in [bag, &settings.checkpoint] {
        for file in files_of(path)? {
            let metadata = fs::metadata(&file)?;
            let age = metadata
                .modified()?
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            let described = format!("{} {} {}", file.display(), metadata.len(), age.as_nanos());
            hasher.write(described.as_bytes());
        }
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn files_of(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    let mut files: Vec<PathBuf> = entries.into_iter().filter(|entry| entry.is_file()).collect();
    files.sort();
    Ok(files)
}

/// The report of a bag that was evaluated before from the same inputs; none when it is to be evaluated.
pub fn finished(result: &Path, fingerprint: &str) -> Option<Report> {
    let report = Report::read(result).ok()?;
    let is_same = matches!(&report.bags[..], [bag] if bag.inputs == fingerprint);
    is_same.then_some(report)
}

/// Runs a process for each bag, `parallel` at a time, and tells `done` of each that ended: its index, and the last words
/// of one that failed.
pub fn run_processes(
    bags: &[PathBuf],
    parallel: usize,
    process: &(dyn Fn(&Path) -> Command + Sync),
    mut done: impl FnMut(usize, Result<(), String>),
) {
    let next = Mutex::new(0..bags.len());
    let (send, ended) = channel();
    std::thread::scope(|scope| {
        for _ in 0..parallel.clamp(1, bags.len().max(1)) {
            let (send, next) = (send.clone(), &next);
            scope.spawn(move || {
                loop {
                    let index = next.lock().next();
                    let Some(index) = index else { break };
                    // Whoever listens does so until every worker has ended.
                    let _ = send.send((index, run(process(&bags[index]))));
                }
            });
        }
        drop(send);
        for (index, result) in ended {
            done(index, result);
        }
    });
}

fn run(mut process: Command) -> Result<(), String> {
    match process.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let words = String::from_utf8_lossy(&output.stderr);
            Err(format!(
                "{} ({})",
                words.trim().trim_start_matches("error: "),
                output.status
            ))
        }
        Err(error) => Err(format!("the process could not be started: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bag_has_its_process_and_a_failure_tells_its_last_words() {
        let bags: Vec<PathBuf> = (0..7).map(|bag| PathBuf::from(format!("{bag}"))).collect();
        let process = |bag: &Path| {
            let mut command = Command::new("sh");
            command.args(["-c", "[ $0 != 3 ] || { echo 'error: no such bag' >&2; exit 2; }"]);
            command.arg(bag);
            command
        };
        let mut ended = vec![None; 7];
        run_processes(&bags, 3, &process, |index, result| ended[index] = Some(result));
        for (index, result) in ended.into_iter().enumerate() {
            match result.unwrap() {
                Ok(()) => assert_ne!(index, 3),
                Err(words) => assert!(index == 3 && words.starts_with("no such bag"), "{words}"),
            }
        }
    }

    #[test]
    fn bags_of_the_same_name_have_results_of_their_own() {
        assert_eq!(result_name(Path::new("./day 1/bag_0/")), "day_1_bag_0");
        assert_ne!(result_name(Path::new("a/run")), result_name(Path::new("b/run")));
    }
}
