//! The status of inference.

use std::time::Duration;

use super::InferenceReport;
use super::status::{Level, Status, decimal};
use crate::process_memory::resident_bytes;

/// A prediction that takes longer is reported as an error, and goes on. A Tenstorrent card that does not answer is given up by
/// TT-NN before that, as long as its driver still works.
pub(super) const PREDICTION_PATIENCE: Duration = Duration::from_secs(30);

/// How long the prediction under way takes, when that is too long.
pub(super) fn overdue(report: &InferenceReport) -> Option<Duration> {
    let takes = report.predicting_since?.elapsed();
    (takes > PREDICTION_PATIENCE).then_some(takes)
}

pub(super) fn overdue_message(takes: Duration) -> String {
    format!(
        "the device has not answered for {} s: it hangs, or compiles and records its work; until it answers there is no new chunk",
        takes.as_secs()
    )
}

/// Whether chunks are predicted, why not, how fast, and by what.
pub(super) fn inference_status(report: &InferenceReport) -> Status {
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
        (
            "chunk_blending",
            report
                .blending_strategy
                .map_or_else(String::new, |strategy| strategy.name().to_owned()),
        ),
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
    use std::time::Instant;

    use super::*;
    use crate::control::BlendingStrategy;
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
        report.blending_strategy = Some(BlendingStrategy::Rtc);
        report.vision_cache_hits[0].1 = window([0.0, 1.0, 1.0, 1.0]);
        report.prompt_cache_hits = window([1.0]);
        report.prefix_cache_hits = window([0.0, 1.0]);
        let status = inference_status(&report);
        assert_eq!(status.level, Level::Ok);
        for (key, expected) in [
            ("chunks", "200"),
            ("chunk_ms_p50", "100.000"),
            ("chunk_ms_p99", "198.000"),
            ("chunk_blending", "rtc"),
            ("vision_cache_hit_rate_top", "0.750"),
            ("prompt_cache_hit_rate", "1.000"),
            ("prefix_cache_hit_rate", "0.500"),
            ("version", crate::VERSION),
            ("policy", "a stand-in"),
            ("device", "CPU, 2 threads, int8 weights"),
            ("precision", "int8"),
            ("last_error", ""),
        ] {
            assert_eq!(status.value(key), expected, "{key}");
        }
        let resident: f64 = status.value("resident_memory_mib").parse().unwrap();
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
            "chunk_blending",
            "vision_cache_hit_rate_top",
            "prefix_cache_hit_rate",
        ] {
            assert_eq!(status.value(key), "", "{key}");
        }
    }

    #[test]
    fn a_prediction_that_fails_is_an_error_with_its_cause() {
        let mut report = inference();
        report.error = Some("the prompt is too long".to_owned());
        let status = inference_status(&report);
        assert_eq!(status.level, Level::Error);
        assert_eq!(status.value("last_error"), "the prompt is too long");
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
            status.value("last_error"),
            "no policy from the checkpoint /missing"
        );
    }
}
