//! The report of the inference thread.

use std::time::{Duration, Instant};

use crate::control::BlendingStrategy;
use crate::policy::{Policy, PolicyReport};
use crate::statistics::Window;

/// Chunks in the windows of durations and cache hit rates.
const CHUNK_WINDOW: usize = 200;

/// State of the inference thread, for diagnostics.
#[derive(Clone, Debug)]
pub struct InferenceReport {
    /// Chunks since the policy was configured.
    pub chunks: u64,
    /// Stamp of the newest chunk's observation.
    pub observed_at: Option<Duration>,
    /// Durations of the newest predictions, in milliseconds.
    pub durations_ms: Window,
    /// When the prediction that is under way began.
    pub predicting_since: Option<Instant>,
    /// Time by which every chunk is held back.
    pub added_latency: Duration,
    /// How the newest chunk takes over.
    pub blending_strategy: Option<BlendingStrategy>,
    /// Why the newest observation gave no chunk.
    pub error: Option<String>,
    /// Why there is no policy, after a transition `configure` that failed.
    pub configure_error: Option<String>,
    /// Description of the policy and its device.
    pub description: String,
    /// Report of the policy after the newest chunk, or before the first one.
    pub policy: PolicyReport,
    /// Name and cache hits of every camera of the policy over the newest chunks: 1 where the frame's embedding was reused, 0
    /// where it was computed.
    pub vision_cache_hits: Vec<(String, Window)>,
    /// Cache hits of the prompt's embedding.
    pub prompt_cache_hits: Window,
    /// Cache hits of the prefix's keys and values.
    pub prefix_cache_hits: Window,
}

impl InferenceReport {
    /// Report of a node without a policy.
    pub fn unconfigured() -> Self {
        Self {
            chunks: 0,
            observed_at: None,
            durations_ms: Window::new(CHUNK_WINDOW),
            predicting_since: None,
            added_latency: Duration::ZERO,
            blending_strategy: None,
            error: None,
            configure_error: None,
            description: "no policy: the node is not configured".to_owned(),
            policy: PolicyReport::default(),
            vision_cache_hits: Vec::new(),
            prompt_cache_hits: Window::new(CHUNK_WINDOW),
            prefix_cache_hits: Window::new(CHUNK_WINDOW),
        }
    }

    /// Report of a node that could not be configured, for this reason.
    pub fn not_configured(reason: String) -> Self {
        Self {
            configure_error: Some(reason),
            ..Self::unconfigured()
        }
    }

    /// Report of a policy that has not predicted yet.
    pub fn new(policy: &dyn Policy) -> Self {
        let cameras = policy.info().cameras.iter();
        let hits = cameras.map(|name| (name.clone(), Window::new(CHUNK_WINDOW)));
        Self {
            description: policy.info().description.clone(),
            policy: policy.report(),
            vision_cache_hits: hits.collect(),
            ..Self::unconfigured()
        }
    }

    pub(super) fn add_chunk(&mut self, observed_at: Duration, duration: Duration, policy: PolicyReport) {
        self.chunks += 1;
        self.observed_at = Some(observed_at);
        self.durations_ms.push(duration.as_secs_f64() * 1e3);
        self.error = None;
        if let Some(reused) = &policy.reused {
            let push = |hits: &mut Window, hit| hits.push(if hit { 1.0 } else { 0.0 });
            for ((_, hits), hit) in self.vision_cache_hits.iter_mut().zip(&reused.cameras) {
                hit.iter().for_each(|&hit| push(hits, hit));
            }
            push(&mut self.prompt_cache_hits, reused.prompt);
            push(&mut self.prefix_cache_hits, reused.prefix);
        }
        self.policy = policy;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Reused;

    #[test]
    fn cache_hits_are_counted_for_each_camera_that_had_a_frame() {
        let window = || Window::new(CHUNK_WINDOW);
        let mut report = InferenceReport {
            vision_cache_hits: ["top", "wrist"].map(|name| (name.to_owned(), window())).into(),
            ..InferenceReport::unconfigured()
        };
        for (top, wrist, prompt, prefix) in [
            (Some(false), Some(false), false, false),
            (Some(true), None, true, false),
            (Some(true), None, true, false),
            (Some(true), Some(true), true, true),
        ] {
            let reused = Reused {
                cameras: vec![top, wrist],
                prompt,
                prefix,
            };
            let policy = PolicyReport {
                reused: Some(reused),
                ..PolicyReport::default()
            };
            report.add_chunk(Duration::ZERO, Duration::from_millis(3), policy);
        }
        report.add_chunk(
            Duration::from_secs(1),
            Duration::from_millis(3),
            PolicyReport::default(),
        );
        let rates = report.vision_cache_hits.iter();
        let rates: Vec<_> = rates.map(|(name, hits)| (name.as_str(), hits.mean())).collect();
        assert_eq!(rates, [("top", Some(0.75)), ("wrist", Some(0.5))]);
        assert_eq!(report.prompt_cache_hits.mean(), Some(0.75));
        assert_eq!(report.prefix_cache_hits.mean(), Some(0.25));
        assert_eq!(
            (report.chunks, report.observed_at),
            (5, Some(Duration::from_secs(1)))
        );
    }
}
