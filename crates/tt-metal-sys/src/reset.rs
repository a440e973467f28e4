//! Reset of a card by Tenstorrent's own program.

use std::io;
use std::process::Command;

use crate::{Error, Result};

/// Command that resets the card of this number, as a shell takes it.
pub fn reset_command(device_id: u32) -> String {
    format!("tt-smi -r {device_id}")
}

/// Resets the card of this number, which takes some seconds: runs `tt-smi -r` as a process of its own. Every program that uses
/// the card loses it, so all [devices](crate::Device) of it have to be dropped before.
///
/// # Errors
/// When there is no `tt-smi` in the path, or it fails.
pub fn reset(device_id: u32) -> Result<()> {
    let number = device_id.to_string();
    outcome(device_id, Command::new("tt-smi").args(["-r", &number]).output())
}

fn outcome(device_id: u32, ran: io::Result<std::process::Output>) -> Result<()> {
    let reason = match ran {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => {
            let message = String::from_utf8_lossy(&output.stderr);
            let last = message.lines().map(str::trim).rfind(|line| !line.is_empty());
            format!("{}: {}", output.status, last.unwrap_or("no message"))
        }
        Err(error) => format!("{error}; it is the Python package tt-smi"),
    };
    Err(Error::Reset {
        command: reset_command(device_id),
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(script: &str) -> Result<()> {
        outcome(3, Command::new("sh").args(["-c", script]).output())
    }

    #[test]
    fn a_reset_that_fails_is_an_error_with_the_command_and_the_last_line_of_its_message() {
        assert!(ran("exit 0").is_ok());
        let error = ran("echo first >&2; echo no such card >&2; exit 4").unwrap_err();
        let expected = "tt-smi -r 3 failed: exit status: 4: no such card";
        assert_eq!(error.to_string(), expected);
        let error = ran("exit 1").unwrap_err().to_string();
        assert!(error.ends_with("no message"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named_with_its_package() {
        let missing = Command::new("/nowhere/tt-smi").output();
        let error = outcome(0, missing).unwrap_err().to_string();
        assert!(
            error.contains("tt-smi -r 0") && error.contains("Python package"),
            "{error}"
        );
    }
}
