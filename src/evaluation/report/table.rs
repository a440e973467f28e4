//! Report as a table for the terminal.

use std::fmt::Write;

use super::Report;
use super::facts::number;
use crate::evaluation::accuracy::Accuracy;

impl Report {
    /// Formats the metrics of the report. The JSON file has all of its content.
    pub fn table(&self) -> String {
        let mut text = String::new();
        for bag in &self.bags {
            line(&mut text, "bag", &bag.bag);
            bag.facts()
                .iter()
                .for_each(|(name, fact)| line(&mut text, name, fact));
            bag.recording
                .notes
                .iter()
                .for_each(|note| line(&mut text, "note", note));
            bag.recording
                .problems()
                .iter()
                .for_each(|problem| line(&mut text, "warning", problem));
            text.push('\n');
        }
        if self.bags.len() > 1 {
            line(&mut text, "all bags", &self.bags.len().to_string());
        }
        add_accuracy(&mut text, &self.combined);
        text
    }
}

fn add_accuracy(text: &mut String, accuracy: &Accuracy) {
    let (predictions, compared) = (accuracy.predictions, accuracy.compared_actions);
    line(
        text,
        "predictions",
        &format!("{predictions}, {compared} actions compared"),
    );
    for metric in accuracy.metrics() {
        line(text, metric.name, &number(metric.value));
    }
    let names = accuracy.by_joint.iter().map(|one| one.joint.chars().count());
    let Some(longest) = names.max() else { return };
    let width = longest.max(8);
    text.push('\n');
    row(text, width, "joint", ["mae", "mse", "direction"]);
    for one in &accuracy.by_joint {
        row(
            text,
            width,
            &one.joint,
            [one.errors.mae, one.errors.mse, one.direction_agreement].map(number),
        );
    }
    text.push('\n');
    row(text, width, "action", ["mae", "mse"]);
    let last = accuracy.by_step.len().saturating_sub(1);
    let is_shown = |step: usize| step == 0 || step == last || (step + 1).is_multiple_of(10);
    for (step, one) in accuracy
        .by_step
        .iter()
        .enumerate()
        .filter(|(step, _)| is_shown(*step))
    {
        row(text, width, &step.to_string(), [one.mae, one.mse].map(number));
    }
}

fn row<const N: usize>(text: &mut String, width: usize, name: &str, values: [impl AsRef<str>; N]) {
    // Writing to a text cannot fail, here and below.
    let _ = write!(text, "{name:<width$}");
    for value in values {
        let _ = write!(text, "  {:>10}", value.as_ref());
    }
    text.push('\n');
}

fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{name:<24}{value}");
}
