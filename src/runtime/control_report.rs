//! The report of the control thread.

use std::sync::Arc;
use std::time::Duration;

use crate::control::{Hold, Plan, PlayerState};
use crate::statistics::Window;

/// Ticks in the window of rate and jitter.
const TICK_WINDOW: usize = 1000;
/// Most holds that wait to be reported: a reason that comes and goes at every tick must not fill the memory.
const HOLDS: usize = 32;

/// State of the control thread, for inference and diagnostics.
#[derive(Clone, Debug)]
pub struct ControlReport {
    /// Ticks since the start.
    pub ticks: u64,
    /// Number of the prompt that the newest tick was for.
    pub prompt_generation: u64,
    /// State of the playback.
    pub state: PlayerState,
    /// See [`Controller::standstill_since`].
    pub standstill_since: Option<Duration>,
    /// See [`Controller::next_observation_due`].
    pub next_observation_due: Duration,
    /// Nominal period of the measurements below, which are cleared when it changes.
    pub control_period: Duration,
    /// Wall time between the newest ticks, in seconds.
    pub periods_s: Window,
    /// Deviations of those from the control period, in milliseconds.
    pub period_errors_ms: Window,
    /// Chunks that were not played.
    pub refused_chunks: u64,
    /// Actions that were played since the start; the one that is played counts in part.
    pub played_actions: f64,
    /// Why the newest chunk is not played.
    pub refusal: Option<String>,
    /// Why the robot is held, while it is.
    pub hold: Option<Hold>,
    /// Whether the newest tick had nothing to publish.
    pub is_silent: bool,
    /// Holds since the diagnostics last took them from here, one for each change of the reason.
    pub holds_begun: Vec<Hold>,
    /// See [`Controller::plan`].
    pub plan: Option<Arc<Plan>>,
    /// See [`Controller::played_before_arrival`].
    pub played_before_arrival: usize,
    /// Priority that the system granted the thread.
    pub priority: String,
}

impl Default for ControlReport {
    fn default() -> Self {
        Self {
            ticks: 0,
            prompt_generation: 0,
            state: PlayerState::Waiting,
            standstill_since: Some(Duration::ZERO),
            next_observation_due: Duration::ZERO,
            control_period: Duration::ZERO,
            periods_s: Window::new(TICK_WINDOW),
            period_errors_ms: Window::new(TICK_WINDOW),
            refused_chunks: 0,
            played_actions: 0.0,
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

impl ControlReport {
    /// Adds the hold that began with this tick, if there is one.
    pub(super) fn hold_begins(&mut self, hold: Option<Hold>) {
        self.holds_begun.extend(hold);
        self.holds_begun.truncate(HOLDS);
    }

    /// Sets the nominal period; another one clears the measurements.
    pub(super) fn set_control_period(&mut self, control_period: Duration) {
        if self.control_period != control_period {
            self.control_period = control_period;
            self.periods_s = Window::new(TICK_WINDOW);
            self.period_errors_ms = Window::new(TICK_WINDOW);
        }
    }

    /// Takes over the state of `newer`, and moves its measurements and holds here.
    pub(super) fn update(&mut self, newer: &mut Self) {
        self.set_control_period(newer.control_period);
        self.periods_s.append(&mut newer.periods_s);
        self.period_errors_ms.append(&mut newer.period_errors_ms);
        self.holds_begun.append(&mut newer.holds_begun);
        self.holds_begun.truncate(HOLDS);
        self.ticks = newer.ticks;
        self.prompt_generation = newer.prompt_generation;
        self.state = newer.state;
        self.standstill_since = newer.standstill_since;
        self.next_observation_due = newer.next_observation_due;
        self.played_before_arrival = newer.played_before_arrival;
        self.refused_chunks = newer.refused_chunks;
        self.played_actions = newer.played_actions;
        self.refusal.clone_from(&newer.refusal);
        self.hold.clone_from(&newer.hold);
        self.is_silent = newer.is_silent;
        self.plan.clone_from(&newer.plan);
    }
}
