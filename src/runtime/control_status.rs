//! The status of control.

use super::ControlReport;
use super::status::{Level, Status, decimal};
use crate::control::{HoldReason, PlayerState};
use crate::observation::ClockReport;

pub(super) fn state_name(state: PlayerState) -> &'static str {
    match state {
        PlayerState::Waiting => "waiting",
        PlayerState::Playing => "playing",
        PlayerState::Holding => "holding",
    }
}

/// Whether the robot moves, why not, and how evenly the control thread ticks.
pub(super) fn control_status(report: &ControlReport, clock: &ClockReport) -> Status {
    let summary = match (report.state, &report.refusal) {
        (PlayerState::Playing, None) => (Level::Ok, "playing a chunk".to_owned()),
        (PlayerState::Playing, Some(refusal)) => {
            (Level::Warn, format!("the newest chunk is refused: {refusal}"))
        }
        (PlayerState::Holding, None) => (
            Level::Warn,
            "holding the last action until a chunk comes".to_owned(),
        ),
        (PlayerState::Holding, Some(refusal)) => (Level::Warn, format!("holding the last action: {refusal}")),
        (PlayerState::Waiting, None) => (Level::Warn, "waiting for the first chunk".to_owned()),
        (PlayerState::Waiting, Some(refusal)) => (Level::Error, format!("no chunk to play: {refusal}")),
    };
    let summary = match &report.hold {
        Some(hold) => match hold.reason {
            HoldReason::NoChunkYet | HoldReason::ChunkSpent => summary,
            HoldReason::Disabled | HoldReason::Takeover => (Level::Warn, format!("holding, {hold}")),
            _ => (Level::Error, format!("holding, {hold}")),
        },
        None => summary,
    };
    let summary = match clock.standstill() {
        Some(standstill) => (Level::Error, format!("nothing is published: {standstill}")),
        None => summary,
    };
    let hold = report.hold.as_ref();
    let rate_hz = report
        .periods_s
        .mean()
        .filter(|period| *period > 0.0)
        .map(|period| 1.0 / period);
    let values = vec![
        ("ticks", report.ticks.to_string()),
        ("rate_hz", decimal(rate_hz)),
        ("jitter_p99_ms", decimal(report.period_errors_ms.percentile(99.0))),
        ("state", state_name(report.state).to_owned()),
        (
            "hold",
            hold.map_or_else(String::new, |hold| hold.reason.code().to_owned()),
        ),
        (
            "hold_detail",
            hold.map_or_else(String::new, |hold| hold.detail.clone()),
        ),
        ("priority", report.priority.clone()),
        ("refused_chunks", report.refused_chunks.to_string()),
    ];
    Status::new("control", summary, values)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::control::{ChunkRefusal, Hold};

    #[test]
    fn control_reports_rate_jitter_and_state() {
        let mut report = ControlReport {
            ticks: 3,
            state: PlayerState::Playing,
            ..ControlReport::default()
        };
        for (period_s, error_ms) in [(0.02, 0.0), (0.03, 10.0)] {
            report.periods_s.push(period_s);
            report.period_errors_ms.push(error_ms);
        }
        let status = control_status(&report, &ClockReport::default());
        assert_eq!(
            (status.level, status.name.as_str()),
            (Level::Ok, "pi0_node: control")
        );
        let figures = ["ticks", "rate_hz", "jitter_p99_ms", "state"].map(|key| status.value(key));
        assert_eq!(figures, ["3", "40.000", "10.000", "playing"]);
    }

    #[test]
    fn a_hold_is_told_with_its_code_and_its_reason() {
        let report = ControlReport {
            state: PlayerState::Holding,
            hold: Some(Hold::new(
                HoldReason::StaleCamera,
                "no good message of camera top",
            )),
            ..ControlReport::default()
        };
        let status = control_status(&report, &ClockReport::default());
        assert_eq!(status.level, Level::Error);
        assert_eq!(
            status.message,
            "holding, STALE_CAMERA: no good message of camera top"
        );
        assert_eq!(status.value("hold"), "STALE_CAMERA");
    }

    #[test]
    fn a_refused_chunk_is_told_with_the_name_of_its_joint() {
        let refusal = ChunkRefusal::StartJump {
            joint: "right_gripper".to_owned(),
            from: 0.25,
            to: 0.75,
            longest: 0.5,
        };
        let report = ControlReport {
            refusal: Some(refusal.to_string()),
            ..ControlReport::default()
        };
        let message = control_status(&report, &ClockReport::default()).message;
        assert!(message.contains("joint right_gripper is at 0.25"), "{message}");
    }

    #[test]
    fn nothing_is_published_while_simulated_time_stands_still() {
        let report = ControlReport {
            state: PlayerState::Playing,
            ..ControlReport::default()
        };
        let clock = ClockReport {
            now: Some(Duration::from_secs(7)),
            unchanged_for: Some(Duration::from_secs(4)),
        };
        let status = control_status(&report, &clock);
        assert_eq!(status.level, Level::Error);
        assert!(
            status.message.starts_with("nothing is published: /clock"),
            "{status:?}"
        );
    }
}
