//! Spans of inference and control as a Chrome trace, which <https://ui.perfetto.dev> shows over time.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
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

/// A file in which the trace ends at the first write that fails, as on a full disk: the program goes on without it.
struct TraceFile {
    file: File,
    path: PathBuf,
    length: u64,
    /// Where the newest line ends that is whole, without the comma behind it.
    whole: u64,
    has_ended: bool,
}

impl TraceFile {
    fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: File::create(path)?,
            path: path.to_owned(),
            length: 0,
            whole: 0,
            has_ended: false,
        })
    }

    /// Leaves the whole lines, as JSON.
    fn end(&mut self, reason: &io::Error) {
        self.has_ended = true;
        let mut cut = || {
            self.file.set_len(self.whole)?;
            self.file.seek(SeekFrom::Start(self.whole))?;
            let end: &[u8] = if self.whole == 0 { b"[\n]" } else { b"\n]" };
            self.file.write_all(end)
        };
        // A device has no length to cut to.
        let _ = cut();
        // Of a program that only traces there is no log.
        let _ = writeln!(
            io::stderr(),
            "the trace {} ends here, the program goes on: {reason}",
            self.path.display()
        );
    }
}

impl Write for TraceFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.has_ended {
            return Ok(bytes.len());
        }
        match self.file.write_all(bytes) {
            Ok(()) => {
                if let Some(newline) = bytes.iter().rposition(|byte| *byte == b'\n') {
                    // Behind the bracket of the first line there is no comma.
                    self.whole = (self.length + newline as u64).saturating_sub(1).max(1);
                }
                self.length += bytes.len() as u64;
            }
            Err(reason) => self.end(&reason),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the spans of this package to `file`, as part of what becomes of the program's spans and log lines.
///
/// # Errors
/// When the file cannot be written.
pub fn layer<S>(file: &Path) -> Result<(impl Layer<S> + use<S>, ChromeTrace), ChromeTraceError>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let writer = TraceFile::create(file).map_err(|source| ChromeTraceError {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_that_cannot_be_written_to_its_end_is_cut_behind_its_last_whole_line() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let mut trace = TraceFile::create(&path).unwrap();
        for part in ["[\n{\"a\": 1}", ",\n{\"a\": 2},", "\n{\"a\": "] {
            trace.write_all(part.as_bytes()).unwrap();
        }
        trace.end(&io::Error::other("full"));
        trace.write_all(b"3}\n]").unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "[\n{\"a\": 1},\n{\"a\": 2}\n]"
        );
    }

    #[test]
    fn a_trace_of_which_no_line_is_whole_is_empty() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        TraceFile::create(&path).unwrap().end(&io::Error::other("full"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "[\n]");
    }

    #[test]
    fn a_device_without_room_ends_the_trace_and_no_program() {
        let mut trace = TraceFile::create(Path::new("/dev/full")).unwrap();
        trace.write_all(b"[\n").unwrap();
        trace.write_all(b"{}").unwrap();
        trace.flush().unwrap();
        assert!(trace.has_ended);
    }
}
