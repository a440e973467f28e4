//! What can go wrong between a call and the card.

use pyo3::prelude::*;

/// Oldest firmware bundle that TT-Metalium of TT-NN 0.81.1 accepts.
pub(crate) const LEAST_FIRMWARE: &str = "18.10.0";

/// Why TT-NN did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The wheel is not there or does not load.
    #[error(
        "TT-NN is not installed: {0}; run tools/tenstorrent/install.sh, or install the Python package ttnn==0.81.1 for \
         Python 3.10 or 3.12 and let PI0_TTNN_ENVIRONMENT name its virtual environment"
    )]
    NotInstalled(String),
    /// The wheel has another version.
    #[error("TT-NN {found} is installed, this build is for {expected}: pip install 'ttnn==0.81.1'")]
    Version {
        /// Version of the wheel.
        found: String,
        /// Versions that this crate is for.
        expected: &'static str,
    },
    /// TT-Metalium sees no card.
    #[error("no Tenstorrent card was found: {0}")]
    NoCard(String),
    /// A card that is there and does not open.
    #[error("the Tenstorrent card could not be opened: {0}")]
    Open(String),
    /// No room for a tensor or an operation's buffers.
    #[error("{operation} of {shapes}: the card has no memory left: {message}")]
    OutOfMemory {
        /// TT-NN's name of the operation.
        operation: &'static str,
        /// Shapes of its tensors.
        shapes: String,
        /// What TT-NN says.
        message: String,
    },
    /// A card that hangs. TT-Metalium cannot recover it: only a [reset](crate::reset) does.
    #[error("{operation} of {shapes}: the card does not answer: {message}")]
    Hung {
        /// TT-NN's name of the operation.
        operation: &'static str,
        /// Shapes of its tensors.
        shapes: String,
        /// What TT-NN says.
        message: String,
    },
    /// A reset that did not work.
    #[error("{command} failed: {reason}")]
    Reset {
        /// Command that was run.
        command: String,
        /// Its last words, or why it did not run.
        reason: String,
    },
    /// Any other failure of an operation.
    #[error("{operation} of {shapes}: {message}")]
    Operation {
        /// TT-NN's name of the operation.
        operation: &'static str,
        /// Shapes of its tensors.
        shapes: String,
        /// What TT-NN says.
        message: String,
    },
}

/// Result of a call of TT-NN.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A card that is there and does not open is another thing than none.
    pub(crate) fn of_opening(error: &PyErr) -> Self {
        let message = message(error);
        if message.contains("No chips detected") {
            return Self::NoCard(message);
        }
        if is_timeout(&message) {
            return Self::Hung {
                operation: "open_device",
                shapes: "a card".to_owned(),
                message,
            };
        }
        // TT-Metalium says this of each Ethernet core in its own way; the remedy is one.
        match message.to_lowercase().contains("firmware") {
            true => Self::Open(format!(
                "{message}; TT-NN 0.81.1 wants firmware {LEAST_FIRMWARE} or later: tt-flash"
            )),
            false => Self::Open(message),
        }
    }

    pub(crate) fn of_operation(operation: &'static str, shapes: String, error: &PyErr) -> Self {
        let message = message(error);
        let lower = message.to_lowercase();
        if lower.contains("out of memory") {
            return Self::OutOfMemory {
                operation,
                shapes,
                message,
            };
        }
        if is_timeout(&message) {
            return Self::Hung {
                operation,
                shapes,
                message,
            };
        }
        Self::Operation {
            operation,
            shapes,
            message,
        }
    }
}

fn is_timeout(message: &str) -> bool {
    let message = message.to_lowercase();
    message.contains("timeout") || message.contains("timed out")
}

/// What TT-NN says, on one line and without its backtrace.
pub(crate) fn message(error: &PyErr) -> String {
    let whole = error.to_string();
    let said = whole.split("backtrace:").next().unwrap_or_default();
    let lines: Vec<&str> = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines.join(" ")
}

#[cfg(test)]
mod tests {
    use pyo3::exceptions::PyRuntimeError;

    use super::*;
    use crate::runtime::start_interpreter;

    fn failed(message: &'static str) -> Error {
        start_interpreter();
        Python::attach(|_| {
            Error::of_operation("linear", "[1, 2]".to_owned(), &PyRuntimeError::new_err(message))
        })
    }

    #[test]
    fn an_operation_s_error_has_shapes_and_message_without_backtrace() {
        let error = failed("TT_FATAL @ a.cpp:1: a == b\ninfo:\nwidths differ\nbacktrace:\n --- somewhere")
            .to_string();
        assert_eq!(
            error,
            "linear of [1, 2]: RuntimeError: TT_FATAL @ a.cpp:1: a == b info: widths differ"
        );
    }

    #[test]
    fn no_card_and_one_that_does_not_open_are_told_apart() {
        let of =
            |message: &'static str| Python::attach(|_| Error::of_opening(&PyRuntimeError::new_err(message)));
        assert!(matches!(of("No chips detected in the cluster"), Error::NoCard(_)));
        assert!(matches!(of("chip in use by another process"), Error::Open(_)));
        assert!(matches!(
            of("Timed out while waiting for active ethernet core"),
            Error::Hung { .. }
        ));
    }

    #[test]
    fn a_card_whose_firmware_is_too_old_is_told_which_one_is_wanted_and_how_to_get_it() {
        start_interpreter();
        let message = "Device 0 Firmware update is required. Minimum tt-firmware version is 18.10.0";
        let error = Python::attach(|_| Error::of_opening(&PyRuntimeError::new_err(message)));
        let text = error.to_string();
        assert!(matches!(error, Error::Open(_)), "{text}");
        assert!(
            text.contains("18.10.0 or later") && text.contains("tt-flash"),
            "{text}"
        );
    }

    #[test]
    fn lack_of_memory_and_a_hung_card_are_told_apart() {
        assert!(matches!(
            failed("Out of Memory: Not enough space to allocate 8 B DRAM buffer"),
            Error::OutOfMemory { .. }
        ));
        assert!(matches!(
            failed("TIMEOUT: device timeout, potential hang detected, the device is unrecoverable"),
            Error::Hung { .. }
        ));
    }
}
