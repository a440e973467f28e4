//! What the program answers to `--help`, `--version` and `--print-parameters`.

use super::template;

const USAGE: &str = "\
Usage: pi0_node [OPTION] --ros-args -p checkpoint:=FOLDER [--params-file FILE] [-p NAME:=VALUE]... [-r FROM:=TO]...

Options:
  --print-parameters  Print a parameter file with every parameter, its description and its default
  --list-topics       Print the topics that a node with these ROS arguments subscribes to and publishes on
  --security-policy   Print the policy for SROS 2 with which a node with these ROS arguments may do what it does
  --warm-card         Have a Tenstorrent card's programs compiled for every prompt, set of cameras and frozen actions of
                      these ROS arguments, once a machine, and exit
  --check [CHECKPOINT]  Say what fits between a checkpoint and a robot, and what does not, without moving it; status 1 where
                      something does not. The robot is the running graph, its parameters those of the ROS arguments, or
                      worked out where there are none. With it:
      --bag FOLDER      a bag in place of the graph
      --listen SECONDS  time to listen to the graph (default 5)
      --dataset FOLDER  the policy's data set of LeRobot, or its meta/info.json, for names, rate and sizes
      --write FILE      write a first parameter file with what was worked out
      --json            print JSON
  -h, --help          Print help
  -V, --version       Print version";

/// The answer to the program's arguments, where they ask for one that needs no ROS 2. What comes after `--ros-args` is
/// for ROS 2.
pub fn answer(arguments: impl IntoIterator<Item = String>) -> Option<String> {
    let own = arguments
        .into_iter()
        .take_while(|argument| argument != "--ros-args");
    own.into_iter().find_map(|argument| match argument.as_str() {
        "--help" | "-h" => Some(format!(
            "{}: {}\n\n{USAGE}",
            version(),
            env!("CARGO_PKG_DESCRIPTION")
        )),
        "--version" | "-V" => Some(version()),
        "--print-parameters" => Some(template()),
        _ => None,
    })
}

fn version() -> String {
    format!("{} {}", env!("CARGO_PKG_NAME"), crate::VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(arguments: &[&str]) -> Option<String> {
        answer(arguments.iter().map(|&argument| argument.to_owned()))
    }

    #[test]
    fn options_before_ros_args_are_answered_and_those_after_are_not() {
        assert!(answered(&["--help"]).unwrap().contains("--print-parameters"));
        assert_eq!(answered(&["-h"]), answered(&["--help"]));
        let version = format!("pi0_node {}", crate::VERSION);
        assert_eq!(answered(&["--version"]), Some(version));
        assert_eq!(answered(&["--print-parameters"]), Some(template()));
        assert_eq!(answered(&[]), None);
        assert_eq!(answered(&["--ros-args", "-p", "prompt:=wave", "--help"]), None);
    }
}
