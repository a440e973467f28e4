//! The control thread: publishes the newest chunk's motion at every tick.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::control_report::ControlReport;
use super::node_state::{GoalOver, NodeState};
use super::thread_priority::raise_this_thread;
use crate::control::{
    Axes, Command, ControlSettings, Controller, DescribedLimits, Hold, JointLimits, PlayerState,
    SafetyInputs, Takeover, TickSchedule, Trajectory,
};
use crate::locking::Locking;
use crate::observation::InputsAtATick;
use crate::parameters::RuntimeSettings;

/// Longest sleep before the thread checks whether to stop or whether the rate has changed.
const PATIENCE: Duration = Duration::from_millis(100);

/// The control thread.
#[derive(Debug)]
pub struct ControlLoop {
    /// State shared with the other threads.
    pub state: Arc<NodeState>,
    /// Real-time priority to request; 0 for none.
    pub priority: u8,
    /// Ends the loop when set.
    pub stop: Arc<AtomicBool>,
    /// Indices of the actions' values in the measured positions.
    pub commanded: Vec<usize>,
    /// The axes of the robot's actions.
    pub axes: Axes,
}

/// State of the control thread from tick to tick. A value that another thread holds locked at a tick stays as it was at the
/// previous tick.
struct Ticking {
    controller: Controller,
    settings: RuntimeSettings,
    command: Command,
    takeover: Takeover,
    described_limits: DescribedLimits,
    other_publishers: Option<String>,
    server_lost: Option<String>,
    inputs: InputsAtATick,
    not_finite: Option<String>,
    previous_tick: Option<Instant>,
    /// Time of the newest tick at which a chunk was played; none where the newest tick played none.
    playing_at: Option<Duration>,
    goal_over: Option<GoalOver>,
    /// Measurements that are not handed over yet.
    report: ControlReport,
}

