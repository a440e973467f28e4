//! A check from its arguments and what was seen to its report, and the file that it writes.

use std::path::{Path, PathBuf};

use super::guess::guess;
use super::judge::judge;
use super::needs::Needs;
use super::parameter_file::parameter_file;
use super::report::Report;
use super::request::Request;
use super::setup::Setup;
use super::sightings::Sightings;
use crate::checkpoint::{CheckpointError, CheckpointOptions, JointLabels};
use crate::parameters::{ParameterProblem, ParameterValue, Parameters};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Checkpoint or data set that cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Parameters of the policy that do not fit.
    #[error("the parameters do not fit:{}", ParameterProblem::list(.0))]
    Parameters(Vec<ParameterProblem>),
    /// Policy of a server.
    #[error(
        "the policy is on the server {0}, and the check needs its checkpoint: run it on the server's machine with the checkpoint's \
         folder"
    )]
    Remote(String),
    /// File that was asked for beside parameters of a robot.
    #[error(
        "--write is for a robot without parameters, and the arguments set {0}: leave out the parameter file, or --write"
    )]
    HasParameters(String),
    /// File that cannot be written.
    #[error("{} cannot be written: {reason}", path.display())]
    Write {
        /// Path of the file.
        path: PathBuf,
        /// Reason.
        reason: std::io::Error,
    },
}

/// Checks what was seen against the checkpoint: connected as the parameters of a robot say, or as it can be worked out where
/// there are none, and then writes a parameter file if that is asked for. `full_name`: of a topic as the parameters have it.
///
/// # Errors
/// When the checkpoint, the data set or the policy's parameters cannot be used, or the file cannot be written.
pub fn check(
    request: &Request,
    seen: &Sightings,
    full_name: &dyn Fn(&str) -> String,
) -> Result<Report, CheckError> {
    let given = &request.parameters;
    let checkpoint = request.checkpoint().unwrap_or_default();
    let dataset = request.dataset.as_deref();
    let Some((of_robot, _)) = given.iter().find(|(name, _)| is_of_robot(name)) else {
        let needs = Needs::read(checkpoint, &options_of_policy(given)?, dataset)?;
        let setup = guess(seen, &needs);
        if let Some(path) = &request.write {
            write(path, &parameter_file(seen, &needs, &setup, given))?;
        }
        return Ok(judge(seen, &needs, &setup));
    };
    if request.write.is_some() {
        return Err(CheckError::HasParameters(of_robot.clone()));
    }
    let parameters = match Parameters::from_overrides(given.iter().cloned()) {
        Ok(parameters) => parameters,
        Err(problems) => return Ok(of_parameters(&problems)),
    };
    let settings = parameters.settings();
    if let Some(remote) = &settings.remote {
        return Err(CheckError::Remote(remote.server.to_string()));
    }
    let needs = Needs::read(checkpoint, &settings.policy.checkpoint, dataset)?;
    let setup = Setup::of_parameters(&parameters, &needs, full_name);
    Ok(judge(seen, &needs, &setup))
}

/// Whether a parameter is of the robot and not of the policy alone.
fn is_of_robot(name: &str) -> bool {
    let maps = ["cameras.", "joints.", "joint_states.", "outputs.", "extra_state."];
    name == "joint_names" || name == "absent_cameras" || maps.iter().any(|map| name.starts_with(map))
}

/// The choices about the checkpoint among parameters that have no robot yet: another one stands in for it.
fn options_of_policy(given: &[(String, ParameterValue)]) -> Result<CheckpointOptions, CheckError> {
    let any = "any".to_owned();
    let robot = [
        (
            "joint_names".to_owned(),
            ParameterValue::StringArray(vec![any.clone()]),
        ),
        ("cameras.any.topic".to_owned(), ParameterValue::String(any)),
    ];
    let parameters = Parameters::from_overrides(given.iter().cloned().chain(robot));
    let settings = parameters.map_err(CheckError::Parameters)?.settings().clone();
    if let Some(remote) = &settings.remote {
        return Err(CheckError::Remote(remote.server.to_string()));
    }
    Ok(CheckpointOptions {
        joints: JointLabels::default(),
        ..settings.policy.checkpoint
    })
}

fn of_parameters(problems: &[ParameterProblem]) -> Report {
    let mut report = Report::default();
    for problem in problems {
        report.problem(
            &problem.name,
            format!("found {}, expected {}", problem.found, problem.expected),
            "the rest is checked once the parameters fit",
        );
    }
    report
}

/// Writes a file that is not there yet, whole or not at all.
fn write(path: &Path, text: &str) -> Result<(), CheckError> {
    use std::io::Write;
    let created = std::fs::File::create_new(path);
    let written = created.and_then(|mut file| {
        file.write_all(text.as_bytes())
            .inspect_err(|_| drop(std::fs::remove_file(path)))
    });
    written.map_err(|reason| CheckError::Write {
        path: path.to_owned(),
        reason,
    })
}
