//! What can go wrong between a call and the card.

use pyo3::prelude::*;

/// Why TT-NN did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "TT-NN is not installed: {0}; run tools/tenstorrent/install.sh, or install the Python package ttnn==0.81.1 for \
         Python 3.10 or 3.12 and let PI0_TTNN_ENVIRONMENT name its virtual environment"
    )]
    NotInstalled(String),
    #[error("TT-NN {found} is installed, this build is for {expected}: pip install 'ttnn==0.81.1'")]
    Version { found: String, expected: &'static str },
    #[error("no Tenstorrent card was found: {0}")]
    NoCard(String),
    #[error("the Tenstorrent card could not be opened: {0}")]
    Open(String),
    #[error("{operation} of {shapes}: the card has no memory left: {message}")]
    OutOfMemory {
        operation: &'static str,
        shapes: String,
        message: String,
    },
    #[error("{operation} of {shapes}: the card does not answer: {message}")]
    Hung {
        operation: &'static str,
        shapes: String,
        message: String,
    },
    #[error("{operation} of {shapes}: {message}")]
    Operation {
        operation: &'static str,
        shapes: String,
        message: String,
    },
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A card that is there and does not open is another thing than none.
    pub(crate) fn of_opening(error: &PyErr) -> Self {
        let message = message(error);
        match message.contains("No chips detected") {
            true => Self::NoCard(message),
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
        if lower.contains("timeout") || lower.contains("timed out") {
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
    }

    #[test]
    fn lack_of_memory_and_a_hung_card_are_told_apart() {
        assert!(matches!(
            failed("Out of Memory: Not enough space to allocate 8 B DRAM buffer"),
            Error::OutOfMemory { .. }
        ));
        assert!(matches!(
            failed("TIMEOUT: device timeout, potential hang detected"),
            Error::Hung { .. }
        ));
    }
}