impl ControlLoop {
    /// Ticks until `stop` is set, and calls `publish` with the trajectory of every tick that has one.
    ///
    /// On the system's clock a tick waits for no other thread (see [`Locking`]).
    pub fn run(self, mut publish: impl FnMut(Trajectory)) {
        let priority = raise_this_thread(self.priority);
        tracing::info!("control thread: {priority}");
        self.state.control.lock().priority = priority;
        let mut ticking = self.begin();
        let mut schedule = TickSchedule::new(ticking.settings.control_period);
        let mut resets = self.state.clock.resets();
        let started = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            self.look_at_settings(&mut ticking);
            if ticking.settings.control_period != schedule.period() {
                schedule = TickSchedule::new(ticking.settings.control_period);
                ticking.previous_tick = None;
            }
            let now = self.state.clock.now();
            // Deadlines on the system's clock are kept in steady time, which no adjustment of the clock moves.
            let schedule_time = if self.state.clock.is_simulated() {
                now
            } else {
                Some(started.elapsed())
            };
            let (Some(now), Some(schedule_time)) = (now, schedule_time) else {
                self.state.clock.wait_for_change(None, PATIENCE);
                continue;
            };
            if !schedule.is_due(schedule_time) {
                if self.state.clock.is_simulated() {
                    self.state.clock.wait_for_change(Some(now), PATIENCE);
                } else {
                    std::thread::sleep(schedule.until_due(schedule_time).min(PATIENCE));
                }
                continue;
            }
            if resets != self.state.clock.resets() {
                resets = self.state.clock.resets();
                ticking.controller.reset();
            }
            if let Some(trajectory) = self.tick(&mut ticking, now) {
                tracing::trace_span!("publish").in_scope(|| publish(trajectory));
            }
        }
    }

    fn begin(&self) -> Ticking {
        Ticking {
            controller: Controller::new(self.axes.clone()),
            settings: self.state.settings.get(),
            command: self.state.command.get(),
            takeover: self.state.takeover.get(),
            described_limits: self.state.described_limits.get(),
            other_publishers: self.state.other_publishers.get(),
            server_lost: self.state.server_lost.get(),
            inputs: InputsAtATick::default(),
            not_finite: None,
            previous_tick: None,
            playing_at: None,
            goal_over: self.state.goal_over.get(),
            report: ControlReport::default(),
        }
    }

    /// Waiting in simulated time, where no tick is late and equal inputs must give equal trajectories.
    fn locking(&self) -> Locking {
        if self.state.clock.is_simulated() {
            Locking::Wait
        } else {
            Locking::Try
        }
    }

    fn look_at_settings(&self, ticking: &mut Ticking) {
        self.state.settings.refresh(&mut ticking.settings, self.locking());
    }

    #[tracing::instrument(name = "control_tick", level = "trace", skip_all)]
    fn tick(&self, ticking: &mut Ticking, now: Duration) -> Option<Trajectory> {
        let wall = Instant::now();
        let inputs = self.state.inputs.at_a_tick(self.locking());
        let knows_where_the_robot_is = inputs.is_some();
        ticking.inputs = inputs.unwrap_or_else(|| std::mem::take(&mut ticking.inputs));
        let (state, locking) = (&*self.state, self.locking());
        state.command.refresh(&mut ticking.command, locking);
        state.takeover.refresh(&mut ticking.takeover, locking);
        state
            .described_limits
            .refresh(&mut ticking.described_limits, locking);
        state
            .other_publishers
            .refresh(&mut ticking.other_publishers, locking);
        state.goal_over.refresh(&mut ticking.goal_over, locking);
        state.server_lost.refresh(&mut ticking.server_lost, locking);
        // A chunk is compared with where the robot is now, not with where it was at an earlier tick.
        let mut chunk = None;
        if knows_where_the_robot_is && let Some(newest) = self.state.chunks.take(self.locking()) {
            ticking.not_finite = newest.not_finite;
            let current = newest
                .chunk
                .filter(|new| new.clock_resets == self.state.clock.resets());
            chunk = current.map(|new| new.chunk);
        }
        let measured = ticking.inputs.measured.as_ref();
        let safety_inputs = SafetyInputs {
            inputs: ticking.inputs.watched.clone(),
            measured: measured.map(|all| self.commanded.iter().map(|&joint| all[joint]).collect()),
            not_finite: ticking.not_finite.clone(),
            limits_problem: ticking.described_limits.problem.clone(),
            other_publishers: ticking.other_publishers.clone(),
            server_lost: ticking.server_lost.clone(),
            command: ticking.command,
            takeover: ticking.takeover,
            is_inactive: !self.state.is_active.load(Ordering::Acquire),
            prompt_generation: ticking.inputs.prompt_generation,
            goal_over: ticking
                .goal_over
                .as_ref()
                .filter(|over| over.prompt_generation == ticking.inputs.prompt_generation)
                .map(|over| over.detail.clone()),
        };
        let had_chunk = chunk.is_some();
        let settings = limited(
            &ticking.settings.control,
            ticking.described_limits.limits.as_ref(),
        );
        let controller = &mut ticking.controller;
        let tick = controller.tick(now, chunk, &safety_inputs, &settings);
        let report = &mut ticking.report;
        report.ticks += 1;
        report.prompt_generation = ticking.inputs.prompt_generation;
        report.state = tick.state;
        let playing_at = (tick.state == PlayerState::Playing).then_some(now);
        if let (Some(since), Some(now)) = (std::mem::replace(&mut ticking.playing_at, playing_at), playing_at)
        {
            let period = ticking.settings.action_period.as_secs_f64();
            report.played_actions += now.saturating_sub(since).as_secs_f64() / period;
        }
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
        if reason(&report.hold) != reason(&tick.hold) {
            report.hold_begins(tick.hold.clone());
        }
        report.hold = tick.hold;
        report.is_silent = tick.trajectory.is_none();
        report.set_control_period(ticking.settings.control_period);
        if let Some(previous) = ticking.previous_tick.replace(wall) {
            let period = wall.duration_since(previous);
            let error = period.abs_diff(report.control_period);
            report.periods_s.push(period.as_secs_f64());
            report.period_errors_ms.push(error.as_secs_f64() * 1e3);
        }
        self.hand_over(report);
        tick.trajectory
    }

    /// Adds the measurements since the last call to the shared report; at the next tick, while another thread holds it.
    fn hand_over(&self, newer: &mut ControlReport) {
        let Some(mut report) = self.locking().lock(&self.state.control) else {
            return;
        };
        report.update(newer);
        drop(report);
        self.state.chunks.report_published();
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
