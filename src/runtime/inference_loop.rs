//! The inference thread: predicts one chunk after the other from the newest observation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::mailbox::NewChunk;
use super::node_state::NodeState;
use crate::control::{ObservationSchedule, PlayerState, TimedChunk};
use crate::observation::with_short_prompt;
use crate::parameters::RuntimeSettings;
use crate::policy::{ActionPrefix, Policy, VisionRefresh};

/// Longest wait before the thread checks whether to stop.
const PATIENCE: Duration = Duration::from_millis(100);

/// The inference thread.
pub struct InferenceLoop {
    /// Policy that predicts.
    pub policy: Box<dyn Policy + Send>,
    /// State shared with the other threads.
    pub state: Arc<NodeState>,
    /// Receives every chunk before control does.
    pub show: Box<dyn FnMut(&TimedChunk) + Send>,
}

impl InferenceLoop {
    /// Predicts until the inputs are closed: one chunk whenever the next observation is due.
    pub fn run(mut self) {
        let mut vision_refresh = VisionRefresh::default();
        let mut sequence = 0;
        let mut clock_resets = 0;
        let mut schedule = ObservationSchedule::default();
        while let Some(mut stamped) = self.state.inputs.wait_for_observation(sequence) {
            sequence = stamped.sequence;
            if !self.is_due(&schedule, stamped.observed_at) {
                continue;
            }
            if stamped.clock_resets != clock_resets {
                clock_resets = stamped.clock_resets;
                vision_refresh.forget();
            }
            let settings = self.state.settings.get();
            vision_refresh.set_periods(&settings.vision_refresh);
            vision_refresh.hold_back(&mut stamped.observation, stamped.observed_at);
            let started = Instant::now();
            let prefix = self.action_prefix(&settings, stamped.observed_at);
            self.state.inference.lock().predicting_since = Some(started);
            let predicted = tracing::trace_span!("inference").in_scope(|| {
                self.policy.set_denoise_steps(settings.denoise_steps)?;
                match &prefix {
                    Some(prefix) => self.policy.predict_after(&stamped.observation, prefix),
                    None => self.policy.predict(&stamped.observation),
                }
            });
            self.state.inference.lock().predicting_since = None;
            match predicted {
                Ok(actions) => {
                    self.hold_back(settings.added_inference_latency);
                    let chunk = TimedChunk {
                        actions,
                        observed_at: stamped.observed_at,
                        action_period: settings.action_period,
                        execution_horizon: settings.execution_horizon,
                        blending: settings.blending,
                    };
                    let age = self
                        .state
                        .clock
                        .now()
                        .map_or(Duration::ZERO, |now| now.saturating_sub(stamped.observed_at));
                    schedule.chunk_arrived(&chunk, age);
                    let mut report = self.state.inference.lock();
                    report.add_chunk(stamped.observed_at, started.elapsed(), self.policy.report());
                    report.blending_strategy = Some(chunk.blending.strategy_with(self.policy.info()));
                    drop(report);
                    (self.show)(&chunk);
                    self.state.chunks.put(NewChunk {
                        chunk,
                        clock_resets: stamped.clock_resets,
                    });
                }
                Err(error) => {
                    let reason = with_short_prompt(&error.to_string(), &stamped.observation.prompt);
                    if error.is_not_finite() {
                        self.state.chunks.put_not_finite(reason.clone());
                    }
                    self.state.inference.lock().error = Some(reason);
                }
            }
        }
    }

    /// Waits for a while of the observations' clock, unless the inputs are closed or that clock is reset.
    fn hold_back(&self, latency: Duration) {
        let NodeState { clock, inputs, .. } = &*self.state;
        let (began, resets) = (clock.now().unwrap_or_default(), clock.resets());
        let until = began.saturating_add(latency);
        while let Some(now) = clock.now()
            && now < until
            && clock.resets() == resets
            && !inputs.is_closed()
        {
            if clock.is_simulated() {
                clock.wait_for_change(Some(now), PATIENCE);
            } else {
                std::thread::sleep((until - now).min(PATIENCE));
            }
        }
    }

