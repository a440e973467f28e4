//! The inference thread: the newest observation becomes a chunk, one after the other.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{ChunkSlot, ControlReport, Inputs, NewChunk, PlaybackSettings, RosClock, Shared, lock};
use crate::control::{ChunkOverlap, PlayerState, TimedChunk, Window};
use crate::policy::{ActionChunk, PolicyReport, Predict, VisionRefresh};

/// Chunks that durations and cache hit rates are taken over.
const CHUNK_WINDOW: usize = 200;

/// What the inference thread did.
#[derive(Clone, Debug)]
pub struct InferenceReport {
    pub chunks: u64,
    /// How long the newest predictions took, in milliseconds.
    pub durations_ms: Window,
    /// When the prediction that is under way began.
    pub predicting_since: Option<Instant>,
    /// Why the newest observation gave no chunk.
    pub error: Option<String>,
    /// What the policy says of itself and its device.
    pub description: String,
    /// What it says after the newest chunk, or before the first one.
    pub policy: PolicyReport,
    /// Of the newest chunks, one for each camera of the policy: its name, and 1 where the frame's embedding was reused,
    /// 0 where it was computed.
    pub vision_cache_hits: Vec<(String, Window)>,
    /// The same of the prompt's embedding.
    pub prompt_cache_hits: Window,
    /// The same of the prefix's keys and values.
    pub prefix_cache_hits: Window,
}

/// What the inference thread works with.
pub struct InferenceLoop {
    pub policy: Box<dyn Predict + Send>,
    pub clock: Arc<RosClock>,
    pub inputs: Arc<Inputs>,
    pub chunks: Arc<ChunkSlot>,
    pub settings: Arc<Shared<PlaybackSettings>>,
    pub control: Arc<Mutex<ControlReport>>,
    pub report: Arc<Mutex<InferenceReport>>,
    /// Is shown every chunk before control gets it.
    pub show: Box<dyn FnMut(&TimedChunk) + Send>,
}

impl InferenceReport {
    /// While there is no policy.
    pub fn unconfigured() -> Self {
        Self {
            chunks: 0,
            durations_ms: Window::new(CHUNK_WINDOW),
            predicting_since: None,
            error: None,
            description: "no policy: the node is not configured".to_owned(),
            policy: PolicyReport::default(),
            vision_cache_hits: Vec::new(),
            prompt_cache_hits: Window::new(CHUNK_WINDOW),
            prefix_cache_hits: Window::new(CHUNK_WINDOW),
        }
    }

    /// Of a policy that has not predicted yet.
    pub fn new(policy: &dyn Predict) -> Self {
        let cameras = policy.cameras().iter();
        let hits = cameras.map(|name| (name.clone(), Window::new(CHUNK_WINDOW)));
        Self {
            description: policy.description(),
            policy: policy.report(),
            vision_cache_hits: hits.collect(),
            ..Self::unconfigured()
        }
    }

