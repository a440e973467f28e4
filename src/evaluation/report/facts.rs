//! Facts about the evaluation of a bag in words, for the table and the page.

use super::{BagResult, RecordingFound};

impl BagResult {
    /// Names and values of the facts beside the accuracy.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let (recording, settings, timing) = (&self.recording, &self.settings, &self.timing);
        let recorded = format!(
            "{:.1} s, {} messages, {} images",
            recording.duration_s, recording.messages, recording.images
        );
        let observed = format!(
            "every {} actions of {:.1} Hz, seed {}",
            settings.execution_horizon, settings.action_rate_hz, settings.seed
        );
        let chunk = timing.chunk_ms;
        let stages = timing.stages_ms.iter();
        let stages: Vec<String> = stages
            .map(|(stage, ms)| format!("{stage} {:.2}", ms.mean))
            .collect();
        let mut facts = vec![
            ("policy", settings.policy.clone()),
            ("recording", recorded),
            ("recorded actions", settings.actions_topic.clone()),
            ("observed", observed),
            (
                "chunk",
                format!("{:.2} ms median, {:.2} ms p99", chunk.p50, chunk.p99),
            ),
            ("stages, mean ms", stages.join(", ")),
        ];
        if let Some((ticks, frames)) = timing.ticks_without_action.zip(timing.frames_not_used) {
            let (ticks, frames) = (100.0 * ticks, 100.0 * frames);
            let live =
                format!("{ticks:.1} % of control ticks without an action, {frames:.1} % of frames not used");
            facts.push(("live estimate", live));
        }
        facts.extend(
            timing
                .images_read_per_s
                .map(|speed| ("reading", self.bottleneck(speed))),
        );
        facts
    }

    fn bottleneck(&self, images_per_s: f64) -> String {
        let reading_s = self.recording.images as f64 / images_per_s;
        let predicting_s = self.timing.chunk_ms.mean * self.timing.chunk_ms.count as f64 / 1e3;
        let slower = if reading_s > predicting_s {
            "reading the bag"
        } else {
            "the policy"
        };
        format!(
            "{images_per_s:.0} images/s ({reading_s:.1} s of reading, {predicting_s:.1} s of predicting: {slower} is the \
             bottleneck)"
        )
    }
}

impl RecordingFound {
    /// Problems of the bag and of the predictions.
    pub fn problems(&self) -> Vec<String> {
        let bad = self.bad_messages.iter();
        let bad =
            bad.map(|(topic, bad)| format!("{topic}: {} bad messages: {}", bad.count, bad.first_problem));
        let mut problems: Vec<String> = bad.chain(self.warnings.iter().cloned()).collect();
        if self.clock_resets > 0 {
            problems.push(format!("time jumped back {} times", self.clock_resets));
        }
        if let Some(failure) = &self.first_failure {
            problems.push(format!(
                "{} predictions failed: {failure}",
                self.failed_predictions
            ));
        }
        problems
    }
}

/// Formats a metric in about ten characters.
pub fn number(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(value) if value.abs() < 1e-3 => format!("{value:.2e}"),
        Some(value) => format!("{value:.4}"),
    }
}
