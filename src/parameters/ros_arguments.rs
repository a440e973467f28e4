//! Parameters among ROS arguments, read where no ROS 2 reads them.

use std::path::PathBuf;

use super::file::{ParameterFileError, parameters_of, parse_override};
use super::value::ParameterValue;

const NODE: &str = "pi0_node";

/// Why ROS arguments have no parameters.
#[derive(Debug, thiserror::Error)]
pub enum RosArgumentError {
    /// Option at the end, without its value.
    #[error("{0} is the last argument, expected a value behind it")]
    NoValue(String),
    /// File that cannot be read.
    #[error("{}: {reason}", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Reason.
        reason: std::io::Error,
    },
    /// File or text without parameters of the node.
    #[error("{from}: {reason}")]
    Parameters {
        /// File, or text of the command line.
        from: String,
        /// Reason.
        reason: ParameterFileError,
    },
}

/// The parameters of the node with these arguments; of two of one name the later counts, and those of the command line count
/// over those of files, as for ROS 2. What comes before `--ros-args` is not read.
///
/// # Errors
/// When an option has no value, or a file or value cannot be read.
pub fn parameters_of_arguments(
    arguments: &[String],
) -> Result<Vec<(String, ParameterValue)>, RosArgumentError> {
    let (mut files, mut overrides) = (Vec::new(), Vec::new());
    let (mut namespace, mut name) = (String::new(), NODE.to_owned());
    let mut arguments = arguments.iter();
    let mut is_for_ros = false;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--ros-args" => is_for_ros = true,
            "--" => is_for_ros = false,
            option @ ("-p" | "--param" | "--params-file" | "-r" | "--remap") if is_for_ros => {
                let value = arguments
                    .next()
                    .ok_or_else(|| RosArgumentError::NoValue(option.to_owned()))?;
                match option {
                    "-p" | "--param" => overrides.push(value),
                    "--params-file" => files.push(PathBuf::from(value)),
                    _ => match value.split_once(":=") {
                        Some(("__ns", given)) => namespace = given.trim_matches('/').to_owned(),
                        Some(("__node", given)) => name = given.to_owned(),
                        _ => {}
                    },
                }
            }
            _ => {}
        }
    }
    let node = match namespace.as_str() {
        "" => format!("/{name}"),
        namespace => format!("/{namespace}/{name}"),
    };
    let mut parameters = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).map_err(|reason| RosArgumentError::Read {
            path: path.clone(),
            reason,
        })?;
        let of_file = parameters_of(&text, &node).map_err(|reason| RosArgumentError::Parameters {
            from: path.display().to_string(),
            reason,
        })?;
        parameters.extend(of_file);
    }
    for text in overrides {
        let parsed = parse_override(text).map_err(|reason| RosArgumentError::Parameters {
            from: text.clone(),
            reason,
        })?;
        parameters.push(parsed);
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Vec<(String, ParameterValue)>, String> {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        parameters_of_arguments(&arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn parameters_of_the_command_line_come_after_those_of_files_for_the_node_of_its_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text =
            "/left/arm:\n  ros__parameters:\n    seed: 1\n/pi0_node:\n  ros__parameters:\n    seed: 2\n";
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().to_str().unwrap();
        let rules = ["-r", "__ns:=/left", "-r", "__node:=arm", "-r", "/a:=/b"];
        let given = [
            &["--json", "--ros-args", "-p", "threads:=1", "--params-file", path][..],
            &rules,
        ]
        .concat();
        let expected = [("seed", 1), ("threads", 1)]
            .map(|(name, value)| (name.to_owned(), ParameterValue::Integer(value)));
        assert_eq!(read(&given).unwrap(), expected);
        let plain = read(&["--ros-args", "--params-file", path]).unwrap();
        assert_eq!(plain, [("seed".to_owned(), ParameterValue::Integer(2))]);
        assert_eq!(read(&["-p", "seed:=3"]), Ok(Vec::new()), "no argument for ROS");
        assert_eq!(read(&["--ros-args", "--", "-p", "seed:=3"]), Ok(Vec::new()));
    }

    #[test]
    fn arguments_that_have_no_parameters_are_refused_with_the_reason() {
        for (arguments, words) in [
            (&["--ros-args", "-p"][..], "-p is the last argument"),
            (&["--ros-args", "-p", "seed=3"], "no NAME:=VALUE"),
            (
                &["--ros-args", "--params-file", "/nowhere.yaml"],
                "/nowhere.yaml: No such file",
            ),
        ] {
            let error = read(arguments).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
