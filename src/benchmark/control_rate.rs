//! Control rate beside inference: how well the control thread keeps its ticks while every core is busy.

use std::io;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use image::{Rgb, RgbImage};
use serde::Serialize;

use crate::checkpoint::Checkpoint;
use crate::control::{Blending, TickSchedule, TimedChunk};
use crate::device::{CpuDevice, Precision};
use crate::observation::{Clock, InputTopics, Inputs};
use crate::parameters::{ParameterProblem, ParameterValue, Parameters, Settings};
use crate::policy::{Observation, OpenError, Pi0Policy, Policy, PolicyError, PolicyOptions};
use crate::runtime::{ControlLoop, NewChunk, NodeState, raise_this_thread};
use crate::statistics::{Summary, percentile};

/// Time until the first chunk is there and every core is busy.
const WARM_UP: Duration = Duration::from_secs(2);

/// Conditions of a measurement.
#[derive(Clone, Debug)]
pub struct ControlRateOptions {
    /// Folder of the checkpoint.
    pub checkpoint: PathBuf,
    /// Control rate in hertz.
    pub rate_hz: f64,
    /// Time of the measurement after the warm-up, in minutes.
    pub minutes: f64,
    /// Real-time priority of the control thread.
    pub priority: u8,
}

/// Result of a measurement.
#[derive(Clone, Debug, Serialize)]
pub struct ControlRateReport {
    /// Ticks of the control thread.
    #[serde(flatten)]
    pub ticks: Ticks,
    /// Ticks of a thread of the same priority that only sleeps, as a baseline for the machine.
    pub only_sleeping: Ticks,
    /// Percent of the time of all cores that a virtual machine's host gave to others.
    pub stolen_percent: f64,
    /// Control rate in hertz.
    pub rate_hz: f64,
    /// Time of the measurement in minutes.
    pub minutes: f64,
    /// Chunks that all policies made.
    pub chunks: u64,
    /// Priority that the control thread got.
    pub priority: String,
}

/// Regularity of a thread's ticks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ticks {
    /// Ticks of the measurement.
    #[serde(rename = "ticks")]
    pub count: usize,
    /// Periods that passed without a tick.
    pub missed: u64,
    /// Milliseconds between a period and its length by the control rate.
    pub period_error_ms: Summary,
    /// 99.9th percentile of those.
    pub period_error_p999_ms: f64,
}

