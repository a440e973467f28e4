//! Diagnostics: the status of every part of the node, and a log line for every change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::control_status::{control_status, state_name};
use super::inference_status::{PREDICTION_PATIENCE, inference_status, overdue, overdue_message};
use super::input_status::{clock_status, input_status};
use super::status::{Level, Status};
use super::{ControlReport, InferenceReport};
use crate::control::{HoldReason, PlayerState};
use crate::observation::{ClockReport, InputReport};

/// Time without a first message after which an input is reported as missing.
const FIRST_MESSAGE_PATIENCE: Duration = Duration::from_secs(5);

/// Reports of every part of the node at one moment.
#[derive(Clone, Debug)]
pub struct Reports {
    /// Report of the control thread.
    pub control: ControlReport,
    /// Report of the inference thread.
    pub inference: InferenceReport,
    /// Report of every input.
    pub inputs: Vec<InputReport>,
    /// Report of the clock.
    pub clock: ClockReport,
    /// Publishers that the node cannot receive from, in words, by topic.
    pub mismatches: BTreeMap<String, String>,
}

/// Turns reports into statuses, and logs each change once.
#[derive(Debug)]
pub struct Monitor {
    started: Instant,
    state: PlayerState,
    error: Option<String>,
    overdue: bool,
    refusal: Option<String>,
    missing: BTreeSet<String>,
    mismatches: BTreeMap<String, String>,
    clock_is_stopped: bool,
}

impl Monitor {
    /// A monitor of a node that started then.
    pub fn new(started: Instant) -> Self {
        Self {
            started,
            state: PlayerState::Waiting,
            error: None,
            overdue: false,
            refusal: None,
            missing: BTreeSet::new(),
            mismatches: BTreeMap::new(),
            clock_is_stopped: false,
        }
    }

    /// The statuses of control, of inference, of the clock, of every input, and of other topics that have publishers which the
    /// node cannot receive from.
    pub fn statuses(&mut self, reports: &Reports) -> Vec<Status> {
        self.log_changes(&reports.control, &reports.inference);
        self.log_clock(&reports.clock);
        self.log_mismatches(&reports.mismatches);
        let mut mismatches = reports.mismatches.clone();
        let mut statuses = vec![
            control_status(&reports.control, &reports.clock),
            inference_status(&reports.inference),
            clock_status(&reports.clock, mismatches.remove("/clock").as_deref()),
        ];
        let patient = self.started.elapsed() < FIRST_MESSAGE_PATIENCE;
        for input in &reports.inputs {
            let mismatch = mismatches.remove(&input.topic);
            let status = input_status(input, mismatch.as_deref(), patient);
            let part = input.kind.to_string();
            let has_reason = input.problem.is_some() || mismatch.is_some();
            let is_missing = status.level == Level::Error && input.age.is_none() && !has_reason;
            if is_missing && self.missing.insert(part.clone()) {
                tracing::warn!("{part}: {}", status.message);
            } else if !is_missing && !has_reason && self.missing.remove(&part) {
                tracing::info!("{part} on {}: the first message came", input.topic);
            }
            statuses.push(status);
        }
        let others = mismatches.into_iter();
        statuses.extend(others.map(|(topic, mismatch)| {
            Status::new(&format!("topic {topic}"), (Level::Error, mismatch), Vec::new())
        }));
        statuses
    }

    fn log_clock(&mut self, clock: &ClockReport) {
        if clock.is_stopped() == self.clock_is_stopped {
            return;
        }
        self.clock_is_stopped = clock.is_stopped();
        match clock.standstill().filter(|_| clock.is_stopped()) {
            Some(standstill) => tracing::error!("nothing is published: {standstill}"),
            None => tracing::info!("time goes on"),
        }
    }

    fn log_mismatches(&mut self, mismatches: &BTreeMap<String, String>) {
        for (topic, mismatch) in mismatches {
            if self.mismatches.get(topic) != Some(mismatch) {
                tracing::warn!("no message comes from some publishers: {mismatch}");
            }
        }
        self.mismatches.clone_from(mismatches);
    }

