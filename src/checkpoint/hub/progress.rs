//! Progress of a download in the log.

use std::time::{Duration, Instant};

use super::model_id::ModelId;

/// Period of the log lines.
const PERIOD: Duration = Duration::from_secs(10);

/// Bytes of a download, logged now and then.
pub(super) struct Progress<'a> {
    model: &'a ModelId,
    /// Bytes in all, as far as the hub states them.
    total: u64,
    /// Bytes that are there.
    done: u64,
    /// Bytes that this process received.
    received: u64,
    started: Instant,
    logged: Instant,
}

impl<'a> Progress<'a> {
    pub fn new(model: &'a ModelId, total: u64) -> Self {
        Self {
            model,
            total,
            done: 0,
            received: 0,
            started: Instant::now(),
            logged: Instant::now(),
        }
    }

    /// Counts bytes that were there before.
    pub fn skip(&mut self, bytes: u64) {
        self.done += bytes;
    }

    /// Counts bytes no longer that are to be received again.
    pub fn discard(&mut self, bytes: u64) {
        self.done = self.done.saturating_sub(bytes);
    }

    /// Counts bytes of `file` that arrived.
    pub fn add(&mut self, bytes: usize, file: &str) {
        self.done += bytes as u64;
        self.received += bytes as u64;
        if self.logged.elapsed() >= PERIOD {
            self.logged = Instant::now();
            tracing::info!(
                "{}: {}, now {file}",
                self.model,
                self.words(self.started.elapsed())
            );
        }
    }

    /// What has arrived after `elapsed`, how fast, and how long the rest takes.
    fn words(&self, elapsed: Duration) -> String {
        let rate = self.received as f64 / elapsed.as_secs_f64().max(1e-3);
        let seconds_left = self.total.saturating_sub(self.done) as f64 / rate.max(1.0);
        format!(
            "{} of {} downloaded, {}/s, {} left",
            size(self.done),
            size(self.total.max(self.done)),
            size(rate as u64),
            duration(seconds_left)
        )
    }
}

/// A number of bytes for people.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.0} kB", (bytes as f64 / 1e3).ceil()),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

fn duration(seconds: f64) -> String {
    match seconds {
        ..90.0 => format!("{seconds:.0} s"),
        90.0..5400.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_in_bytes_rate_and_time_left() {
        let model = ModelId::parse("lerobot/pi05_base").unwrap();
        let mut progress = Progress::new(&model, 14_470_000_000);
        progress.skip(4_470_000_000);
        progress.add(1_000_000_000, "model.safetensors");
        let words = progress.words(Duration::from_secs(20));
        assert_eq!(words, "5.47 GB of 14.47 GB downloaded, 50.0 MB/s, 3 min left");
        progress.discard(5_000_000_000);
        let words = progress.words(Duration::from_secs(20));
        assert_eq!(words, "470.0 MB of 14.47 GB downloaded, 50.0 MB/s, 5 min left");
    }
}
