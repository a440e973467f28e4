//! Evaluation of many bags: a process and a result for each, and none twice.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;

use parking_lot::Mutex;

use super::bag::{Bag, BagError, bags_below, is_bag};
use super::evaluate::{EvaluationError, EvaluationOptions, Prediction, evaluate};
use super::fingerprint::fingerprint;
use super::report::{FileError, Report, ReportFiles, ReportWriter};
use crate::checkpoint::{folder_of, list};
use crate::parameters::{ParameterProblem, ParameterValue, Parameters, Settings};
use crate::policy::{OpenError, open_with};

/// Reason why bags could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// Parameters that are wrong by themselves.
    #[error("the parameters do not fit:{}", list(.0))]
    Parameters(Vec<ParameterProblem>),
    /// Policy on a server, of whose checkpoint no result could tell anything.
    #[error(
        "device is remote, expected a device of this machine: results are of a checkpoint, which a server does not tell"
    )]
    Remote,
    /// Bag that cannot be found or opened.
    #[error(transparent)]
    Bag(#[from] BagError),
    /// Checkpoint that makes no policy.
    #[error("no policy from the checkpoint {path}: {1}", path = .0.display())]
    Policy(PathBuf, OpenError),
    /// Files whose state cannot be read.
    #[error("the files of the bag {path} or of the checkpoint cannot be read: {1}", path = .0.display())]
    Fingerprint(PathBuf, io::Error),
    /// Evaluation that failed.
    #[error(transparent)]
    Evaluation(#[from] EvaluationError),
    /// Report that cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Number of bags without a result, each of which was named in the progress, and of all bags.
    #[error("{0} of {1} bags could not be evaluated")]
    Failed(usize, usize),
}

/// Progress of many bags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// Bags that have a result already.
    Finished(usize),
    /// Bag that was evaluated.
    Evaluated,
    /// Bag that could not be evaluated, and the reason.
    Failed(&'a Path, String),
}

/// Evaluation of bags with one set of parameters and options.
#[derive(Clone, Debug)]
pub struct Batch {
    parameters: BTreeMap<String, ParameterValue>,
    settings: Settings,
    options: EvaluationOptions,
}

impl Batch {
    /// Checks the parameters, of which a later one of the same name counts, and finds the checkpoint, which is downloaded if
    /// it is a model of the Hugging Face Hub.
    ///
    /// # Errors
    /// Every parameter that is wrong, and a checkpoint that is not there.
    pub fn new(
        parameters: impl IntoIterator<Item = (String, ParameterValue)>,
        options: EvaluationOptions,
    ) -> Result<Self, BatchError> {
        let parameters: BTreeMap<_, _> = parameters.into_iter().collect();
        let checked =
            Parameters::from_overrides(parameters.clone().into_iter()).map_err(BatchError::Parameters)?;
        let mut settings = checked.settings().clone();
        if settings.remote.is_some() {
            return Err(BatchError::Remote);
        }
        settings.checkpoint = folder_of(&settings.checkpoint)
            .map_err(|error| BatchError::Policy(settings.checkpoint.clone(), error.into()))?;
        Ok(Self {
            settings,
            parameters,
            options,
        })
    }

    /// Evaluates one bag in this process, and writes its files.
    ///
    /// # Errors
    /// When the bag, the policy or a file fails.
    pub fn evaluate(
        &self,
        bag: &Bag,
        files: ReportFiles,
        observer: &mut dyn FnMut(&Prediction),
    ) -> Result<Report, BatchError> {
        let settings = &self.settings;
        let mut policy = open_with(&settings.checkpoint, settings.device, settings.policy.clone())
            .map_err(|error| BatchError::Policy(settings.checkpoint.clone(), error))?;
        let fingerprint = self.fingerprint(bag.path())?;
        let execution_horizon = self
            .options
            .execution_horizon(settings, policy.info().action_horizon);
        let mut writer = ReportWriter::create(files, settings, execution_horizon)?;
        let result = evaluate(bag, &mut *policy, settings, &self.options, &mut |prediction| {
            observer(&prediction);
            writer.add(&prediction);
        })?;
        let report = Report {
            fingerprint: Some(fingerprint),
            ..Report::new(vec![result])
        };
        writer.finish(&report)?;
        Ok(report)
    }

    /// Evaluates every bag that has no result from the same inputs in `folder`, each in a process that writes the files it is
    /// given, `jobs` at a time. Writes a report of all bags.
    ///
    /// # Errors
    /// When a bag has no result in the end, or the report cannot be written.
    pub fn evaluate_each(
        &self,
        bags: &[PathBuf],
        folder: &Path,
        jobs: usize,
        process: &(dyn Fn(&Path, &ReportFiles) -> Command + Sync),
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Report, BatchError> {
        let mut remaining = Vec::new();
        for bag in bags {
            if self.finished(bag, folder)?.is_none() {
                remaining.push(bag.as_path());
            }
        }
        progress(Progress::Finished(bags.len() - remaining.len()));
        let process = |bag: &Path| process(bag, &ReportFiles::in_folder(folder, bag));
        run_processes(&remaining, jobs, &process, |index, ended| match ended {
            Ok(()) => progress(Progress::Evaluated),
            Err(reason) => progress(Progress::Failed(remaining[index], reason)),
        });
        let mut results = Vec::new();
        for bag in bags {
            results.extend(
                self.finished(bag, folder)?
                    .into_iter()
                    .flat_map(|report| report.bags),
            );
        }
        let (found, bags) = (results.len(), bags.len());
        let report = Report::new(results);
        if bags > 1 && found > 0 {
            report.write_index(folder)?;
        }
        if found < bags {
            return Err(BatchError::Failed(bags - found, bags));
        }
        Ok(report)
    }

    /// Report of a bag that was evaluated before from the same inputs.
    fn finished(&self, bag: &Path, folder: &Path) -> Result<Option<Report>, BatchError> {
        let fingerprint = self.fingerprint(bag)?;
        let json = ReportFiles::in_folder(folder, bag).json;
        let report = json.and_then(|path| Report::read(&path).ok());
        Ok(report.filter(|report| report.fingerprint.as_ref() == Some(&fingerprint)))
    }

    fn fingerprint(&self, bag: &Path) -> Result<String, BatchError> {
        fingerprint(bag, &self.settings.checkpoint, &self.parameters, &self.options)
            .map_err(|error| BatchError::Fingerprint(bag.to_owned(), error))
    }
}

/// Finds the bags that paths name: bags themselves, and folders with bags below them.
///
/// # Errors
/// When a folder has no bag.
pub fn find_bags(paths: &[PathBuf]) -> Result<Vec<PathBuf>, BagError> {
    let mut bags = Vec::new();
    for path in paths {
        let found = if path.is_dir() && !is_bag(path) {
            bags_below(path)?
        } else {
            // A path that is no bag is refused when it is opened.
            vec![path.clone()]
        };
        if found.is_empty() {
            let problem = "there is no bag in the folder or below it";
            return Err(BagError::NotABag(path.clone(), problem.to_owned()));
        }
        for bag in found {
            if !bags.contains(&bag) {
                bags.push(bag);
            }
        }
    }
    Ok(bags)
}

/// Runs a process for each bag, `parallel` at a time, and calls `done` for each that ended with its index and, for a failure,
/// its error output.
fn run_processes(
    bags: &[&Path],
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
                    // The receiver lives until every worker has ended.
                    let _ = send.send((index, run(process(bags[index]))));
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
            let error = String::from_utf8_lossy(&output.stderr);
            let error = error.trim().trim_start_matches("error: ");
            Err(format!("{error} ({})", output.status))
        }
        Err(error) => Err(format!("the process could not be started: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bag_has_its_process_and_a_failure_has_its_error_output() {
        let bags: Vec<PathBuf> = (0..7).map(|bag| PathBuf::from(format!("{bag}"))).collect();
        let bags: Vec<&Path> = bags.iter().map(PathBuf::as_path).collect();
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
                Err(error) => assert!(index == 3 && error.starts_with("no such bag"), "{error}"),
            }
        }
    }
}
