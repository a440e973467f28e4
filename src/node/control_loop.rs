//! The control thread: at every tick, what the newest chunk says for now.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::thread_priority::raise_this_thread;
use super::{ChunkSlot, Inputs, PlaybackSettings, RosClock, Shared, lock};
use crate::control::{
    Command, ControlSettings, Controller, Hold, JointLimits, Plan, PlayerState, Situation, TickSchedule,
    TrajectoryPoint, Window,
};

/// Ticks that rate and jitter are taken over.
const TICK_WINDOW: usize = 1000;
/// Holds that wait to be told of at most: a reason that comes and goes at every tick must not fill the memory.
const HOLDS: usize = 32;
/// How long the thread may sleep before it looks whether it shall stop or the rate has changed.
const PATIENCE: Duration = Duration::from_millis(100);

/// What the control thread did.
#[derive(Clone, Debug)]
pub struct ControlReport {
    pub ticks: u64,
    pub state: PlayerState,
    /// See [`Controller::standstill_since`].
    pub standstill_since: Option<Duration>,
    /// See [`Controller::next_observation_due`].
    pub next_observation_due: Duration,
    /// Wall time between the newest ticks, in seconds.
    pub periods_s: Window,
    /// How far those were from the control period, in milliseconds.
    pub period_errors_ms: Window,
    /// Chunks that were not played.
    pub refused_chunks: u64,
    /// Why the newest chunk is not played.
    pub refusal: Option<String>,
    /// Why the robot is held, while it is.
    pub hold: Option<Hold>,
    /// What held the robot since somebody last took them from here, one for each time that the reason changed.
    pub holds_begun: Vec<Hold>,
    /// See [`Controller::plan`].
    pub plan: Option<Arc<Plan>>,
    /// See [`Controller::played_before_arrival`].
    pub played_before_arrival: usize,
    /// What the system granted the thread.
    pub priority: String,
}

impl Default for ControlReport {
    fn default() -> Self {
        Self {
            ticks: 0,
            state: PlayerState::Waiting,
            standstill_since: Some(Duration::ZERO),
            next_observation_due: Duration::ZERO,
            periods_s: Window::new(TICK_WINDOW),
            period_errors_ms: Window::new(TICK_WINDOW),
            refused_chunks: 0,
            refusal: None,
            hold: None,
            holds_begun: Vec::new(),
            plan: None,
            played_before_arrival: 0,
            priority: String::new(),
        }
    }
}

/// What the control thread works with.
#[derive(Debug)]
pub struct ControlLoop {
    pub clock: Arc<RosClock>,
    pub chunks: Arc<ChunkSlot>,
    pub inputs: Arc<Inputs>,
    pub settings: Arc<Shared<PlaybackSettings>>,
    /// What the services were last told.
    pub command: Arc<Shared<Command>>,
    /// The limits of the robot's description, one per joint; none before it came.
    pub described_limits: Arc<Shared<Option<Arc<[JointLimits]>>>>,
    /// Real-time priority that is asked for; 0 for none.
    pub priority: u8,
    pub report: Arc<Mutex<ControlReport>>,
    pub stop: Arc<AtomicBool>,
    /// Joints of every action.
    pub joint_count: usize,
}

