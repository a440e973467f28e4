//! Diagnostics: the status of every part of the node, and a log line for every change.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{ControlReport, InferenceReport};
use crate::control::{HoldReason, PlayerState};
use crate::observation::{InputKind, InputReport};
use crate::process_memory::resident_bytes;

/// Time without a first message after which an input is reported as missing.
const FIRST_MESSAGE_PATIENCE: Duration = Duration::from_secs(5);

/// A prediction that takes longer is reported as an error, and goes on. A Tenstorrent card that does not answer is given up by
/// TT-NN before that, as long as its driver still works.
const PREDICTION_PATIENCE: Duration = Duration::from_secs(30);

/// The levels of `diagnostic_msgs/DiagnosticStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything is as it should be.
    Ok,
    /// The robot does not move, or not as asked.
    Warn,
    /// A fault that needs somebody.
    Error,
}

/// The status of one part of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Name of the part, with that of the package.
    pub name: String,
    /// Level of the status.
    pub level: Level,
    /// Summary in words.
    pub message: String,
    /// Keys and values.
    pub values: Vec<(String, String)>,
}

impl Status {
    fn new(part: &str, (level, message): (Level, impl Into<String>), values: Vec<(&str, String)>) -> Self {
        let owned = |(key, value): (&str, String)| (key.to_owned(), value);
        Self {
            name: format!("pi0_node: {part}"),
            level,
            message: message.into(),
            values: values.into_iter().map(owned).collect(),
        }
    }
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
        }
    }

    /// The statuses of control, of inference, and of every input.
    pub fn statuses(
        &mut self,
        control: &ControlReport,
        inference: &InferenceReport,
        inputs: &[InputReport],
    ) -> Vec<Status> {
        self.log_changes(control, inference);
        let mut statuses = vec![control_status(control), inference_status(inference)];
        let patient = self.started.elapsed() < FIRST_MESSAGE_PATIENCE;
        for input in inputs {
            let status = input_status(input, patient);
            let part = input.kind.to_string();
            let is_missing = status.level == Level::Error && input.age.is_none() && input.problem.is_none();
            if is_missing && self.missing.insert(part.clone()) {
                tracing::warn!("{part}: {}", status.message);
            } else if !is_missing && self.missing.remove(&part) {
                tracing::info!("{part} on {}: the first message came", input.topic);
            }
            statuses.push(status);
        }
        statuses
    }

    fn log_changes(&mut self, control: &ControlReport, inference: &InferenceReport) {
        if self.state != control.state {
            tracing::info!("control is {}", state_name(control.state));
            self.state = control.state;
        }
        for hold in &control.holds_begun {
            match hold.reason {
                HoldReason::NoChunkYet => tracing::info!("holding, {hold}"),
                _ => tracing::warn!("holding, {hold}"),
            }
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

fn control_status(report: &ControlReport) -> Status {
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
            HoldReason::Disabled => (Level::Warn, format!("holding, {hold}")),
            _ => (Level::Error, format!("holding, {hold}")),
        },
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
        (None, None) if report.chunks == 0 => (
            Level::Warn,
            "no chunk yet: waiting for a complete observation".to_owned(),
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
        ("policy", report.description.clone()),
        ("device", report.policy.device.clone()),
        ("precision", report.policy.precision.clone()),
        ("resident_memory_mib", decimal(resident_mib)),
        ("last_error", report.error.clone().unwrap_or_default()),
    ];
    let mut status = Status::new("inference", summary, values);
    let vision = report.vision_cache_hits.iter();
    let vision =
        vision.map(|(camera, hits)| (format!("vision_cache_hit_rate_{camera}"), decimal(hits.mean())));
    status.values.extend(vision);
    status
}

fn input_status(report: &InputReport, patient: bool) -> Status {
    let topic = &report.topic;
    let summary = match (&report.problem, report.age) {
        (Some(problem), _) => (Level::Error, format!("{topic}: {problem}")),
        (None, Some(_)) if report.kind == InputKind::Prompt => (Level::Ok, "a prompt is given".to_owned()),
        (None, Some(_)) => (Level::Ok, format!("messages came on {topic}")),
        (None, None) if report.kind == InputKind::Prompt => (
            Level::Warn,
            format!("no prompt: give one in the parameter prompt or on {topic}"),
        ),
        (None, None) if patient => (Level::Warn, format!("waiting for the first message on {topic}")),
        (None, None) => (Level::Error, format!("no message ever came on {topic}")),
    };
    let values = vec![
        ("topic", topic.clone()),
        ("age_s", decimal(report.age.map(|age| age.as_secs_f64()))),
        ("behind_joint_states_s", decimal(report.behind_s)),
        ("problem", report.problem.clone().unwrap_or_default()),
    ];
    Status::new(&report.kind.to_string(), summary, values)
}

/// The value with three decimals; empty without one.
fn decimal(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{value:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{ChunkRefusal, Hold};
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

    fn camera(age: Option<Duration>, problem: Option<&str>) -> InputReport {
        InputReport {
            kind: InputKind::Camera("top".to_owned()),
            topic: "/camera/top/image_raw".to_owned(),
            age,
            behind_s: None,
            problem: problem.map(str::to_owned),
        }
    }

    fn value<'a>(status: &'a Status, key: &str) -> &'a str {
        &status.values.iter().find(|(name, _)| name == key).unwrap().1
    }

    #[test]
    fn a_camera_that_never_comes_is_an_error_that_names_camera_and_topic() {
        let started = Instant::now() - Duration::from_secs(6);
        let statuses =
            Monitor::new(started).statuses(&ControlReport::default(), &inference(), &[camera(None, None)]);
        let status = &statuses[2];
        assert_eq!(status.name, "pi0_node: camera top");
        assert_eq!(status.level, Level::Error);
        assert!(status.message.contains("/camera/top/image_raw"), "{status:?}");
    }

    #[test]
    fn a_camera_that_has_not_come_yet_is_only_waited_for() {
        assert_eq!(input_status(&camera(None, None), true).level, Level::Warn);
    }

    #[test]
    fn a_bad_message_is_an_error_with_its_cause() {
        let status = input_status(
            &camera(Some(Duration::from_millis(1500)), Some("the step is 5")),
            false,
        );
        assert_eq!(status.level, Level::Error);
        assert_eq!(value(&status, "problem"), "the step is 5");
        assert_eq!(value(&status, "age_s"), "1.500");
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
        let status = control_status(&report);
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
        let status = control_status(&report);
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
        let message = control_status(&report).message;
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
}