    fn log_changes(&mut self, control: &ControlReport, inference: &InferenceReport) {
        for hold in &control.holds_begun {
            match hold.reason {
                HoldReason::NoChunkYet => tracing::info!("holding, {hold}"),
                _ => tracing::warn!("holding, {hold}"),
            }
        }
        // The holds began before the newest tick, whose state this is.
        if self.state != control.state {
            tracing::info!("control is {}", state_name(control.state));
            self.state = control.state;
        }
        if self.refusal != control.refusal {
            if let Some(refusal) = &control.refusal {
                tracing::warn!("a chunk is not played: {refusal}");
            }
            self.refusal.clone_from(&control.refusal);
        }
        if self.error != inference.error {
            match &inference.error {
                Some(error) => tracing::error!("no chunk could be predicted: {error}"),
                None => tracing::info!("chunks are predicted again"),
            }
            self.error.clone_from(&inference.error);
        }
        let overdue = overdue(inference);
        match overdue {
            Some(_) if !self.overdue => tracing::error!("{}", overdue_message(PREDICTION_PATIENCE)),
            None if self.overdue => tracing::info!("the device answered"),
            _ => {}
        }
        self.overdue = overdue.is_some();
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::control::Hold;
    use crate::observation::InputKind;

    fn reports() -> Reports {
        Reports {
            control: ControlReport::default(),
            inference: InferenceReport::unconfigured(),
            inputs: Vec::new(),
            clock: ClockReport::default(),
            mismatches: BTreeMap::new(),
        }
    }

    fn camera() -> InputReport {
        InputReport {
            kind: InputKind::Camera("top".to_owned()),
            topic: "/camera/top/image_raw".to_owned(),
            age: None,
            behind_s: None,
            problem: None,
            prompt: None,
        }
    }

    #[test]
    fn a_camera_that_never_comes_is_an_error_that_names_camera_and_topic() {
        let started = Instant::now() - Duration::from_secs(6);
        let reports = Reports {
            inputs: vec![camera()],
            ..reports()
        };
        let statuses = Monitor::new(started).statuses(&reports);
        let status = &statuses[3];
        assert_eq!(status.name, "pi0_node: camera top");
        assert_eq!(status.level, Level::Error);
        assert!(status.message.contains("/camera/top/image_raw"), "{status:?}");
    }

    #[test]
    fn publishers_that_are_not_received_are_on_the_status_of_their_topic_or_on_one_of_its_own() {
        let topics = ["/camera/top/image_raw", "/robot_description"];
        let reports = Reports {
            inputs: vec![camera()],
            mismatches: topics
                .map(|topic| (topic.to_owned(), format!("volatile on {topic}")))
                .into(),
            ..reports()
        };
        let statuses = Monitor::new(Instant::now()).statuses(&reports);
        let errors = statuses.iter().filter(|status| status.level == Level::Error);
        let errors: Vec<_> = errors
            .map(|status| (status.name.as_str(), status.message.as_str()))
            .collect();
        let expected = [
            ("pi0_node: camera top", "volatile on /camera/top/image_raw"),
            (
                "pi0_node: topic /robot_description",
                "volatile on /robot_description",
            ),
        ];
        assert_eq!(errors, expected);
    }

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that a monitor logs of these reports, one after the other.
    fn logged(all: &[Reports]) -> Vec<String> {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .finish();
        let mut monitor = Monitor::new(Instant::now());
        tracing::subscriber::with_default(subscriber, || {
            for reports in all {
                monitor.statuses(reports);
            }
        });
        let text = String::from_utf8(log.0.lock().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_hold_that_ended_before_the_report_is_logged_before_what_followed_it() {
        let mut playing = reports();
        playing.control.state = PlayerState::Playing;
        playing.control.holds_begun = vec![Hold::new(HoldReason::NoChunkYet, "no chunk came")];
        let lines = logged(&[playing]);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            lines[0].contains("holding, NO_CHUNK_YET") && lines[1].contains("playing"),
            "{lines:?}"
        );
    }

    #[test]
    fn a_clock_that_stops_and_a_publisher_that_is_not_received_are_logged_once() {
        let mut stopped = reports();
        stopped.clock = ClockReport {
            now: Some(Duration::from_secs(7)),
            unchanged_for: Some(Duration::from_secs(4)),
        };
        stopped.mismatches = [("/top".to_owned(), "/cam is volatile".to_owned())].into();
        let lines = logged(&[stopped.clone(), stopped, reports()]);
        assert_eq!(lines.len(), 3, "{lines:?}");
        for (line, words) in lines
            .iter()
            .zip(["nothing is published", "/cam is volatile", "time goes on"])
        {
            assert!(line.contains(words), "{line}");
        }
    }
}
