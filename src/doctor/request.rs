//! What a check is asked for: the arguments of `pi0_node --check`.

use std::path::PathBuf;
use std::time::Duration;

use crate::parameters::{ParameterValue, RosArgumentError, parameters_of_arguments};

const CHECK: &str = "--check";
const LISTEN: Duration = Duration::from_secs(5);
const CHECKPOINT: &str = "checkpoint";

/// A check of a robot and a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Bag to read in place of the running graph.
    pub bag: Option<PathBuf>,
    /// Folder of the data set, or its `meta/info.json`.
    pub dataset: Option<PathBuf>,
    /// Time to listen to the graph.
    pub listen: Duration,
    /// File to write a first set of parameters to.
    pub write: Option<PathBuf>,
    /// Whether the report is JSON.
    pub is_json: bool,
    /// Parameters of the node, the checkpoint among them.
    pub parameters: Vec<(String, ParameterValue)>,
}

/// Why arguments are no request.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Option without a value.
    #[error("{0} needs a value; pi0_node --help has the options")]
    NoValue(String),
    /// Value that is none.
    #[error("{option} is {found:?}, expected {expected}")]
    Value {
        /// Option.
        option: &'static str,
        /// Value.
        found: String,
        /// Description of a good value.
        expected: &'static str,
    },
    /// Argument that is unknown.
    #[error("{0:?} is no option of --check; pi0_node --help has them")]
    Unknown(String),
    /// No checkpoint.
    #[error(
        "which checkpoint? pi0_node --check CHECKPOINT, or a parameter file that names it: --ros-args --params-file FILE"
    )]
    NoCheckpoint,
    /// ROS arguments without parameters.
    #[error(transparent)]
    Ros(#[from] RosArgumentError),
}

impl Request {
    /// Reads the arguments of the program; none when they ask for no check.
    ///
    /// # Errors
    /// When an option is unknown or has no good value, or no checkpoint is named.
    pub fn parse(arguments: &[String]) -> Result<Option<Self>, RequestError> {
        let is_own = |argument: &&String| *argument != "--ros-args";
        let own: Vec<&String> = arguments.iter().take_while(is_own).collect();
        if !own.iter().any(|argument| *argument == CHECK) {
            return Ok(None);
        }
        let mut request = Self {
            bag: None,
            dataset: None,
            listen: LISTEN,
            write: None,
            is_json: false,
            parameters: parameters_of_arguments(arguments)?,
        };
        let mut own = own.into_iter();
        while let Some(argument) = own.next() {
            let mut value = || own.next().ok_or_else(|| RequestError::NoValue(argument.clone()));
            match argument.as_str() {
                CHECK => {}
                "--json" => request.is_json = true,
                "--bag" => request.bag = Some(value()?.into()),
                "--dataset" => request.dataset = Some(value()?.into()),
                "--write" => request.write = Some(value()?.into()),
                "--listen" => request.listen = seconds(value()?)?,
                option if option.starts_with('-') => return Err(RequestError::Unknown(argument.clone())),
                checkpoint => {
                    let checkpoint = ParameterValue::String(checkpoint.to_owned());
                    request.parameters.push((CHECKPOINT.to_owned(), checkpoint));
                }
            }
        }
        match request.checkpoint() {
            Some(_) => Ok(Some(request)),
            None => Err(RequestError::NoCheckpoint),
        }
    }

    /// The checkpoint's folder or name.
    pub fn checkpoint(&self) -> Option<&str> {
        let mut named = self.parameters.iter().rev();
        named.find_map(|(name, value)| match value {
            ParameterValue::String(checkpoint) if name == CHECKPOINT => Some(checkpoint.as_str()),
            _ => None,
        })
    }
}

fn seconds(text: &str) -> Result<Duration, RequestError> {
    let seconds = text
        .parse()
        .ok()
        .filter(|seconds| (0.5..=600.0).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| RequestError::Value {
            option: "--listen",
            found: text.to_owned(),
            expected: "0.5 to 600 seconds",
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &str) -> Result<Option<Request>, String> {
        let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
        Request::parse(&arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn a_check_has_its_checkpoint_as_an_argument_or_as_a_parameter() {
        let request =
            parse("--check /data/pi0 --bag run --json --listen 2.5 --write robot.yaml --dataset data");
        let request = request.unwrap().unwrap();
        assert_eq!(request.checkpoint(), Some("/data/pi0"));
        assert_eq!(
            (request.listen, request.is_json),
            (Duration::from_millis(2500), true)
        );
        assert_eq!(request.bag, Some(PathBuf::from("run")));
        assert_eq!(request.write, Some(PathBuf::from("robot.yaml")));
        assert_eq!(request.dataset, Some(PathBuf::from("data")));
        let request = parse("--check --ros-args -p checkpoint:=/data/pi0 -p seed:=1")
            .unwrap()
            .unwrap();
        assert_eq!(
            (request.checkpoint(), request.listen),
            (Some("/data/pi0"), LISTEN)
        );
        assert_eq!(request.parameters.len(), 2);
    }

    #[test]
    fn other_arguments_of_the_node_ask_for_no_check() {
        assert_eq!(
            parse("--list-topics --ros-args -p checkpoint:=/data/pi0"),
            Ok(None)
        );
        assert_eq!(parse("--ros-args -p prompt:=--check"), Ok(None));
    }

    #[test]
    fn a_request_that_is_not_whole_is_refused_with_the_reason() {
        for (arguments, words) in [
            ("--check", "which checkpoint?"),
            ("--check /data/pi0 --bag", "--bag needs a value"),
            ("--check /data/pi0 --listen soon", "expected 0.5 to 600 seconds"),
            ("--check /data/pi0 --listen 1e9", "expected 0.5 to 600 seconds"),
            ("--check /data/pi0 --jsno", "\"--jsno\" is no option"),
            ("--check /data/pi0 --ros-args -p", "-p is the last argument"),
        ] {
            let error = parse(arguments).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
