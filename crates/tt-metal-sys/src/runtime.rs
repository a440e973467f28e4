//! Finds the wheel.

use std::path::{Path, PathBuf};
use std::sync::Once;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::message;
use crate::{Error, Result};

/// Versions of the wheel whose operations are as this crate calls them. Only 0.81.1 was tried.
pub const SUPPORTED_VERSIONS: &str = "0.81.x";

/// The loaded wheel.
pub struct Runtime {
    pub(crate) ttnn: Py<PyModule>,
    version: String,
}

/// A card that is described and not there: TT-NN checks and builds everything, and computes nothing.
#[derive(Clone, Debug)]
pub struct MockCard {
    /// A cluster descriptor of TT-Metalium, in YAML.
    pub descriptor: PathBuf,
    /// Where what is compiled for it is kept, apart from what a card would load; its last part is `mock-cache`.
    pub cache: PathBuf,
}

impl Runtime {
    /// Loads the wheel of the virtual environment in `PI0_TTNN_ENVIRONMENT`, or the one that the process's Python finds.
    ///
    /// # Errors
    /// When there is none, or none of the supported versions.
    pub fn load() -> Result<Self> {
        Self::load_with(&[])
    }

    /// The same for a mock card. A process opens either mock cards or real ones.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_for(mock: &MockCard) -> Result<Self> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        Self::load_with(&[
            ("TT_METAL_MOCK_CLUSTER_DESC_PATH", text(&mock.descriptor)),
            ("TT_METAL_CACHE", text(&mock.cache)),
            ("TT_METAL_LOGS_PATH", text(&mock.cache)),
        ])
    }

    fn load_with(environment: &[(&str, String)]) -> Result<Self> {
        start_interpreter();
        Python::attach(|python| {
            prepare(python, environment).map_err(|error| Error::NotInstalled(message(&error)))?;
            let ttnn = python
                .import("ttnn")
                .map_err(|error| Error::NotInstalled(message(&error)))?;
            let version = installed_version(python).map_err(|error| Error::NotInstalled(message(&error)))?;
            check_version(&version)?;
            Ok(Self {
                ttnn: ttnn.unbind(),
                version,
            })
        })
    }

    /// The wheel's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    pub(crate) fn clone_ref(&self, python: Python) -> Self {
        Self {
            ttnn: self.ttnn.clone_ref(python),
            version: self.version.clone(),
        }
    }
}

fn prepare(python: Python, environment: &[(&str, String)]) -> PyResult<()> {
    let variables = python.import("os")?.getattr("environ")?;
    for (name, value) in environment {
        variables.set_item(*name, value)?;
    }
    let temporary = std::env::temp_dir();
    for (name, value) in [
        // Reports that TT-Metalium would leave in the working folder.
        ("TT_METAL_LOGS_PATH", &*temporary.to_string_lossy()),
        // The wheel speaks on standard output at every import unless told otherwise.
        ("LOGURU_LEVEL", "ERROR"),
        ("TT_LOGGER_LEVEL", "error"),
        // A card that does not answer for so long is given up, with an error instead of a wait for ever.
        ("TT_METAL_OPERATION_TIMEOUT_SECONDS", "10"),
    ] {
        variables.call_method1("setdefault", (name, value))?;
    }
    Ok(())
}

/// Starts Python as the one of `PI0_TTNN_ENVIRONMENT`, whatever other environment the process was started in. Does nothing
/// where it runs already.
pub(crate) fn start_interpreter() {
    static START: Once = Once::new();
    START.call_once(|| {
        if let Some(folder) = std::env::var_os("PI0_TTNN_ENVIRONMENT") {
            let program = Path::new(&folder).join("bin/python3");
            let text = program.to_string_lossy().into_owned();
            let name: Vec<_> = text.chars().map(|letter| letter as _).chain([0]).collect();
            // SAFETY: the name ends in 0 and is never freed, as Python asks; before Python is started this is allowed at
            // any time, and where it was started it has no effect.
            unsafe { pyo3::ffi::Py_SetProgramName(Vec::leak(name).as_ptr()) };
        }
        Python::initialize();
    });
}

fn installed_version(python: Python) -> PyResult<String> {
    let arguments = PyDict::new(python);
    arguments.set_item("distribution_name", "ttnn")?;
    python
        .import("importlib.metadata")?
        .call_method("version", (), Some(&arguments))?
        .extract()
}

fn check_version(version: &str) -> Result<()> {
    match version.split('.').take(2).eq(["0", "81"]) {
        true => Ok(()),
        false => Err(Error::Version {
            found: version.to_owned(),
            expected: SUPPORTED_VERSIONS,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_versions_are_refused_with_what_to_install() {
        assert!(check_version("0.81.1").is_ok());
        assert!(check_version("0.81.3").is_ok());
        for other in ["0.80.0", "0.8.1", "1.81.0", ""] {
            let error = check_version(other).unwrap_err().to_string();
            assert!(error.contains("ttnn==0.81.1"), "{error}");
        }
    }
}
