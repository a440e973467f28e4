//! A report as a table for the terminal.

use std::fmt::Write;

use super::result::{Accuracy, BagResult, RecordingFound, Report, Timing};

impl Report {
    /// The figures that matter first; every one is in the JSON file.
    pub fn table(&self) -> String {
        let mut text = String::new();
        for bag in &self.bags {
            bag.describe(&mut text);
        }
        let accuracy = &self.combined;
        if self.bags.len() > 1 {
            line(&mut text, "all bags", &self.bags.len().to_string());
        }
        accuracy.describe(&mut text);
        text
    }
}

impl BagResult {
    fn describe(&self, text: &mut String) {
        let (recording, timing) = (&self.recording, &self.timing);
        line(text, "bag", &self.bag);
        line(text, "policy", &self.settings.policy);
        line(
            text,
            "recording",
            &format!(
                "{:.1} s, {} messages, {} images, actions from {}",
                recording.duration_s, recording.messages, recording.images, self.settings.actions_topic
            ),
        );
        for note in &recording.notes {
            line(text, "note", note);
        }
        for problem in recording.problems() {
            line(text, "warning", &problem);
        }
        line(text, "chunk", &timing.chunk());
        let stages: Vec<String> = timing
            .stages_ms
            .iter()
            .map(|(stage, spread)| format!("{stage} {:.2}", spread.mean))
            .collect();
        line(text, "stages, mean ms", &stages.join(", "));
        if let Some(live) = timing.live() {
            line(text, "live", &live);
        }
        if let Some(speed) = timing.images_read_per_s {
            line(text, "reading", &self.bottleneck(speed));
        }
        if !self.bag.is_empty() {
            text.push('\n');
        }
    }

    /// Whether reading the bag or predicting takes the time.
    pub fn bottleneck(&self, images_per_s: f64) -> String {
        let reading_s = self.recording.images as f64 / images_per_s;
        let predicting_s = self.timing.chunk_ms.mean * self.timing.chunk_ms.count as f64 / 1e3;
        let slower = match reading_s > predicting_s {
            true => "reading the bag is the bottleneck",
            false => "the policy is the bottleneck",
        };
        format!(
            "{images_per_s:.0} images/s ({reading_s:.1} s of reading, {predicting_s:.1} s of predicting: {slower})"
        )
    }
}

impl RecordingFound {
    /// What was wrong with the bag and what came of it, beside the notes.
    pub(super) fn problems(&self) -> Vec<String> {
        let bad_messages = self
            .bad_messages
            .iter()
            .map(|(topic, bad)| format!("{topic}: {} bad messages: {}", bad.count, bad.first_problem));
        let mut problems: Vec<String> = bad_messages.chain(self.warnings.iter().cloned()).collect();
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

impl Timing {
    pub(super) fn chunk(&self) -> String {
        format!(
            "{:.2} ms median, {:.2} ms p99",
            self.chunk_ms.p50, self.chunk_ms.p99
        )
    }

    /// What would have been missed at this speed; none when nothing can be said of it.
    pub(super) fn live(&self) -> Option<String> {
        let (ticks, frames) = (100.0 * self.ticks_without_action?, 100.0 * self.frames_not_used?);
        Some(format!(
            "{ticks:.1} % of control ticks without an action, {frames:.1} % of frames not used"
        ))
    }
}

impl Accuracy {
    fn describe(&self, text: &mut String) {
        line(
            text,
            "predictions",
            &format!("{}, {} actions compared", self.predictions, self.compared_actions),
        );
        for (name, figure) in self.figures() {
            line(text, name, &number(figure));
        }
        if self.by_joint.is_empty() {
            return;
        }
        let width = self
            .by_joint
            .iter()
            .map(|one| one.joint.chars().count())
            .max()
            .unwrap_or(0)
            .max(8);
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "\n{:width$}  {:>10}  {:>10}  {:>10}",
            "joint", "mae", "mse", "direction"
        );
        for one in &self.by_joint {
            let _ = writeln!(
                text,
                "{:width$}  {:>10}  {:>10}  {:>10}",
                one.joint,
                number(one.mae),
                number(one.mse),
                number(one.direction_agreement)
            );
        }
        let _ = writeln!(text, "\n{:8}  {:>10}  {:>10}", "action", "mae", "mse");
        let last = self.by_step.len().saturating_sub(1);
        let shown = |step: usize| step == 0 || step == last || (step + 1).is_multiple_of(10);
        for (step, one) in self.by_step.iter().enumerate().filter(|(step, _)| shown(*step)) {
            let _ = writeln!(
                text,
                "{step:<8}  {:>10}  {:>10}",
                number(one.mae),
                number(one.mse)
            );
        }
    }

    /// The figures of a whole evaluation by their names, none where there was nothing to take one over.
    pub fn figures(&self) -> [(&'static str, Option<f64>); 10] {
        [
            ("mse", self.mse),
            ("mae", self.mae),
            ("first_action_mae", self.first_action_mae),
            ("first_action_largest", self.first_action_largest),
            ("direction_agreement", self.direction_agreement),
            ("chunk_difference", self.chunk_difference),
            ("seam_velocity", self.seam_velocity),
            ("seam_velocity_largest", self.seam_velocity_largest),
            ("inside_velocity", self.inside_velocity),
            ("flow_matching_loss", self.flow_matching_loss),
        ]
    }
}

pub(super) fn number(figure: Option<f64>) -> String {
    match figure {
        None => "–".to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(value) if value.abs() < 1e-3 => format!("{value:.2e}"),
        Some(value) => format!("{value:.4}"),
    }
}

fn line(text: &mut String, name: &str, value: &str) {
    // Writing to a text cannot fail.
    let _ = writeln!(text, "{name:<22}  {value}");
}