/// Reason why a control rate could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum ControlRateError {
    /// Wrong parameter.
    #[error(transparent)]
    Parameter(#[from] ParameterProblem),
    /// Checkpoint that makes no policy.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Policy that failed.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Failure of the operating system.
    #[error("the operating system: {0}")]
    System(#[from] io::Error),
    /// Measurement without a single period.
    #[error("there were fewer than two ticks")]
    TooShort,
}

/// Measures the control thread beside inference. A policy on each core makes one chunk after the other of frames that never
/// repeat, and the control thread plays those of the first policy as in the node. Its trajectories are dropped, so ROS 2 is no
/// part of the measurement.
///
/// # Errors
/// When the checkpoint makes no policy, a policy fails, or a thread cannot be started.
pub fn measure_control_rate(options: &ControlRateOptions) -> Result<ControlRateReport, ControlRateError> {
    let &ControlRateOptions {
        rate_hz,
        minutes,
        priority,
        ..
    } = options;
    let cores = thread::available_parallelism()?.get();
    let checkpoint = Checkpoint::open(&options.checkpoint).map_err(OpenError::from)?;
    let settings = settings(options, checkpoint.action_dim())?;
    let policies = (0..cores)
        .map(|_| policy(&checkpoint))
        .collect::<Result<Vec<_>, _>>()?;
    let (stop, chunks) = (Arc::<AtomicBool>::default(), AtomicU64::new(0));
    let control = control_loop(&settings, priority, Arc::clone(&stop));
    let (state, period) = (Arc::clone(&control.state), settings.runtime.action_period);
    let duration = Duration::from_secs_f64(60.0 * minutes);
    thread::scope(|scope| {
        let (stop, chunks, state) = (&*stop, &chunks, &*state);
        let infer = |(core, policy)| {
            let receiver = (core == 0).then_some(state);
            scope.spawn(move || infer(policy, period, receiver, chunks, stop))
        };
        let workers: Vec<_> = policies.into_iter().enumerate().map(infer).collect();
        let sleeper = scope.spawn(|| sleep_from_tick_to_tick(rate_hz, priority, stop));
        let control = scope.spawn(move || {
            let mut ticks = Vec::new();
            control.run(|_| ticks.push(Instant::now()));
            ticks
        });
        thread::sleep(WARM_UP);
        let stolen_before = stolen();
        thread::sleep(duration);
        let stolen_after = stolen();
        stop.store(true, Ordering::Relaxed);
        let (ticks, slept) = (joined(control), joined(sleeper));
        workers.into_iter().try_for_each(joined)?;
        let stolen = stolen_after?.saturating_sub(stolen_before?);
        Ok(ControlRateReport {
            ticks: Ticks::new(&ticks, 1.0 / rate_hz)?,
            only_sleeping: Ticks::new(&slept, 1.0 / rate_hz)?,
            stolen_percent: 100.0 * stolen.as_secs_f64() / (duration.as_secs_f64() * cores as f64),
            rate_hz,
            minutes,
            chunks: chunks.load(Ordering::Relaxed),
            priority: state.control.lock().priority.clone(),
        })
    })
}

/// Measures a thread of this priority that only sleeps from tick to tick, for so many minutes: what the machine gives to any
/// thread, beside whatever else runs on it.
///
/// # Errors
/// When there were fewer than two ticks.
pub fn measure_sleeping(rate_hz: f64, minutes: f64, priority: u8) -> Result<Ticks, ControlRateError> {
    let stop = AtomicBool::new(false);
    let ticks = thread::scope(|scope| {
        let sleeper = scope.spawn(|| sleep_from_tick_to_tick(rate_hz, priority, &stop));
        thread::sleep(WARM_UP + Duration::from_secs_f64(60.0 * minutes));
        stop.store(true, Ordering::Relaxed);
        joined(sleeper)
    });
    Ticks::new(&ticks, 1.0 / rate_hz)
}

/// The settings of a robot with so many joints, and a camera that nobody subscribes to.
fn settings(options: &ControlRateOptions, joints: usize) -> Result<Settings, ParameterProblem> {
    let checkpoint = options.checkpoint.display().to_string();
    let joint_names = (0..joints).map(|joint| format!("joint_{joint}"));
    let overrides = [
        ("checkpoint", ParameterValue::String(checkpoint)),
        ("cameras.none.topic", ParameterValue::String("/none".to_owned())),
        ("joint_names", ParameterValue::StringArray(joint_names.collect())),
        ("control_rate_hz", ParameterValue::Double(options.rate_hz)),
        // There is no robot whose position could be compared.
        (
            "joint_defaults.max_start_jump",
            ParameterValue::Double(f64::INFINITY),
        ),
    ];
    let overrides = overrides.map(|(name, value)| (name.to_owned(), value));
    let parameters = Parameters::from_overrides(overrides.into_iter());
    let parameters = parameters.map_err(|mut problems| problems.swap_remove(0))?;
    Ok(parameters.settings().clone())
}

fn control_loop(settings: &Settings, priority: u8, stop: Arc<AtomicBool>) -> ControlLoop {
    let inputs = Inputs::new(&InputTopics::default(), &settings.joint_names);
    let state = NodeState::of(Clock::system(), inputs, settings.runtime.clone());
    state.is_active.store(true, Ordering::Release);
    ControlLoop {
        state: Arc::new(state),
        priority,
        stop,
        commanded: settings.joint_mapping.commanded().collect(),
        axes: settings.axes(),
    }
}

/// Predicts one chunk after the other, and passes them to `receiver`, if there is one.
fn infer(
    mut policy: Pi0Policy<CpuDevice>,
    action_period: Duration,
    receiver: Option<&NodeState>,
    chunks: &AtomicU64,
    stop: &AtomicBool,
) -> Result<(), PolicyError> {
    while !stop.load(Ordering::Relaxed) {
        let number = chunks.fetch_add(1, Ordering::Relaxed);
        let observed_at = Clock::system().now().unwrap_or_default();
        let actions = policy.predict(&observation(&policy, number))?;
        if let Some(state) = receiver {
            let chunk = TimedChunk {
                actions,
                observed_at,
                action_period,
                execution_horizon: None,
                blending: Blending::default(),
            };
            state.chunks.put(NewChunk {
                chunk,
                clock_resets: 0,
            });
        }
    }
    Ok(())
}

/// Sleeps from tick to tick on a thread of this priority, and returns the times of waking up.
fn sleep_from_tick_to_tick(rate_hz: f64, priority: u8, stop: &AtomicBool) -> Vec<Instant> {
    raise_this_thread(priority);
    let mut schedule = TickSchedule::new(Duration::from_secs_f64(1.0 / rate_hz));
    let started = Instant::now();
    let mut ticks = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        if schedule.is_due(started.elapsed()) {
            ticks.push(Instant::now());
        }
        thread::sleep(schedule.until_due(started.elapsed()));
    }
    ticks
}