    fn add_chunk(&mut self, duration: Duration, policy: PolicyReport) {
        self.chunks += 1;
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

impl InferenceLoop {
    /// Predicts until the inputs are closed: one chunk whenever the next observation is due.
    ///
    /// A policy so slow that its chunks are spent when they come observes only while the robot stands still: a chunk
    /// observed in motion would be refused.
    pub fn run(mut self) {
        let mut vision_refresh = VisionRefresh::default();
        let mut sequence = 0;
        let mut clock_resets = 0;
        let mut too_slow_for_motion = false;
        while let Some(mut stamped) = self.inputs.wait_for_observation(sequence) {
            sequence = stamped.sequence;
            if !self.is_due(stamped.observed_at, too_slow_for_motion) {
                continue;
            }
            if stamped.clock_resets != clock_resets {
                clock_resets = stamped.clock_resets;
                vision_refresh.forget();
            }
            let settings = self.settings.get();
            vision_refresh.set_periods(&settings.vision_refresh);
            vision_refresh.hold_back(&mut stamped.observation, stamped.observed_at);
            let started = Instant::now();
            let committed = self.committed(&settings, stamped.observed_at);
            lock(&self.report).predicting_since = Some(started);
            let predicted = tracing::trace_span!("inference").in_scope(|| {
                self.policy.set_denoise_steps(settings.denoise_steps)?;
                match &committed {
                    Some(committed) => self.policy.predict_after(&stamped.observation, committed),
                    None => self.policy.predict(&stamped.observation),
                }
            });
            lock(&self.report).predicting_since = None;
            match predicted {
                Ok(actions) => {
                    let chunk = TimedChunk {
                        actions,
                        observed_at: stamped.observed_at,
                        action_period: settings.action_period,
                        actions_to_execute: settings.actions_to_execute,
                        seam: settings.seam,
                    };
                    let age = self
                        .clock
                        .now()
                        .map_or(Duration::ZERO, |now| now.saturating_sub(stamped.observed_at));
                    too_slow_for_motion = age >= chunk.reach();
                    lock(&self.report).add_chunk(started.elapsed(), self.policy.report());
                    (self.show)(&chunk);
                    self.chunks.put(NewChunk {
                        chunk,
                        clock_resets: stamped.clock_resets,
                    });
                }
                Err(error) => {
                    if error.is_not_finite() {
                        self.chunks.put_not_finite(error.to_string());
                    }
                    lock(&self.report).error = Some(error.to_string());
                }
            }
        }
    }

    /// The actions that the robot will have played when the chunk of this observation arrives, as far as the newest
    /// chunks tell; none when it stands still or they are not to be held.
    fn committed(&self, settings: &PlaybackSettings, observed_at: Duration) -> Option<ActionChunk> {
        if settings.seam.overlap != ChunkOverlap::Inpaint {
            return None;
        }
        let (plan, count) = {
            let control = lock(&self.control);
            let moves = control.state == PlayerState::Playing;
            (
                control.plan.clone().filter(|_| moves)?,
                control.played_before_arrival,
            )
        };
        let count = count.min(self.policy.action_horizon() - 1) as u32;
        let actions = (0..count).map(|action| plan.positions(observed_at + settings.action_period * action));
        let values: Vec<f32> = actions.flatten().collect();
        (count > 0).then(|| ActionChunk::new(values, self.policy.action_dim()))
    }

    fn is_due(&self, observed_at: Duration, too_slow_for_motion: bool) -> bool {
        // Control speaks of the chunk that it plays, not of one that it has not taken yet.
        if !self.chunks.is_done_with() {
            return false;
        }
        let control = lock(&self.control);
        let due = match too_slow_for_motion {
            true => control.standstill_since,
            false => Some(control.next_observation_due),
        };
        due.is_some_and(|due| observed_at >= due)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use image::RgbImage;

    use super::super::{CameraTopic, InputTopics, JointStatesTopic};
    use super::*;
    use crate::control::Seam;
    use crate::node::control_loop::tests::unlimited;
    use crate::policy::{Observation, PolicyError, Reused};

    /// Takes `takes` of simulated time for ten actions, fails when told to do nothing, and when told to hang waits to be
    /// released.
    struct SimulatedPolicy {
        clock: Arc<RosClock>,
        takes: Duration,
        released: mpsc::Receiver<()>,
        observed: mpsc::Sender<Observed>,
        cameras: Vec<String>,
    }

    /// What tells one observation from another.
    struct Observed {
        position: f32,
        frame_width: u32,
    }

    impl Predict for SimulatedPolicy {
        fn predict(&mut self, observation: &Observation) -> Result<ActionChunk, PolicyError> {
            let observed = Observed {
                position: observation.state[0],
                frame_width: observation.images["top"].width(),
            };
            self.observed.send(observed).unwrap();
            if observation.prompt == "hang" {
                self.released.recv().unwrap();
            }
            if observation.prompt == "nothing" {
                return Err(PolicyError::StateLength {
                    found: 0,
                    expected: 1,
                });
            }
            self.clock.set(self.clock.now().unwrap() + self.takes);
            Ok(ActionChunk::new(vec![0.0; 10], 1))
        }
        fn cameras(&self) -> &[String] {
            &self.cameras
        }
        fn state_dim(&self) -> usize {
            1
        }
        fn action_dim(&self) -> usize {
            1
        }
        fn action_horizon(&self) -> usize {
            10
        }
        fn description(&self) -> String {
            "simulated".to_owned()
        }
    }

    struct Bench {
        inputs: Arc<Inputs>,
        chunks: Arc<ChunkSlot>,
        control: Arc<Mutex<ControlReport>>,
        report: Arc<Mutex<InferenceReport>>,
        observed: mpsc::Receiver<Observed>,
        release: mpsc::Sender<()>,
        thread: std::thread::JoinHandle<()>,
    }

    /// Ten actions reach half a second, and the camera is looked at every ten seconds.
    fn bench(takes: Duration) -> Bench {
        let clock = Arc::new(RosClock::simulated());
        clock.set(Duration::from_secs(1));
        let camera = CameraTopic {
            name: "top".to_owned(),
            ..CameraTopic::default()
        };
        let topics = InputTopics {
            cameras: vec![camera],
            joint_states: vec![JointStatesTopic::default()],
            ..InputTopics::default()
        };
        let inputs = Arc::new(Inputs::new(&topics, &["waist".to_owned()]));
        inputs.take_prompt("wave");
        inputs.take_image(0, Ok(RgbImage::new(1, 1)), Duration::ZERO);
        let chunks = Arc::<ChunkSlot>::default();
        let control = Arc::<Mutex<ControlReport>>::default();
        let (observe, observed) = mpsc::channel();
        let (release, released) = mpsc::channel();
        let policy = SimulatedPolicy {
            clock: Arc::clone(&clock),
            takes,
            released,
            observed: observe,
            cameras: vec!["top".to_owned()],
        };
        let report = Arc::new(Mutex::new(InferenceReport::new(&policy)));
        let inference = InferenceLoop {
            policy: Box::new(policy),
            clock,
            inputs: Arc::clone(&inputs),
            chunks: Arc::clone(&chunks),
            settings: Arc::new(Shared::new(PlaybackSettings {
                control_period: Duration::from_millis(50),
                action_period: Duration::from_millis(50),
                actions_to_execute: None,
                seam: Seam::default(),
                control: unlimited(),
                vision_refresh: Arc::new(VisionRefresh::new([("top".to_owned(), Duration::from_secs(10))])),
                denoise_steps: None,
            })),
            control: Arc::clone(&control),
            report: Arc::clone(&report),
            show: Box::new(|_| {}),
        };
        Bench {
            inputs,
            chunks,
            control,
            report,
            observed,
            release,
            thread: std::thread::spawn(move || inference.run()),
        }
    }

    impl Bench {
        fn joint(&self, position: f32, seconds: u64) {
            self.inputs
                .take_joint_positions(0, Ok(vec![(0, position)]), Duration::from_secs(seconds));
        }

        fn next_observed(&self) -> Option<f32> {
            let observed = self.observed.recv_timeout(Duration::from_millis(300)).ok();
            observed.map(|observed| observed.position)
        }

        /// Width of the frame that the policy sees when a new one of `newest` came.
        fn frame_seen(&self, newest: u32, seconds: u64) -> u32 {
            lock(&self.control).next_observation_due = Duration::from_secs(seconds);
            self.inputs
                .take_image(0, Ok(RgbImage::new(newest, 1)), Duration::ZERO);
            self.joint(0.0, seconds);
            let seen = self.observed.recv().unwrap().frame_width;
            self.next_chunk();
            seen
        }

        fn next_chunk(&self) -> NewChunk {
            loop {
                if let Some(chunk) = self.chunks.take(true).and_then(|newest| newest.chunk) {
                    self.chunks.told();
                    return chunk;
                }
                std::thread::yield_now();
            }
        }

        fn stop(self) {
            self.inputs.close();
            self.thread.join().unwrap();
        }
    }

    #[test]
    fn every_fresh_observation_becomes_a_chunk_with_its_stamp() {
        let bench = bench(Duration::from_millis(10));
        for second in 1..4 {
            bench.joint(second as f32, second);
            assert_eq!(bench.next_chunk().chunk.observed_at, Duration::from_secs(second));
        }
        assert_eq!(lock(&bench.report).chunks, 3);
        bench.stop();
    }

    #[test]
    fn cache_hits_are_counted_for_each_camera_that_had_a_frame() {
        let (observed, _) = mpsc::channel();
        let (_, released) = mpsc::channel();
        let policy = SimulatedPolicy {
            clock: Arc::new(RosClock::simulated()),
            takes: Duration::ZERO,
            released,
            observed,
            cameras: vec!["top".to_owned(), "wrist".to_owned()],
        };
        let mut report = InferenceReport::new(&policy);
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
            report.add_chunk(Duration::from_millis(3), policy);
        }
        report.add_chunk(Duration::from_millis(3), PolicyReport::default());
        let rates = report.vision_cache_hits.iter();
        let rates: Vec<_> = rates.map(|(name, hits)| (name.as_str(), hits.mean())).collect();
        assert_eq!(rates, [("top", Some(0.75)), ("wrist", Some(0.5))]);
        assert_eq!(report.prompt_cache_hits.mean(), Some(0.75));
        assert_eq!(report.prefix_cache_hits.mean(), Some(0.25));
        assert_eq!(report.chunks, 5);
    }

    #[test]
    fn a_slow_policy_observes_only_while_the_robot_stands_still() {
        let bench = bench(Duration::from_secs(2));
        bench.joint(1.0, 1);
        assert_eq!(bench.next_observed(), Some(1.0));
        bench.next_chunk();
        lock(&bench.control).standstill_since = None;
        bench.joint(2.0, 4);
        assert_eq!(bench.next_observed(), None);
        lock(&bench.control).standstill_since = Some(Duration::from_secs(5));
        bench.joint(3.0, 4);
        assert_eq!(bench.next_observed(), None);
        bench.joint(4.0, 5);
        assert_eq!(bench.next_observed(), Some(4.0));
        bench.stop();
    }

    #[test]
    fn no_chunk_is_made_before_the_actions_to_execute_are_played() {
        let bench = bench(Duration::from_millis(10));
        lock(&bench.control).next_observation_due = Duration::from_secs(5);
        bench.joint(1.0, 4);
        assert_eq!(bench.next_observed(), None);
        bench.joint(2.0, 5);
        assert_eq!(bench.next_observed(), Some(2.0));
        bench.joint(3.0, 6);
        assert_eq!(
            bench.next_observed(),
            None,
            "the chunk before is still to be taken"
        );
        bench.next_chunk();
        bench.joint(4.0, 7);
        assert_eq!(bench.next_observed(), Some(4.0));
        bench.stop();
    }

    #[test]
    fn a_camera_s_frame_is_held_back_until_it_is_due_or_the_clock_was_reset() {
        let bench = bench(Duration::ZERO);
        assert_eq!(bench.frame_seen(1, 1), 1);
        assert_eq!(bench.frame_seen(2, 5), 1);
        assert_eq!(bench.frame_seen(3, 11), 3);
        bench.inputs.forget_before_reset(1);
        assert_eq!(bench.frame_seen(4, 12), 4);
        bench.stop();
    }

    #[test]
    fn a_prediction_that_does_not_end_is_seen_to_be_under_way() {
        let bench = bench(Duration::ZERO);
        assert_eq!(lock(&bench.report).predicting_since, None);
        bench.inputs.take_prompt("hang");
        let before = Instant::now();
        bench.joint(1.0, 1);
        assert_eq!(bench.next_observed(), Some(1.0));
        let since = lock(&bench.report).predicting_since;
        assert!(since.is_some_and(|since| since >= before), "{since:?}");
        assert!(bench.chunks.is_done_with());
        bench.release.send(()).unwrap();
        bench.next_chunk();
        assert_eq!(lock(&bench.report).predicting_since, None);
        bench.stop();
    }

    #[test]
    fn a_prediction_that_fails_gives_no_chunk_and_the_next_one_clears_the_error() {
        let bench = bench(Duration::ZERO);
        bench.inputs.take_prompt("nothing");
        bench.joint(1.0, 1);
        assert_eq!(bench.next_observed(), Some(1.0));
        while lock(&bench.report).error.is_none() {
            std::thread::yield_now();
        }
        assert!(bench.chunks.is_done_with());
        bench.inputs.take_prompt("wave");
        bench.next_chunk();
        assert_eq!(lock(&bench.report).error, None);
        bench.stop();
    }
}
