//! Measures how well the control thread keeps its rate while inference keeps every core busy.

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use clap::Parser;
use pi0_node::benchmark::{ControlRateOptions, measure_control_rate, measure_sleeping};
use serde_json::json;

/// Allocator of the node.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures how well the control thread keeps its rate while inference keeps every core busy: one line of JSON.
///
/// One policy on each core makes one chunk after the other of frames that never repeat; the control thread plays them as in
/// the node. ROS 2 is no part of the measurement. A thread of the same priority that only sleeps from tick to tick is the
/// machine's baseline.
#[derive(Parser)]
#[command(version = pi0_node::VERSION)]
struct Arguments {
    /// Folder of the checkpoint.
    #[arg(long, default_value = "checkpoints/aloha_sim")]
    checkpoint: PathBuf,
    /// Minutes for which each rate is measured.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Control rates, one after the other.
    #[arg(long, value_delimiter = ',', default_value = "50,100")]
    rates_hz: Vec<f64>,
    /// Real-time priority of the control thread, see the parameter control_priority.
    #[arg(long, default_value_t = 50)]
    priority: u8,
    /// Measure only the thread that sleeps, beside whatever else runs on this machine.
    #[arg(long)]
    only_sleeping: bool,
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let cores = thread::available_parallelism()?.get();
    let minutes = arguments.minutes;
    let mut rates = Vec::new();
    for &rate_hz in &arguments.rates_hz {
        if arguments.only_sleeping {
            let slept = measure_sleeping(rate_hz, minutes, arguments.priority)?;
            rates.push(json!({ "rate_hz": rate_hz, "minutes": minutes, "only_sleeping": slept }));
            continue;
        }
        eprintln!("{rate_hz} Hz for {minutes} minutes beside inference on {cores} cores");
        let report = measure_control_rate(&ControlRateOptions {
            checkpoint: arguments.checkpoint.clone(),
            rate_hz,
            minutes,
            priority: arguments.priority,
        })?;
        rates.push(serde_json::to_value(report)?);
    }
    println!("{}", json!({ "cores": cores, "rates": rates }));
    Ok(())
}