fn joined<T>(thread: ScopedJoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// Reads the time of all cores together that a virtual machine's host gave to others since the system started; zero on a
/// machine that is no virtual one.
fn stolen() -> io::Result<Duration> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let of_all_cores = text.lines().next().unwrap_or_default();
    let steal = of_all_cores.split_whitespace().nth(8);
    let hundredths = steal.and_then(|steal| steal.parse::<u64>().ok());
    Ok(Duration::from_millis(10 * hundredths.unwrap_or(0)))
}

fn policy(checkpoint: &Checkpoint) -> Result<Pi0Policy<CpuDevice>, OpenError> {
    let device = CpuDevice::new(Precision::F32, 1)?;
    Pi0Policy::new(checkpoint, device, &PolicyOptions::default())
}

/// Observation whose frame differs from that of every other number, so that nothing is reused.
fn observation(policy: &Pi0Policy<CpuDevice>, number: u64) -> Observation {
    let shade = |shift: u32| (number >> shift) as u8;
    let color = Rgb([shade(0), shade(8), shade(16)]);
    let frame = Arc::new(RgbImage::from_pixel(320, 240, color));
    let cameras = policy.info().cameras.iter();
    let images = cameras.map(|name| (name.clone(), Arc::clone(&frame)));
    Observation {
        images: images.collect(),
        state: vec![0.0; policy.info().state_dim],
        prompt: "pick up the cube with the right arm".to_owned(),
    }
}

impl Ticks {
    /// Measures the ticks after the warm-up. A tick is missed when a whole period passes without one.
    fn new(ticks: &[Instant], period_s: f64) -> Result<Self, ControlRateError> {
        let after_warm_up = ticks.iter().position(|tick| *tick - ticks[0] >= WARM_UP);
        let ticks = &ticks[after_warm_up.unwrap_or(0)..];
        if ticks.len() < 2 {
            return Err(ControlRateError::TooShort);
        }
        let periods = ticks.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64());
        let missed_before = |period: f64| ((period / period_s).round() as u64).saturating_sub(1);
        let errors_ms = periods.clone().map(|period| (period - period_s).abs() * 1e3);
        let errors_ms: Vec<f64> = errors_ms.collect();
        Ok(Self {
            count: ticks.len(),
            missed: periods.map(missed_before).sum(),
            period_error_ms: Summary::of(&errors_ms),
            period_error_p999_ms: percentile(errors_ms.iter(), 99.9).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_without_a_tick_is_missed_and_ticks_of_the_warm_up_do_not_count() {
        let start = Instant::now();
        let at_ms = [0, 500, 2000, 2010, 2040, 2050].map(|ms| start + Duration::from_millis(ms));
        let ticks = Ticks::new(&at_ms, 0.01).unwrap();
        assert_eq!((ticks.count, ticks.missed), (4, 2));
        assert!((ticks.period_error_ms.max - 20.0).abs() < 1e-6, "{ticks:?}");
        assert!(matches!(
            Ticks::new(&at_ms[..1], 0.01),
            Err(ControlRateError::TooShort)
        ));
    }
}