    /// The actions of the chunk before that the chunk of this observation goes on from; none when the robot stands still or
    /// the strategy leaves denoising as it is.
    fn action_prefix(&self, settings: &RuntimeSettings, observed_at: Duration) -> Option<ActionPrefix> {
        let (plan, inference_delay) = {
            let control = self.state.control.lock();
            let moves = control.state == PlayerState::Playing;
            (
                control.plan.clone().filter(|_| moves)?,
                control.played_before_arrival,
            )
        };
        let RuntimeSettings {
            blending,
            action_period,
            ..
        } = settings;
        let policy = self.policy.info();
        blending.action_prefix(&plan, inference_delay, observed_at, *action_period, policy)
    }

    fn is_due(&self, schedule: &ObservationSchedule, observed_at: Duration) -> bool {
        // The report is about the chunk that control plays, not about one that it has not taken yet.
        if self.state.chunks.is_pending() {
            return false;
        }
        let control = self.state.control.lock();
        schedule.is_due(
            observed_at,
            control.next_observation_due,
            control.standstill_since,
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use image::RgbImage;

    use super::*;
    use crate::control::{Blending, ControlSettings};
    use crate::locking::Locking;
    use crate::observation::{CameraTopic, InputTopics, JointStatesTopic};
    use crate::observation::{Clock, Inputs};
    use crate::parameters::GoalSettings;
    use crate::policy::{ActionChunk, Observation, PolicyError, PolicyInfo};
    use crate::runtime::InferenceReport;

    /// Takes `takes` of simulated time for ten actions, fails at the prompt "nothing", and at the prompt "hang" waits to be
    /// released.
    struct SimulatedPolicy {
        state: Arc<NodeState>,
        takes: Duration,
        released: mpsc::Receiver<()>,
        observed: mpsc::Sender<Observed>,
        info: PolicyInfo,
    }

    fn info(cameras: &[&str]) -> PolicyInfo {
        PolicyInfo {
            cameras: cameras.iter().map(|&name| name.to_owned()).collect(),
            state_dim: 1,
            action_dim: 1,
            action_horizon: 10,
            ..PolicyInfo::default()
        }
    }

    /// Identifies an observation.
    struct Observed {
        position: f32,
        frame_width: u32,
    }

    impl Policy for SimulatedPolicy {
        fn info(&self) -> &PolicyInfo {
            &self.info
        }
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
            let clock = &self.state.clock;
            clock.set(clock.now().unwrap() + self.takes);
            Ok(ActionChunk::new(vec![0.0; 10], 1))
        }
    }

    struct Bench {
        state: Arc<NodeState>,
        observed: mpsc::Receiver<Observed>,
        release: mpsc::Sender<()>,
        thread: std::thread::JoinHandle<()>,
    }

    fn settings() -> RuntimeSettings {
        RuntimeSettings {
            control_period: Duration::from_millis(50),
            action_period: Duration::from_millis(50),
            execution_horizon: None,
            blending: Blending::default(),
            control: ControlSettings::unlimited(Duration::from_millis(20)),
            vision_refresh: Arc::new(VisionRefresh::new([("top".to_owned(), Duration::from_secs(10))])),
            denoise_steps: None,
            goals: GoalSettings::default(),
            added_inference_latency: Duration::ZERO,
        }
    }

    /// Ten actions reach half a second, and the camera is looked at every ten seconds.
    fn bench(takes: Duration) -> Bench {
        let clock = Clock::simulated();
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
        let inputs = Inputs::new(&topics, &["waist".to_owned()]);
        inputs.take_prompt("wave");
        inputs.take_image(0, Ok(RgbImage::new(1, 1)), Duration::ZERO);
        let state = Arc::new(NodeState::of(clock, inputs, settings()));
        let (observe, observed) = mpsc::channel();
        let (release, released) = mpsc::channel();
        let policy = SimulatedPolicy {
            state: Arc::clone(&state),
            takes,
            released,
            observed: observe,
            info: info(&["top"]),
        };
        *state.inference.lock() = InferenceReport::new(&policy);
        let inference = InferenceLoop {
            policy: Box::new(policy),
            state: Arc::clone(&state),
            show: Box::new(|_| {}),
        };
        Bench {
            state,
            observed,
            release,
            thread: std::thread::spawn(move || inference.run()),
        }
    }

    impl Bench {
        fn joint(&self, position: f32, seconds: u64) {
            self.state
                .inputs
                .take_joint_positions(0, Ok(vec![(0, position)]), Duration::from_secs(seconds));
        }

        fn next_observed(&self) -> Option<f32> {
            let observed = self.observed.recv_timeout(Duration::from_millis(300)).ok();
            observed.map(|observed| observed.position)
        }

        /// Width of the frame that the policy sees when a new one of `newest` came.
        fn frame_seen(&self, newest: u32, seconds: u64) -> u32 {
            self.state.control.lock().next_observation_due = Duration::from_secs(seconds);
            self.state
                .inputs
                .take_image(0, Ok(RgbImage::new(newest, 1)), Duration::ZERO);
            self.joint(0.0, seconds);
            let seen = self.observed.recv().unwrap().frame_width;
            self.next_chunk();
            seen
        }

        fn next_chunk(&self) -> NewChunk {
            loop {
                if let Some(chunk) = self
                    .state
                    .chunks
                    .take(Locking::Wait)
                    .and_then(|newest| newest.chunk)
                {
                    self.state.chunks.report_published();
                    return chunk;
                }
                std::thread::yield_now();
            }
        }

        fn stop(self) {
            self.state.inputs.close();
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
        assert_eq!(bench.state.inference.lock().chunks, 3);
        bench.stop();
    }

    #[test]
    fn a_chunk_is_held_back_by_the_added_latency_in_the_time_of_the_observations() {
        let bench = bench(Duration::ZERO);
        bench.state.settings.set(RuntimeSettings {
            added_inference_latency: Duration::from_millis(300),
            ..settings()
        });
        bench.joint(1.0, 1);
        assert_eq!(bench.next_observed(), Some(1.0));
        let clock = &bench.state.clock;
        for milliseconds in [100, 299] {
            std::thread::sleep(Duration::from_millis(50));
            clock.set(Duration::from_millis(1000 + milliseconds));
            std::thread::sleep(Duration::from_millis(50));
            assert!(!bench.state.chunks.is_pending(), "after {milliseconds} ms");
        }
        clock.set(Duration::from_millis(1900));
        assert_eq!(bench.next_chunk().chunk.observed_at, Duration::from_secs(1));
        // Nothing is held back for ever by a clock that stands still.
        bench.joint(2.0, 2);
        assert_eq!(bench.next_observed(), Some(2.0));
        bench.stop();
    }

    #[test]
    fn a_slow_policy_observes_only_while_the_robot_stands_still() {
        let bench = bench(Duration::from_secs(2));
        bench.joint(1.0, 1);
        assert_eq!(bench.next_observed(), Some(1.0));
        bench.next_chunk();
        bench.state.control.lock().standstill_since = None;
        bench.joint(2.0, 4);
        assert_eq!(bench.next_observed(), None);
        bench.state.control.lock().standstill_since = Some(Duration::from_secs(5));
        bench.joint(3.0, 4);
        assert_eq!(bench.next_observed(), None);
        bench.joint(4.0, 5);
        assert_eq!(bench.next_observed(), Some(4.0));
        bench.stop();
    }

    #[test]
    fn no_chunk_is_made_before_the_actions_to_execute_are_played() {
        let bench = bench(Duration::from_millis(10));
        bench.state.control.lock().next_observation_due = Duration::from_secs(5);
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
        bench.state.inputs.forget_before_reset(1);
        assert_eq!(bench.frame_seen(4, 12), 4);
        bench.stop();
    }

    #[test]
    fn a_prediction_that_does_not_end_is_seen_to_be_under_way() {
        let bench = bench(Duration::ZERO);
        assert_eq!(bench.state.inference.lock().predicting_since, None);
        bench.state.inputs.take_prompt("hang");
        let before = Instant::now();
        bench.joint(1.0, 1);
        assert_eq!(bench.next_observed(), Some(1.0));
        let since = bench.state.inference.lock().predicting_since;
        assert!(since.is_some_and(|since| since >= before), "{since:?}");
        assert!(!bench.state.chunks.is_pending());
        bench.release.send(()).unwrap();
        bench.next_chunk();
        assert_eq!(bench.state.inference.lock().predicting_since, None);
        bench.stop();
    }

    #[test]
    fn a_prediction_that_fails_gives_no_chunk_and_the_next_one_clears_the_error() {
        let bench = bench(Duration::ZERO);
        bench.state.inputs.take_prompt("nothing");
        bench.joint(1.0, 1);
        assert_eq!(bench.next_observed(), Some(1.0));
        while bench.state.inference.lock().error.is_none() {
            std::thread::yield_now();
        }
        assert!(!bench.state.chunks.is_pending());
        bench.state.inputs.take_prompt("wave");
        bench.next_chunk();
        assert_eq!(bench.state.inference.lock().error, None);
        bench.stop();
    }
}
