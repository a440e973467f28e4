//! Spans of inference and control as a Chrome trace, which <https://ui.perfetto.dev> shows over time.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_chrome::{ChromeLayerBuilder, FlushGuard};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// The environment variable that names the file; without it nothing is traced.
pub const VARIABLE: &str = "PI0_CHROME_TRACE";

/// What is still to be written is written when this is dropped.
#[must_use = "the trace ends when this is dropped"]
pub struct ChromeTrace {
    _end: FlushGuard,
}

/// Why there is no trace.
#[derive(Debug, thiserror::Error)]
#[error("the trace of {VARIABLE} cannot be written to {}", file.display())]
pub struct ChromeTraceError {
    file: PathBuf,
    source: io::Error,
}

/// The file that the environment asks for.
pub fn asked_for() -> Option<PathBuf> {
    std::env::var_os(VARIABLE)
        .filter(|file| !file.is_empty())
        .map(PathBuf::from)
}

/// Writes the spans of this package to `file`, as part of what becomes of the program's spans and log lines.
///
/// # Errors
/// When the file cannot be written.
pub fn layer<S>(file: &Path) -> Result<(impl Layer<S> + use<S>, ChromeTrace), ChromeTraceError>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let writer = File::create(file).map_err(|source| ChromeTraceError {
        file: file.to_owned(),
        source,
    })?;
    let builder = ChromeLayerBuilder::new().writer(writer).include_args(true);
    let (layer, end) = builder.include_locations(false).build();
    let of_this_package = Targets::new().with_target(env!("CARGO_CRATE_NAME"), LevelFilter::TRACE);
    Ok((layer.with_filter(of_this_package), ChromeTrace { _end: end }))
}

/// Traces a program that has no other log, when the environment asks for it.
///
/// # Errors
/// When the file cannot be written.
pub fn start() -> Result<Option<ChromeTrace>, ChromeTraceError> {
    let Some(file) = asked_for() else {
        return Ok(None);
    };
    let (layer, trace) = layer(&file)?;
    tracing_subscriber::registry().with(layer).init();
    Ok(Some(trace))
}
