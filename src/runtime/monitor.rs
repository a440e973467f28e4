//! Diagnostics: the status of every part of the node, and a log line for every change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::input_status::{clock_status, input_status};
use super::status::{Level, Status, decimal};
use super::{ControlReport, InferenceReport};
use crate::control::{HoldReason, PlayerState};
use crate::observation::{ClockReport, InputReport};
use crate::process_memory::resident_bytes;

/// Time without a first message after which an input is reported as missing.
const FIRST_MESSAGE_PATIENCE: Duration = Duration::from_secs(5);

/// A prediction that takes longer is reported as an error, and goes on. A Tenstorrent card that does not answer is given up by
/// TT-NN before that, as long as its driver still works.
const PREDICTION_PATIENCE: Duration = Duration::from_secs(30);

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

fn state_name(state: PlayerState) -> &'static str {
    match state {
        PlayerState::Waiting => "waiting",
        PlayerState::Playing => "playing",
        PlayerState::Holding => "holding",
    }
}

fn control_status(report: &ControlReport, clock: &ClockReport) -> Status {
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

/// How long the prediction under way takes, when that is too long.
fn overdue(report: &InferenceReport) -> Option<Duration> {
    let takes = report.predicting_since?.elapsed();
    (takes > PREDICTION_PATIENCE).then_some(takes)
}

fn overdue_message(takes: Duration) -> String {
    format!(
        "the device has not answered for {} s: it hangs, or compiles and records its work; until it answers there is no new chunk",
        takes.as_secs()
    )
}

fn inference_status(report: &InferenceReport) -> Status {
    let summary = match (overdue(report), &report.error) {
        (Some(takes), _) => (Level::Error, overdue_message(takes)),
        (None, Some(error)) => (Level::Error, error.clone()),
        (None, None) if report.configure_error.is_some() => {
            let why = report.configure_error.clone().unwrap_or_default();
            (Level::Error, format!("not configured: {why}"))
        }
        (None, None) if report.chunks == 0 => (
            Level::Warn,
            "no chunk yet: waiting for a complete observation".to_owned(),
        ),
        (None, None) if !report.added_latency.is_zero() => (
            Level::Warn,
            format!(
                "predicting chunks, and each is held back for {} s: added_inference_latency_s is for measurements, set it to 0 \
                 to use the robot",
                report.added_latency.as_secs_f64()
            ),
        ),
        (None, None) => (Level::Ok, "predicting chunks".to_owned()),
    };
    let resident_mib = resident_bytes().map(|bytes| bytes as f64 / f64::from(1 << 20));
    let values = vec![
        ("chunks", report.chunks.to_string()),
        ("chunk_ms_p50", decimal(report.durations_ms.percentile(50.0))),
        ("chunk_ms_p99", decimal(report.durations_ms.percentile(99.0))),
        ("prompt_cache_hit_rate", decimal(report.prompt_cache_hits.mean())),
        ("prefix_cache_hit_rate", decimal(report.prefix_cache_hits.mean())),
        ("version", crate::VERSION.to_owned()),
        ("policy", report.description.clone()),
        ("device", report.policy.device.clone()),
        ("precision", report.policy.precision.clone()),
        ("resident_memory_mib", decimal(resident_mib)),
        (
            "last_error",
            report
                .error
                .clone()
                .or_else(|| report.configure_error.clone())
                .unwrap_or_default(),
        ),
    ];
    let mut status = Status::new("inference", summary, values);
    let vision = report.vision_cache_hits.iter();
    let vision =
        vision.map(|(camera, hits)| (format!("vision_cache_hit_rate_{camera}"), decimal(hits.mean())));
    status.values.extend(vision);
    status
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;
    use crate::control::{ChunkRefusal, Hold};
    use crate::observation::InputKind;
    use crate::policy::PolicyReport;
    use crate::statistics::Window;

    /// Report of a policy of one camera that has not predicted yet.
    fn inference() -> InferenceReport {
        InferenceReport {
            description: "a stand-in".to_owned(),
            policy: PolicyReport {
                device: "CPU, 2 threads, int8 weights".to_owned(),
                precision: "int8".to_owned(),
                ..PolicyReport::default()
            },
            vision_cache_hits: vec![("top".to_owned(), window([]))],
            ..InferenceReport::unconfigured()
        }
    }

    fn window(values: impl IntoIterator<Item = f64>) -> Window {
        let mut window = Window::new(200);
        values.into_iter().for_each(|value| window.push(value));
        window
    }

    fn reports() -> Reports {
        Reports {
            control: ControlReport::default(),
            inference: inference(),
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

    fn value<'a>(status: &'a Status, key: &str) -> &'a str {
        &status.values.iter().find(|(name, _)| name == key).unwrap().1
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
        let figures = ["ticks", "rate_hz", "jitter_p99_ms", "state"].map(|key| value(&status, key));
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
        assert_eq!(value(&status, "hold"), "STALE_CAMERA");
    }

    #[test]
    fn a_prediction_that_does_not_end_is_an_error_and_one_that_takes_its_time_is_none() {
        let mut report = inference();
        report.chunks = 1;
        let mut since = |seconds| {
            report.predicting_since = Some(Instant::now() - Duration::from_secs(seconds));
            inference_status(&report)
        };
        assert_eq!(since(29).level, Level::Ok);
        let hung = since(31);
        assert_eq!(hung.level, Level::Error);
        assert!(hung.message.contains("not answered for 31 s"), "{hung:?}");
    }

    #[test]
    fn inference_reports_durations_cache_hits_and_the_device() {
        let mut report = inference();
        report.chunks = 200;
        report.durations_ms = window((1..=200).map(f64::from));
        report.vision_cache_hits[0].1 = window([0.0, 1.0, 1.0, 1.0]);
        report.prompt_cache_hits = window([1.0]);
        report.prefix_cache_hits = window([0.0, 1.0]);
        let status = inference_status(&report);
        assert_eq!(status.level, Level::Ok);
        for (key, expected) in [
            ("chunks", "200"),
            ("chunk_ms_p50", "100.000"),
            ("chunk_ms_p99", "198.000"),
            ("vision_cache_hit_rate_top", "0.750"),
            ("prompt_cache_hit_rate", "1.000"),
            ("prefix_cache_hit_rate", "0.500"),
            ("version", crate::VERSION),
            ("policy", "a stand-in"),
            ("device", "CPU, 2 threads, int8 weights"),
            ("precision", "int8"),
            ("last_error", ""),
        ] {
            assert_eq!(value(&status, key), expected, "{key}");
        }
        let resident: f64 = value(&status, "resident_memory_mib").parse().unwrap();
        assert!(resident > 1.0, "{resident} MiB");
    }

    #[test]
    fn chunks_that_are_held_back_for_a_measurement_are_a_warning_that_names_the_parameter() {
        let mut report = inference();
        report.chunks = 1;
        report.added_latency = Duration::from_millis(200);
        let status = inference_status(&report);
        assert_eq!(status.level, Level::Warn);
        for part in ["0.2 s", "added_inference_latency_s"] {
            assert!(status.message.contains(part), "{status:?}");
        }
    }

    #[test]
    fn before_the_first_chunk_there_are_no_figures_of_chunks() {
        let status = inference_status(&inference());
        for key in [
            "chunk_ms_p50",
            "chunk_ms_p99",
            "vision_cache_hit_rate_top",
            "prefix_cache_hit_rate",
        ] {
            assert_eq!(value(&status, key), "", "{key}");
        }
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
    fn a_prediction_that_fails_is_an_error_with_its_cause() {
        let mut report = inference();
        report.error = Some("the prompt is too long".to_owned());
        let status = inference_status(&report);
        assert_eq!(status.level, Level::Error);
        assert_eq!(value(&status, "last_error"), "the prompt is too long");
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

    #[test]
    fn a_node_that_could_not_be_configured_says_why_it_has_no_policy() {
        let report = InferenceReport::not_configured("no policy from the checkpoint /missing".to_owned());
        let status = inference_status(&report);
        assert_eq!(status.level, Level::Error);
        assert_eq!(
            status.message,
            "not configured: no policy from the checkpoint /missing"
        );
        assert_eq!(
            value(&status, "last_error"),
            "no policy from the checkpoint /missing"
        );
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
