//! The statuses of the inputs and of the clock.

use super::status::{Level, Status, decimal};
use crate::observation::{ClockReport, InputKind, InputReport};

/// The status of an input. `mismatch` describes publishers on its topic that the node cannot receive from, and `patient` is set
/// while a first message is still waited for.
pub(super) fn input_status(report: &InputReport, mismatch: Option<&str>, patient: bool) -> Status {
    let topic = &report.topic;
    let summary = match (&report.problem, report.age, mismatch) {
        (Some(problem), ..) => (Level::Error, format!("{topic}: {problem}")),
        (None, None, Some(mismatch)) => (Level::Error, mismatch.to_owned()),
        (None, Some(_), Some(mismatch)) => (Level::Warn, mismatch.to_owned()),
        (None, Some(_), None) if report.kind == InputKind::Prompt => {
            (Level::Ok, "a prompt is given".to_owned())
        }
        (None, Some(_), None) => (Level::Ok, format!("messages came on {topic}")),
        (None, None, None) if report.kind == InputKind::Prompt => (
            Level::Warn,
            format!("no prompt: give one in the parameter prompt or on {topic}"),
        ),
        (None, None, None) if patient => (Level::Warn, format!("waiting for the first message on {topic}")),
        (None, None, None) => (Level::Error, format!("no message ever came on {topic}")),
    };
    let mut values = vec![
        ("topic", topic.clone()),
        ("age_s", decimal(report.age.map(|age| age.as_secs_f64()))),
        ("behind_joint_states_s", decimal(report.behind_s)),
        ("problem", report.problem.clone().unwrap_or_default()),
        ("unreceived", mismatch.unwrap_or_default().to_owned()),
    ];
    if report.kind == InputKind::Prompt {
        values.push(("prompt", report.prompt.clone().unwrap_or_default()));
    }
    Status::new(&report.kind.to_string(), summary, values)
}

/// The status of the node's clock.
pub(super) fn clock_status(report: &ClockReport, mismatch: Option<&str>) -> Status {
    let summary = match (report.standstill(), mismatch) {
        (Some(_), Some(mismatch)) => (Level::Error, mismatch.to_owned()),
        (Some(standstill), None) if report.is_stopped() => (Level::Error, standstill),
        (Some(_), None) => (Level::Warn, "waiting for the first message on /clock".to_owned()),
        (None, Some(mismatch)) => (Level::Warn, mismatch.to_owned()),
        (None, None) => (Level::Ok, "time goes on".to_owned()),
    };
    let source = match report.unchanged_for {
        Some(_) => "/clock",
        None => "system",
    };
    let values = vec![
        ("source", source.to_owned()),
        ("now_s", decimal(report.now.map(|now| now.as_secs_f64()))),
        (
            "unchanged_s",
            decimal(report.unchanged_for.map(|unchanged| unchanged.as_secs_f64())),
        ),
        ("unreceived", mismatch.unwrap_or_default().to_owned()),
    ];
    Status::new("clock", summary, values)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn camera(age: Option<Duration>, problem: Option<&str>) -> InputReport {
        InputReport {
            kind: InputKind::Camera("top".to_owned()),
            topic: "/camera/top/image_raw".to_owned(),
            age,
            behind_s: None,
            problem: problem.map(str::to_owned),
            prompt: None,
        }
    }

    #[test]
    fn a_camera_that_has_not_come_yet_is_only_waited_for() {
        assert_eq!(input_status(&camera(None, None), None, true).level, Level::Warn);
    }

    #[test]
    fn a_bad_message_is_an_error_with_its_cause() {
        let status = input_status(
            &camera(Some(Duration::from_millis(1500)), Some("the step is 5")),
            None,
            false,
        );
        assert_eq!(status.level, Level::Error);
        assert_eq!(status.value("problem"), "the step is 5");
        assert_eq!(status.value("age_s"), "1.500");
    }

    #[test]
    fn publishers_that_are_not_received_are_an_error_until_another_is_heard() {
        let words = "/usb_cam publishes another type";
        for (age, level) in [(None, Level::Error), (Some(Duration::ZERO), Level::Warn)] {
            let status = input_status(&camera(age, None), Some(words), true);
            assert_eq!((status.level, status.message.as_str()), (level, words));
            assert_eq!(status.value("unreceived"), words);
        }
    }

    #[test]
    fn the_clock_is_an_error_once_simulated_time_stands_still() {
        let simulated = |now_s: Option<u64>, unchanged_s| ClockReport {
            now: now_s.map(Duration::from_secs),
            unchanged_for: Some(Duration::from_secs(unchanged_s)),
        };
        for (report, level, words) in [
            (ClockReport::default(), Level::Ok, "goes on"),
            (simulated(Some(5), 0), Level::Ok, "goes on"),
            (simulated(Some(5), 3), Level::Error, "use_sim_time"),
            (simulated(None, 0), Level::Warn, "first message on /clock"),
            (simulated(None, 3), Level::Error, "use_sim_time"),
        ] {
            let status = clock_status(&report, None);
            assert_eq!(status.level, level, "{status:?}");
            assert!(status.message.contains(words), "{status:?}");
        }
        assert_eq!(clock_status(&simulated(Some(5), 3), None).value("now_s"), "5.000");
    }
}
