//! The control thread: at every tick, what the newest chunk says for now.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::thread_priority::raise_this_thread;
use super::{
    ChunkSlot, DescribedLimits, Inputs, InputsAtATick, PlaybackSettings, RosClock, Shared, lock, lock_if_free,
};
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
    /// What the periods below are to be; they are forgotten when it changes.
    pub control_period: Duration,
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
    /// Whether the newest tick had nothing to publish.
    pub is_silent: bool,
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
            control_period: Duration::ZERO,
            periods_s: Window::new(TICK_WINDOW),
            period_errors_ms: Window::new(TICK_WINDOW),
            refused_chunks: 0,
            refusal: None,
            hold: None,
            is_silent: true,
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
    /// Whether the managed node is active.
    pub is_active: Arc<AtomicBool>,
    pub described_limits: Arc<Shared<DescribedLimits>>,
    /// See [`Situation::other_publishers`].
    pub other_publishers: Arc<Shared<Option<String>>>,
    /// Real-time priority that is asked for; 0 for none.
    pub priority: u8,
    pub report: Arc<Mutex<ControlReport>>,
    pub stop: Arc<AtomicBool>,
    /// The joints of every action, as places in the measured positions.
    pub commanded: Vec<usize>,
    /// Their names.
    pub commanded_joints: Arc<[String]>,
}

/// What the control thread knows from tick to tick. Of what another thread has in hand at a tick, it knows what was so
/// the tick before.
struct Ticking {
    controller: Controller,
    settings: PlaybackSettings,
    command: Command,
    described_limits: DescribedLimits,
    other_publishers: Option<String>,
    inputs: InputsAtATick,
    not_finite: Option<String>,
    previous_tick: Option<Instant>,
    /// What is still to be handed over.
    report: ControlReport,
}

