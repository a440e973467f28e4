//! The control thread: at every tick, what the newest chunk says for now.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{ChunkSlot, PlaybackSettings, RosClock, Shared, lock};
use crate::control::{ChunkPlayer, PlayerState, TickSchedule, TrajectoryPoint, Window};

/// Ticks that rate and jitter are taken over.
const TICK_WINDOW: usize = 1000;
/// How long the thread may sleep before it looks whether it shall stop or the rate has changed.
const PATIENCE: Duration = Duration::from_millis(100);

/// What the control thread did.
#[derive(Clone, Debug)]
pub struct ControlReport {
    pub ticks: u64,
    pub state: PlayerState,
    /// See [`ChunkPlayer::standstill_since`].
    pub standstill_since: Option<Duration>,
    /// See [`ChunkPlayer::next_observation_due`].
    pub next_observation_due: Duration,
    /// Wall time between the newest ticks, in seconds.
    pub periods_s: Window,
    /// How far those were from the control period, in milliseconds.
    pub period_errors_ms: Window,
    /// Chunks that were not played.
    pub refused_chunks: u64,
    /// Why the newest chunk is not played.
    pub refusal: Option<String>,
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
        }
    }
}

/// What the control thread works with.
#[derive(Debug)]
pub struct ControlLoop {
    pub clock: Arc<RosClock>,
    pub chunks: Arc<ChunkSlot>,
    pub settings: Arc<Shared<PlaybackSettings>>,
    pub report: Arc<Mutex<ControlReport>>,
    pub stop: Arc<AtomicBool>,
    /// Joints of every action.
    pub joint_count: usize,
}

impl ControlLoop {
    /// Ticks until told to stop, and hands the time and the points of every tick that has points to `publish`.
    pub fn run(self, mut publish: impl FnMut(Duration, Vec<TrajectoryPoint>)) {
        let mut player = ChunkPlayer::new(self.joint_count);
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
                player = ChunkPlayer::new(self.joint_count);
            }
            let points = self.tick(&mut player, now, &settings, &mut previous_tick);
            if !points.is_empty() {
                publish(now, points);
            }
        }
    }

    fn tick(
        &self,
        player: &mut ChunkPlayer,
        now: Duration,
        settings: &PlaybackSettings,
        previous_tick: &mut Option<Instant>,
    ) -> Vec<TrajectoryPoint> {
        let wall = Instant::now();
        let new_chunk = self.chunks.take();
        let current = new_chunk.filter(|new| new.clock_resets == self.clock.resets());
        let offered = current.map(|new| player.offer(new.chunk, now));
        let (state, points) = player.tick(now, settings.publish_horizon);
        let mut report = lock(&self.report);
        report.ticks += 1;
        report.state = state;
        report.standstill_since = player.standstill_since();
        report.next_observation_due = player.next_observation_due();
        match offered {
            Some(Err(refusal)) => {
                report.refused_chunks += 1;
                report.refusal = Some(refusal.to_string());
            }
            Some(Ok(())) => report.refusal = None,
            None => {}
        }
        if let Some(previous) = previous_tick.replace(wall) {
            let period = wall.duration_since(previous);
            let error = period.abs_diff(settings.control_period);
            report.periods_s.push(period.as_secs_f64());
            report.period_errors_ms.push(error.as_secs_f64() * 1e3);
        }
        points
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::mpsc;

    use super::*;
    use crate::control::TimedChunk;
    use crate::node::NewChunk;
    use crate::policy::ActionChunk;

    fn control(clock: RosClock, control_period: Duration) -> ControlLoop {
        let settings = PlaybackSettings {
            control_period,
            action_period: Duration::from_millis(20),
            actions_to_execute: None,
            publish_horizon: NonZeroUsize::MAX,
        };
        ControlLoop {
            clock: Arc::new(clock),
            chunks: Arc::default(),
            settings: Arc::new(Shared::new(settings)),
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
    fn a_chunk_from_before_a_reset_of_the_clock_is_not_played() {
        let control = control(RosClock::simulated(), Duration::from_millis(20));
        control.clock.set(Duration::from_millis(100));
        control.clock.set(Duration::from_millis(90));
        let mut player = ChunkPlayer::new(1);
        control.chunks.put(chunk(Duration::from_millis(90), 0));
        let settings = control.settings.get();
        let now = Duration::from_millis(90);
        assert!(control.tick(&mut player, now, &settings, &mut None).is_empty());
        control.chunks.put(chunk(Duration::from_millis(90), 1));
        assert!(!control.tick(&mut player, now, &settings, &mut None).is_empty());
    }
}
