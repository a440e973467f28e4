//! What the program answers to `--help` and `--version`.

use std::fmt::Write;

use super::{DECLARATIONS, in_yaml};

const USAGE: &str = "Usage: pi0_node --ros-args -p checkpoint:=FOLDER [--params-file FILE] [-p NAME:=VALUE]... [-r FROM:=TO]...";

/// The answer to the program's arguments, where they ask for one. What comes after `--ros-args` is for ROS 2.
pub fn answer(arguments: impl IntoIterator<Item = String>) -> Option<String> {
    let own = arguments
        .into_iter()
        .take_while(|argument| argument != "--ros-args");
    own.into_iter().find_map(|argument| match argument.as_str() {
        "--help" | "-h" => Some(help()),
        "--version" | "-V" => Some(version()),
        _ => None,
    })
}

fn version() -> String {
    format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
}

fn help() -> String {
    let mut text = format!(
        "{}: {}\n\n{USAGE}\n\nParameters, with what they are when nobody sets them:\n",
        version(),
        env!("CARGO_PKG_DESCRIPTION")
    );
    for declaration in DECLARATIONS {
        let default = in_yaml(&declaration.default.value());
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "\n  {} := {default}\n      {}\n",
            declaration.name, declaration.description
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(arguments: &[&str]) -> Option<String> {
        answer(arguments.iter().map(|&argument| argument.to_owned()))
    }

    #[test]
    fn help_has_every_parameter_and_is_not_asked_for_after_ros_args() {
        let help = asked(&["--help"]).unwrap();
        for declaration in DECLARATIONS {
            assert!(help.contains(&format!("\n  {} := ", declaration.name)), "{help}");
        }
        assert_eq!(asked(&["-h"]), Some(help));
        assert_eq!(
            asked(&["--version"]).unwrap(),
            format!("pi0_node {}", env!("CARGO_PKG_VERSION"))
        );
        assert_eq!(asked(&[]), None);
        assert_eq!(asked(&["--ros-args", "-p", "prompt:=wave", "--help"]), None);
    }
}
