//! Measures how well the control thread keeps its rate while inference keeps every core busy.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use clap::Parser;
use image::{Rgb, RgbImage};
use pi0_node::checkpoint::Checkpoint;
use pi0_node::control::{Blending, TickSchedule, TimedChunk};
use pi0_node::device::{CpuDevice, Precision};
use pi0_node::observation::{Clock, InputTopics, Inputs};
use pi0_node::parameters::{ParameterValue, Parameters};
use pi0_node::policy::{CameraOptions, Observation, Pi0Policy, Policy, PolicyOptions};
use pi0_node::runtime::{ControlLoop, NewChunk, NodeState, raise_this_thread};
use serde_json::{Value, json};

/// The node's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures how well the control thread keeps its rate while inference keeps every core busy: one line of JSON.
///
/// One policy on each core makes one chunk after the other of frames that never stay the same; the control thread plays
/// them as in the node. What it would publish is thrown away, so ROS 2 is not part of what is measured. Beside it a thread
/// of the same priority does nothing but sleep from tick to tick: what it misses, the machine itself makes everybody miss.
#[derive(Parser)]
struct Arguments {
    /// Folder of the checkpoint.
    #[arg(long, default_value = "checkpoints/aloha_sim")]
    checkpoint: PathBuf,
    /// How long each rate is measured.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Control rates, one after the other.
    #[arg(long, value_delimiter = ',', default_value = "50,100")]
    rates_hz: Vec<f64>,
    /// Real-time priority that is asked for, as the parameter control_priority.
    #[arg(long, default_value_t = 50)]
    priority: u8,
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> anyhow::Result<Value> {
    let cores = thread::available_parallelism()?.get();
    let checkpoint = Checkpoint::open(&arguments.checkpoint).context("the checkpoint could not be opened")?;
    let mut rates = Vec::new();
    for &rate_hz in &arguments.rates_hz {
        eprintln!(
            "{rate_hz} Hz for {} minutes beside inference on {cores} cores",
            arguments.minutes
        );
        rates.push(measure_rate(arguments, &checkpoint, cores, rate_hz)?);
    }
    Ok(json!({ "cores": cores, "rates": rates }))
}

fn measure_rate(
    arguments: &Arguments,
    checkpoint: &Checkpoint,
    cores: usize,
    rate_hz: f64,
) -> anyhow::Result<Value> {
    let overrides = [
        (
            "checkpoint",
            ParameterValue::String(arguments.checkpoint.display().to_string()),
        ),
        ("cameras.none.topic", ParameterValue::String("/none".to_owned())),
        (
            "joint_names",
            ParameterValue::StringArray(
                (0..checkpoint.action_dim())
                    .map(|joint| format!("joint_{joint}"))
                    .collect(),
            ),
        ),
        ("control_rate_hz", ParameterValue::Double(rate_hz)),
        // Nobody measures a robot here.
        (
            "joint_defaults.max_start_jump",
            ParameterValue::Double(f64::INFINITY),
        ),
    ];
    let overrides = overrides.map(|(name, value)| (name.to_owned(), value));
    let parameters =
        Parameters::from_overrides(overrides.into_iter()).map_err(|problems| anyhow!("{}", problems[0]))?;
    let settings = parameters.settings();
    let stop = Arc::<AtomicBool>::default();
    let inputs = Inputs::new(&InputTopics::default(), &settings.joint_names);
    let state = Arc::new(NodeState::of(Clock::system(), inputs, settings.runtime.clone()));
    state.is_active.store(true, Ordering::Release);
    let control = ControlLoop {
        state: Arc::clone(&state),
        priority: arguments.priority,
        stop: Arc::clone(&stop),
        commanded: settings.joint_mapping.commanded().collect(),
        commanded_joints: settings.commanded_joints().into(),
    };
    let made = Arc::<AtomicU64>::default();
    let mut workers = Vec::new();
    for core in 0..cores {
        let mut policy = policy(checkpoint)?;
        let (stop, state, made) = (Arc::clone(&stop), Arc::clone(&state), Arc::clone(&made));
        let action_period = settings.runtime.action_period;
        workers.push(thread::spawn(move || -> anyhow::Result<()> {
            while !stop.load(Ordering::Relaxed) {
                let number = made.fetch_add(1, Ordering::Relaxed);
                let observed_at = Clock::system().now().unwrap_or_default();
                let actions = policy.predict(&observation(&policy, number))?;
                if core == 0 {
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
        }));
    }
    let (sleeper_stop, priority) = (Arc::clone(&stop), arguments.priority);
    let sleeper = thread::spawn(move || sleep_from_tick_to_tick(rate_hz, priority, &sleeper_stop));
    let control = thread::Builder::new().name("control".to_owned()).spawn(move || {
        let mut ticks = Vec::new();
        control.run(|_, _| ticks.push(Instant::now()));
        ticks
    })?;
    // Until the first chunk is there and every core is busy.
    let warm_up = Duration::from_secs(2);
    thread::sleep(warm_up);
    let stolen_before = stolen()?;
    let measured_for = Duration::from_secs_f64(60.0 * arguments.minutes);
    thread::sleep(measured_for);
    let stolen = stolen()?.saturating_sub(stolen_before);
    stop.store(true, Ordering::Relaxed);
    let ticks = control
        .join()
        .map_err(|_| anyhow!("the control thread panicked"))?;
    let slept = sleeper
        .join()
        .map_err(|_| anyhow!("the sleeping thread panicked"))?;
    for worker in workers {
        worker
            .join()
            .map_err(|_| anyhow!("an inference thread panicked"))??;
    }
    let priority = state.control.lock().priority.clone();
    let mut figures = figures(&ticks, warm_up, 1.0 / rate_hz)?;
    figures["only_sleeping"] = self::figures(&slept, warm_up, 1.0 / rate_hz)?;
    let cores_time = measured_for * u32::try_from(cores)?;
    figures["stolen_percent"] = rounded(100.0 * stolen.as_secs_f64() / cores_time.as_secs_f64());
    figures["rate_hz"] = json!(rate_hz);
    figures["minutes"] = json!(arguments.minutes);
    figures["chunks"] = json!(made.load(Ordering::Relaxed));
    figures["priority"] = json!(priority);
    Ok(figures)
}

/// When a thread of this priority woke up that only slept from tick to tick.
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

/// Time of all cores together that a virtual machine's host gave to others since the system started; zero on a machine
/// that is no virtual one.
fn stolen() -> anyhow::Result<Duration> {
    let path = "/proc/stat";
    let text = std::fs::read_to_string(path).with_context(|| format!("{path} could not be read"))?;
    let of_all_cores = text.lines().next().unwrap_or_default();
    let steal = of_all_cores.split_whitespace().nth(8);
    let hundredths = steal.with_context(|| format!("{path} has no column of stolen time"))?;
    Ok(Duration::from_millis(10 * hundredths.parse::<u64>()?))
}

fn rounded(value: f64) -> Value {
    json!((value * 1e3).round() / 1e3)
}

/// Of the ticks after the warm-up. A tick is missed when a whole period passes without one.
fn figures(ticks: &[Instant], warm_up: Duration, period_s: f64) -> anyhow::Result<Value> {
    let after_warm_up = ticks.iter().position(|tick| *tick - ticks[0] >= warm_up);
    let ticks = &ticks[after_warm_up.unwrap_or(0)..];
    let periods = ticks.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64());
    let missed_before = |period: f64| ((period / period_s).round() as u64).saturating_sub(1);
    let missed: u64 = periods.clone().map(missed_before).sum();
    let mut errors_ms: Vec<f64> = periods.map(|period| (period - period_s).abs() * 1e3).collect();
    errors_ms.sort_by(f64::total_cmp);
    let last = errors_ms
        .len()
        .checked_sub(1)
        .context("there were fewer than two ticks")?;
    let share = |share: f64| rounded(errors_ms[(share * last as f64).round() as usize]);
    Ok(json!({
        "ticks": ticks.len(),
        "missed": missed,
        "period_error_ms": { "p50": share(0.5), "p99": share(0.99), "max": share(1.0) },
    }))
}

fn policy(checkpoint: &Checkpoint) -> anyhow::Result<Pi0Policy<CpuDevice>> {
    let cameras = checkpoint.config().cameras.iter().map(|name| CameraOptions {
        name: name.clone(),
        crop: None,
        is_optional: false,
    });
    let options = PolicyOptions {
        cameras: cameras.collect(),
        ..PolicyOptions::default()
    };
    Ok(Pi0Policy::new(
        checkpoint,
        CpuDevice::new(Precision::F32, 1)?,
        options,
    )?)
}

/// No two of the same frame, so that nothing that was computed before serves again.
fn observation(policy: &Pi0Policy<CpuDevice>, number: u64) -> Observation {
    let shade = |shift: u32| (number >> shift) as u8;
    let frame = Arc::new(RgbImage::from_pixel(
        320,
        240,
        Rgb([shade(0), shade(8), shade(16)]),
    ));
    let images = policy
        .cameras()
        .iter()
        .map(|name| (name.clone(), Arc::clone(&frame)));
    Observation {
        images: images.collect(),
        state: vec![0.0; policy.state_dim()],
        prompt: "pick up the cube with the right arm".to_owned(),
    }
}
