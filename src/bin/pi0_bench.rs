//! Measures how fast π0 runs here: `pi0_bench --config full --precision bf16 --cameras 2`.

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use pi0_node::benchmark::{RandomWeights, Report, Workload, demo_sized, run};
use pi0_node::checkpoint::Checkpoint;
use pi0_node::device::{CpuDevice, Device, Precision};
use pi0_node::model::{Pi0, Pi0Config};

/// Measures every stage of a chunk: medians, p99, operations a second and their share of the machine's peak.
#[derive(Parser)]
struct Arguments {
    /// full: π0 as published; demo: the size of the policy that comes with the package; or a checkpoint's folder.
    #[arg(long, default_value = "demo")]
    config: String,
    /// Where it runs; tenstorrent needs the feature of that name and a card.
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    device: DeviceName,
    /// What weights are stored in, on the CPU.
    #[arg(long, value_enum, default_value_t = WeightType::F32)]
    precision: WeightType,
    /// Cameras, each with a frame of 640 × 480 pixels.
    #[arg(long, default_value_t = 1)]
    cameras: usize,
    /// Tokens of the prompt, with its first and its newline.
    #[arg(long, default_value_t = 20)]
    prompt_tokens: usize,
    /// Euler steps from noise to actions.
    #[arg(long, default_value_t = 10)]
    steps: usize,
    /// Threads of the CPU device; 0 is one for each core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Chunks that are measured, after one that is not.
    #[arg(long, default_value_t = 20)]
    repeats: usize,
    /// Print one line of JSON instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum DeviceName {
    Cpu,
    Tenstorrent,
}

#[derive(Clone, Copy, ValueEnum)]
enum WeightType {
    F32,
    Bf16,
    Int8,
}

fn main() -> ExitCode {
    match benchmark(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn benchmark(arguments: &Arguments) -> anyhow::Result<()> {
    anyhow::ensure!(arguments.repeats > 0, "--repeats is 0, expected at least 1");
    anyhow::ensure!(arguments.steps > 0, "--steps is 0, expected at least 1");
    let precision = match arguments.precision {
        WeightType::F32 => Precision::F32,
        WeightType::Bf16 => Precision::Bf16,
        WeightType::Int8 => Precision::Int8,
    };
    let report = match arguments.device {
        DeviceName::Cpu => measure(arguments, CpuDevice::new(precision, arguments.threads)?)?,
        DeviceName::Tenstorrent => measure_on_card(arguments)?,
    };
    match arguments.json {
        true => println!("{}", report.to_json()),
        false => print!("{report}"),
    }
    Ok(())
}

#[cfg(feature = "tenstorrent")]
fn measure_on_card(arguments: &Arguments) -> anyhow::Result<Report> {
    use pi0_node::device::{TenstorrentDevice, TenstorrentOptions};
    measure(
        arguments,
        TenstorrentDevice::open(&TenstorrentOptions::default())?,
    )
}

#[cfg(not(feature = "tenstorrent"))]
fn measure_on_card(_: &Arguments) -> anyhow::Result<Report> {
    anyhow::bail!("this build has no Tenstorrent device; docs/tenstorrent.md says how to build one that has")
}

fn measure<D: Device>(arguments: &Arguments, device: D) -> anyhow::Result<Report> {
    let random = |config: Pi0Config, device| {
        let weights = RandomWeights::new(&config);
        Pi0::new(config, device, &weights)
    };
    let model = match arguments.config.as_str() {
        "full" => random(Pi0Config::pi0(), device)?,
        "demo" => random(demo_sized(), device)?,
        folder => {
            let checkpoint = Checkpoint::open(Path::new(folder))?;
            Pi0::new(checkpoint.config().model.clone(), device, &checkpoint)?
        }
    };
    let workload = Workload {
        cameras: arguments.cameras,
        prompt_tokens: arguments.prompt_tokens,
        denoise_steps: arguments.steps,
        repeats: arguments.repeats,
    };
    Ok(run(&model, workload)?)
}