impl ControlLoop {
    /// Ticks until told to stop, and hands the time and the points of every tick that has points to `publish`.
    ///
    /// On the system's clock a tick waits for no other thread: one of low priority may have to wait itself.
    pub fn run(self, mut publish: impl FnMut(Duration, Vec<TrajectoryPoint>)) {
        let priority = raise_this_thread(self.priority);
        tracing::info!("control thread: {priority}");
        lock(&self.report).priority = priority;
        let mut ticking = self.begin();
        let mut schedule = TickSchedule::new(ticking.settings.control_period);
        let mut resets = self.clock.resets();
        let started = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            self.look_at_settings(&mut ticking);
            if ticking.settings.control_period != schedule.period() {
                schedule = TickSchedule::new(ticking.settings.control_period);
                ticking.previous_tick = None;
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
                ticking.controller = Controller::new(Arc::clone(&self.commanded_joints));
            }
            let points = self.tick(&mut ticking, now);
            if !points.is_empty() {
                tracing::trace_span!("publish").in_scope(|| publish(now, points));
            }
        }
    }

    fn begin(&self) -> Ticking {
        Ticking {
            controller: Controller::new(Arc::clone(&self.commanded_joints)),
            settings: self.settings.get(),
            command: self.command.get(),
            described_limits: self.described_limits.get(),
            other_publishers: self.other_publishers.get(),
            inputs: InputsAtATick::default(),
            not_finite: None,
            previous_tick: None,
            report: ControlReport::default(),
        }
    }

    /// In simulated time nobody is late, and the same calls are to give the same trajectory.
    fn may_wait(&self) -> bool {
        self.clock.is_simulated()
    }

    fn look_at_settings(&self, ticking: &mut Ticking) {
        if let Some(settings) = self.settings.get_if_free(self.may_wait()) {
            ticking.settings = settings;
        }
    }

    #[tracing::instrument(name = "control_tick", level = "trace", skip_all)]
    fn tick(&self, ticking: &mut Ticking, now: Duration) -> Vec<TrajectoryPoint> {
        let wall = Instant::now();
        let inputs = self.inputs.at_a_tick(self.may_wait());
        let knows_where_the_robot_is = inputs.is_some();
        ticking.inputs = inputs.unwrap_or_else(|| std::mem::take(&mut ticking.inputs));
        if let Some(command) = self.command.get_if_free(self.may_wait()) {
            ticking.command = command;
        }
        if let Some(limits) = self.described_limits.get_if_free(self.may_wait()) {
            ticking.described_limits = limits;
        }
        if let Some(others) = self.other_publishers.get_if_free(self.may_wait()) {
            ticking.other_publishers = others;
        }
        // A chunk is held against where the robot is now, not where it was at some tick before.
        let mut chunk = None;
        if knows_where_the_robot_is && let Some(newest) = self.chunks.take(self.may_wait()) {
            ticking.not_finite = newest.not_finite;
            let current = newest.chunk.filter(|new| new.clock_resets == self.clock.resets());
            chunk = current.map(|new| new.chunk);
        }
        let measured = ticking.inputs.measured.as_ref();
        let situation = Situation {
            inputs: ticking.inputs.watched.clone(),
            measured: measured.map(|all| self.commanded.iter().map(|&joint| all[joint]).collect()),
            not_finite: ticking.not_finite.clone(),
            limits_problem: ticking.described_limits.problem.clone(),
            other_publishers: ticking.other_publishers.clone(),
            command: ticking.command,
            is_inactive: !self.is_active.load(Ordering::Acquire),
            prompt_number: ticking.inputs.prompt_number,
        };
        let had_chunk = chunk.is_some();
        let settings = limited(
            &ticking.settings.control,
            ticking.described_limits.limits.as_ref(),
        );
        let controller = &mut ticking.controller;
        let tick = controller.tick(now, chunk, &situation, &settings);
        let report = &mut ticking.report;
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
        report.is_silent = tick.points.is_empty();
        if report.control_period != ticking.settings.control_period {
            report.control_period = ticking.settings.control_period;
            report.periods_s = Window::new(TICK_WINDOW);
            report.period_errors_ms = Window::new(TICK_WINDOW);
        }
        if let Some(previous) = ticking.previous_tick.replace(wall) {
            let period = wall.duration_since(previous);
            let error = period.abs_diff(report.control_period);
            report.periods_s.push(period.as_secs_f64());
            report.period_errors_ms.push(error.as_secs_f64() * 1e3);
        }
        self.hand_over(report);
        tick.points
    }

    /// Hands over what the ticks gave since the last time; with the next tick, where a thread that must not be waited for
    /// has the report in hand.
    fn hand_over(&self, newer: &mut ControlReport) {
        let Some(mut report) = lock_if_free(&self.report, self.may_wait()) else {
            return;
        };
        if report.control_period != newer.control_period {
            report.control_period = newer.control_period;
            report.periods_s = Window::new(TICK_WINDOW);
            report.period_errors_ms = Window::new(TICK_WINDOW);
        }
        report.periods_s.append(&mut newer.periods_s);
        report.period_errors_ms.append(&mut newer.period_errors_ms);
        report.holds_begun.append(&mut newer.holds_begun);
        report.holds_begun.truncate(HOLDS);
        report.ticks = newer.ticks;
        report.state = newer.state;
        report.standstill_since = newer.standstill_since;
        report.next_observation_due = newer.next_observation_due;
        report.played_before_arrival = newer.played_before_arrival;
        report.refused_chunks = newer.refused_chunks;
        report.refusal.clone_from(&newer.refusal);
        report.hold.clone_from(&newer.hold);
        report.is_silent = newer.is_silent;
        report.plan.clone_from(&newer.plan);
        drop(report);
        self.chunks.told();
    }
}

/// The settings with the limits of the robot's description.
fn limited(settings: &ControlSettings, described: Option<&Arc<[JointLimits]>>) -> ControlSettings {
    let limits = match (&settings.limits, described) {
        (Some(set), Some(described)) => {
            let both = set.iter().zip(described.iter());
            Some(both.map(|(set, described)| set.and(*described)).collect())
        }
        (set, described) => set.clone().or_else(|| described.cloned()),
    };
    ControlSettings {
        limits,
        ..settings.clone()
    }
}

#[cfg(test)]
pub(super) mod tests;
