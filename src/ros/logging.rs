//! Log lines go to standard error and, from warnings up, to `/rosout`.

use std::fmt::{Debug, Write};
use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::SystemTime;

use parking_lot::Mutex;
use r2r::rcl_interfaces::msg::Log;
use r2r::{Clock, Node, Publisher, QosProfile};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::chrome_trace::{self, ChromeTrace, ChromeTraceError};

static ROSOUT: OnceLock<Rosout> = OnceLock::new();

struct Rosout {
    publisher: Mutex<Publisher<Log>>,
    name: String,
}

struct RosoutLayer;

#[derive(Default)]
struct Message(String);

/// Logs to standard error at the level of `RUST_LOG`, else of ROS's own `--log-level`, else from `info` up. Spans go to the
/// file of [`chrome_trace`], if its variable is set.
///
/// # Errors
/// When that file cannot be written.
pub fn start() -> Result<Option<ChromeTrace>, ChromeTraceError> {
    let from_arguments = log_level(std::env::args());
    let words = std::env::var("RUST_LOG").unwrap_or(from_arguments);
    let standard_error = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        // A line that finds no room is lost; to say so there would be a panic.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    let log = tracing_subscriber::registry()
        .with(standard_error.with_filter(EnvFilter::new(&words)))
        .with(RosoutLayer.with_filter(EnvFilter::new(&words)));
    let Some(file) = chrome_trace::asked_for() else {
        log.init();
        return Ok(None);
    };
    let (layer, trace) = chrome_trace::layer(&file)?;
    log.with(layer).init();
    Ok(Some(trace))
}

/// Publishes warnings and errors on `/rosout` from now on, in the name of this node.
///
/// # Errors
/// When the publisher cannot be made.
pub fn publish_on_rosout(node: &mut Node) -> r2r::Result<()> {
    let qos = QosProfile::default().transient_local().keep_last(1000);
    let rosout = Rosout {
        publisher: Mutex::new(node.create_publisher("/rosout", qos)?),
        name: node.logger().to_owned(),
    };
    // Only the first node of a process can have the process's log.
    let _ = ROSOUT.set(rosout);
    Ok(())
}

/// The level after `--log-level`, in the syntax of `RUST_LOG`.
fn log_level(arguments: impl Iterator<Item = String>) -> String {
    let level = arguments.skip_while(|argument| argument != "--log-level").nth(1);
    let level = level.unwrap_or_default().to_ascii_lowercase();
    // `level`, or `logger:=level`
    match level.rsplit(":=").next() {
        Some("debug") => "debug",
        Some("warn") => "warn",
        Some("error" | "fatal") => "error",
        _ => "info",
    }
    .to_owned()
}

impl<S: Subscriber> Layer<S> for RosoutLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => Log::ERROR as u8,
            Level::WARN => Log::WARN as u8,
            _ => return,
        };
        let Some(rosout) = ROSOUT.get() else { return };
        let mut message = Message::default();
        event.record(&mut message);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let log = Log {
            stamp: Clock::to_builtin_time(&now.unwrap_or_default()),
            level,
            name: rosout.name.clone(),
            msg: message.0,
            file: event.metadata().file().unwrap_or_default().to_owned(),
            function: String::new(),
            line: event.metadata().line().unwrap_or_default(),
        };
        // The line is on standard error already, and a line about this would come here again.
        let _ = rosout.publisher.lock().publish(&log);
    }
}

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let separator = if self.0.is_empty() { "" } else { " " };
        let written = if field.name() == "message" {
            write!(self.0, "{separator}{value:?}")
        } else {
            write!(self.0, "{separator}{}={value:?}", field.name())
        };
        debug_assert!(written.is_ok(), "writing to a string");
    }
}

#[cfg(test)]
mod tests {
    use super::log_level;

    #[test]
    fn the_level_of_ros_arguments_is_taken() {
        let arguments = |text: &str| log_level(text.split(' ').map(str::to_owned));
        assert_eq!(
            arguments("pi0_node --ros-args --log-level DEBUG -p a:=1"),
            "debug"
        );
        assert_eq!(
            arguments("pi0_node --ros-args --log-level pi0_node:=warn"),
            "warn"
        );
        assert_eq!(arguments("pi0_node --ros-args -p a:=1"), "info");
    }
}