impl ControlLoop {
    /// Ticks until told to stop, and hands the time and the points of every tick that has points to `publish`.
    pub fn run(self, mut publish: impl FnMut(Duration, Vec<TrajectoryPoint>)) {
        let priority = raise_this_thread(self.priority);
        tracing::info!("control thread: {priority}");
        lock(&self.report).priority = priority;
        let mut controller = Controller::new(self.joint_count);
        let mut schedule = TickSchedule::new(self.settings.get().control_period);
        let mut previous_tick = None;
        let mut resets = self.clock.resets();
        let started = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            let settings = self.settings.get();
            if settings.control_period != schedule.period() {
                schedule = TickSchedule::new(settings.control_period);
                previous_tick = None;
                let mut report = lock(&self.report);
                report.periods_s = Window::new(TICK_WINDOW);
                report.period_errors_ms = Window::new(TICK_WINDOW);
            }
            let now = self.clock.now();
            // Deadlines on the system's clock are kept in steady time, which no adjustment of the clock moves.
            let schedule_time = if self.clock.is_simulated() {
                now
            } else {
                Some(started.elapsed())
            };
            let (Some(now), Some(schedule_time)) = (now, schedule_time) else {
                self.clock.wait_for_change(None, PATIENCE);
                continue;
            };
            if !schedule.is_due(schedule_time) {
                if self.clock.is_simulated() {
                    self.clock.wait_for_change(Some(now), PATIENCE);
                } else {
                    std::thread::sleep(schedule.until_due(schedule_time).min(PATIENCE));
                }
                continue;
            }
            if resets != self.clock.resets() {
                resets = self.clock.resets();
                controller = Controller::new(self.joint_count);
            }
            let points = self.tick(&mut controller, now, &settings, &mut previous_tick);
            if !points.is_empty() {
                publish(now, points);
            }
        }
    }

    fn tick(
        &self,
        controller: &mut Controller,
        now: Duration,
        settings: &PlaybackSettings,
        previous_tick: &mut Option<Instant>,
    ) -> Vec<TrajectoryPoint> {
        let wall = Instant::now();
        let situation = Situation {
            inputs: self.inputs.watched(),
            measured: self.inputs.measured_positions(),
            not_finite: self.chunks.not_finite(),
            command: self.command.get(),
            prompt_number: self.inputs.prompt_number(),
        };
        let new_chunk = self.chunks.take();
        let current = new_chunk.filter(|new| new.clock_resets == self.clock.resets());
        let chunk = current.map(|new| new.chunk);
        let had_chunk = chunk.is_some();
        let tick = controller.tick(now, chunk, &situation, &self.limited(&settings.control));
        let mut report = lock(&self.report);
        report.ticks += 1;
        report.state = tick.state;
        report.standstill_since = controller.standstill_since();
        report.next_observation_due = controller.next_observation_due();
        report.played_before_arrival = controller.played_before_arrival();
        match tick.refusal {
            Some(refusal) => {
                report.refused_chunks += 1;
                report.refusal = Some(refusal.to_string());
            }
            None if had_chunk => {
                report.refusal = None;
                report.plan = controller.plan().cloned().map(Arc::new);
            }
            None => {}
        }
        let reason = |hold: &Option<Hold>| hold.as_ref().map(|hold| hold.reason);
        if reason(&report.hold) != reason(&tick.hold) && report.holds_begun.len() < HOLDS {
            report.holds_begun.extend(tick.hold.clone());
        }
        report.hold = tick.hold;
        if let Some(previous) = previous_tick.replace(wall) {
            let period = wall.duration_since(previous);
            let error = period.abs_diff(settings.control_period);
            report.periods_s.push(period.as_secs_f64());
            report.period_errors_ms.push(error.as_secs_f64() * 1e3);
        }
        tick.points
    }

    /// The settings with the limits of the robot's description.
    fn limited(&self, settings: &ControlSettings) -> ControlSettings {
        let limits = match (&settings.limits, self.described_limits.get()) {
            (Some(set), Some(described)) => {
                let both = set.iter().zip(described.iter());
                Some(both.map(|(set, described)| set.and(*described)).collect())
            }
            (set, described) => set.clone().or(described),
        };
        ControlSettings {
            limits,
            ..settings.clone()
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::num::NonZeroUsize;
    use std::sync::mpsc;

    use super::*;
    use crate::control::{Seam, SupervisionSettings, TimedChunk};
    use crate::node::NewChunk;
    use crate::policy::ActionChunk;

    /// Nothing is limited and nothing becomes old.
    pub fn unlimited() -> ControlSettings {
        ControlSettings {
            publish_horizon: NonZeroUsize::MAX,
            step: Duration::from_millis(20),
            limits: None,
            max_start_jump: None,
            stop_duration: Duration::from_millis(200),
            supervision: SupervisionSettings {
                max_age: Duration::MAX,
                max_run_time: None,
            },
        }
    }

    fn control(clock: RosClock, control_period: Duration) -> ControlLoop {
        let settings = PlaybackSettings {
            control_period,
            action_period: Duration::from_millis(20),
            actions_to_execute: None,
            seam: Seam::default(),
            control: unlimited(),
        };
        ControlLoop {
            clock: Arc::new(clock),
            chunks: Arc::default(),
            inputs: Arc::new(Inputs::new(&[], "/joint_states", "/prompt")),
            settings: Arc::new(Shared::new(settings)),
            command: Arc::new(Shared::new(Command::Enabled)),
            described_limits: Arc::new(Shared::new(None)),
            priority: 0,
            report: Arc::default(),
            stop: Arc::default(),
            joint_count: 1,
        }
    }

    fn chunk(observed_at: Duration, clock_resets: u64) -> NewChunk {
        NewChunk {
            chunk: TimedChunk {
                actions: ActionChunk::new((0..50).map(|action| action as f32).collect(), 1),
                observed_at,
                action_period: Duration::from_millis(20),
                actions_to_execute: None,
                seam: Seam::default(),
            },
            clock_resets,
        }
    }

    #[test]
    fn ticks_keep_the_rate_on_the_systems_clock() {
        let control = control(RosClock::system(), Duration::from_millis(5));
        let (stop, report) = (Arc::clone(&control.stop), Arc::clone(&control.report));
        let thread = std::thread::spawn(move || control.run(|_, _| {}));
        std::thread::sleep(Duration::from_millis(500));
        stop.store(true, Ordering::Relaxed);
        thread.join().unwrap();
        let ticks = lock(&report).ticks;
        assert!(
            (60..=102).contains(&ticks),
            "{ticks} ticks in half a second of 5 ms"
        );
    }

    #[test]
    fn nothing_is_published_before_the_first_chunk_and_a_tick_follows_simulated_time() {
        let control = control(RosClock::simulated(), Duration::from_millis(20));
        let (clock, chunks) = (Arc::clone(&control.clock), Arc::clone(&control.chunks));
        let (stop, report) = (Arc::clone(&control.stop), Arc::clone(&control.report));
        let (sender, published) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            control.run(|now, points| sender.send((now, points)).unwrap());
        });
        let step = |milliseconds| {
            let before = lock(&report).ticks;
            clock.set(Duration::from_millis(milliseconds));
            while lock(&report).ticks == before {
                std::thread::yield_now();
            }
        };
        step(0);
        step(20);
        assert!(published.try_recv().is_err());
        chunks.put(chunk(Duration::from_millis(20), 0));
        step(40);
        step(60);
        let patience = Duration::from_secs(5);
        for (milliseconds, position) in [(40, 0.0), (60, 1.0)] {
            let (now, points) = published.recv_timeout(patience).unwrap();
            assert_eq!(now, Duration::from_millis(milliseconds));
            assert_eq!(points[0].positions, [position]);
        }
        stop.store(true, Ordering::Relaxed);
        thread.join().unwrap();
    }

    #[test]
    fn every_change_of_the_reason_for_a_hold_is_reported_once() {
        let control = control(RosClock::simulated(), Duration::from_millis(20));
        let mut controller = Controller::new(1);
        let settings = control.settings.get();
        let mut tick = |milliseconds| {
            let now = Duration::from_millis(milliseconds);
            control.tick(&mut controller, now, &settings, &mut None)
        };
        tick(0);
        control.command.set(Command::Stopped);
        (1..100).for_each(|number| drop(tick(20 * number)));
        control.command.set(Command::Enabled);
        (100..200).for_each(|number| drop(tick(20 * number)));
        let holds = lock(&control.report).holds_begun.clone();
        let codes: Vec<&str> = holds.iter().map(|hold| hold.reason.code()).collect();
        assert_eq!(codes, ["NO_CHUNK_YET", "STOPPED", "NO_CHUNK_YET"]);
    }

    #[test]
    fn limits_of_the_description_and_of_the_parameters_count_together() {
        let control = control(RosClock::simulated(), Duration::from_millis(20));
        let described = JointLimits {
            upper: 1.0,
            velocity: 3.0,
            ..JointLimits::NONE
        };
        control.described_limits.set(Some([described].into()));
        assert_eq!(control.limited(&unlimited()).limits.unwrap()[..], [described]);
        let set = JointLimits {
            upper: 2.0,
            velocity: 0.5,
            ..JointLimits::NONE
        };
        let settings = ControlSettings {
            limits: Some([set].into()),
            ..unlimited()
        };
        let both = JointLimits {
            velocity: 0.5,
            ..described
        };
        assert_eq!(control.limited(&settings).limits.unwrap()[..], [both]);
    }

    #[test]
    fn a_chunk_from_before_a_reset_of_the_clock_is_not_played() {
        let control = control(RosClock::simulated(), Duration::from_millis(20));
        control.clock.set(Duration::from_millis(100));
        control.clock.set(Duration::from_millis(90));
        let mut controller = Controller::new(1);
        control.chunks.put(chunk(Duration::from_millis(90), 0));
        let settings = control.settings.get();
        let now = Duration::from_millis(90);
        assert!(
            control
                .tick(&mut controller, now, &settings, &mut None)
                .is_empty()
        );
        control.chunks.put(chunk(Duration::from_millis(90), 1));
        assert!(
            !control
                .tick(&mut controller, now, &settings, &mut None)
                .is_empty()
        );
    }
}
