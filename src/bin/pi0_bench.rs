//! Measures how fast π0 runs here: `pi0_bench --config full --precision bf16 --cameras 2`.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use pi0_node::benchmark::{
    KernelProducts, PRODUCT_ROWS, RandomWeights, Workload, demo_sized, measure_captured, measure_chunks,
    measure_kernels, measure_products, measure_start_up,
};
use pi0_node::checkpoint::Checkpoint;
use pi0_node::chrome_trace;
use pi0_node::device::{AttentionSoftmax, CardTuning, CpuDevice, Device, Precision};
use pi0_node::model::{Pi0, Pi0Config};
use pi0_node::policy::DeviceChoice;
use serde_json::json;

/// Measures every stage of a chunk: medians, p99, operations a second and their share of the instruction's peak.
#[derive(Parser)]
#[command(version = pi0_node::VERSION)]
struct Arguments {
    /// full: π0 as published; full-pi05: π0.5 as published; demo: the size of the policy that comes with the package; or a checkpoint's folder.
    #[arg(long, default_value = "demo")]
    config: String,
    /// Device of the model; tenstorrent needs the feature of that name and a card.
    #[arg(long, value_enum, default_value_t = DeviceChoice::Cpu)]
    device: DeviceChoice,
    /// Type of the weights on the CPU.
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    precision: Precision,
    /// Name of a card that is mocked in place of a real one, as its descriptor in tools/tenstorrent/mock is named: nothing is
    /// computed, and times mean nothing.
    #[arg(long)]
    mock_card: Option<String>,
    /// Ways of computing on a card: all, layout, none, or names with commas between them; all,-name leaves one out.
    #[arg(long, default_value_t)]
    tuning: CardTuning,
    /// Softmax of attention on a card.
    #[arg(long, value_enum, default_value_t)]
    softmax: AttentionSoftmax,
    /// Cameras, each with a frame of 640 × 480 pixels.
    #[arg(long, default_value_t = 1)]
    cameras: usize,
    /// Tokens of the prompt, with its first and its newline.
    #[arg(long, default_value_t = 20)]
    prompt_tokens: usize,
    /// Euler steps from noise to actions.
    #[arg(long, default_value_t = 10)]
    steps: usize,
    /// Actions in a chunk; without it, as many as in the configuration.
    #[arg(long)]
    horizon: Option<usize>,
    /// Threads of the CPU device; 0 is one for each core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Chunks that are made first and not measured.
    #[arg(long, default_value_t = 1)]
    warm_up: usize,
    /// Chunks that are measured.
    #[arg(long, default_value_t = 20)]
    repeats: usize,
    /// Measure chunks whose work the device captured, and compare each with the first one bit for bit.
    #[arg(long, conflicts_with_all = ["products", "kernels", "start_up"])]
    captured: bool,
    /// Measure matrix products of the published model's shapes instead of a chunk.
    #[arg(long)]
    products: bool,
    /// Measure such products with every CPU kernel of this machine and every type of weights.
    #[arg(long, conflicts_with_all = ["products", "device", "precision"])]
    kernels: bool,
    /// Measure the time from the start of the program until the policy of a checkpoint accepts an observation.
    #[arg(long, conflicts_with_all = ["products", "kernels"])]
    start_up: bool,
    /// Print one line of JSON instead of a table.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let started = Instant::now();
    match benchmark(&Arguments::parse(), started) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn benchmark(arguments: &Arguments, started: Instant) -> anyhow::Result<()> {
    let _trace = chrome_trace::start()?;
    anyhow::ensure!(arguments.repeats > 0, "--repeats is 0, expected at least 1");
    anyhow::ensure!(arguments.steps > 0, "--steps is 0, expected at least 1");
    anyhow::ensure!(
        arguments.horizon != Some(0),
        "--horizon is 0, expected at least 1"
    );
    if arguments.kernels {
        return print_kernels(arguments);
    }
    match arguments.device {
        DeviceChoice::Auto => anyhow::bail!("--device is auto, expected the device to measure"),
        DeviceChoice::Cpu => {
            let device = CpuDevice::new(arguments.precision, arguments.threads)?;
            measure(arguments, device, started)
        }
        DeviceChoice::Tenstorrent => measure_on_card(arguments, started),
    }
}

#[cfg(feature = "tenstorrent")]
fn measure_on_card(arguments: &Arguments, started: Instant) -> anyhow::Result<()> {
    use anyhow::Context;
    use pi0_node::device::{TenstorrentDevice, TenstorrentOptions};

    let options = TenstorrentOptions {
        tuning: arguments.tuning,
        attention: arguments.softmax,
        ..TenstorrentOptions::DEFAULT
    };
    let device = match &arguments.mock_card {
        None => TenstorrentDevice::open(&options)?,
        Some(card) => {
            let cache = std::path::Path::new("target/mock-cache");
            std::fs::create_dir_all(cache)?;
            let descriptor = format!("tools/tenstorrent/mock/{card}.yaml");
            let descriptor = std::fs::canonicalize(&descriptor).with_context(|| descriptor)?;
            let cache = cache.canonicalize()?;
            TenstorrentDevice::open_mock(&tt_metal_sys::MockCard { descriptor, cache }, &options)?
        }
    };
    measure(arguments, device, started)
}

#[cfg(not(feature = "tenstorrent"))]
fn measure_on_card(_: &Arguments, _: Instant) -> anyhow::Result<()> {
    anyhow::bail!("this build has no Tenstorrent device; docs/tenstorrent.md says how to build one that has")
}

fn print_kernels(arguments: &Arguments) -> anyhow::Result<()> {
    let kernels = measure_kernels(arguments.threads)?;
    if arguments.json {
        let kernels: Vec<_> = kernels.iter().map(KernelProducts::to_json).collect();
        println!("{}", json!({ "kernels": kernels }));
        return Ok(());
    }
    for kernel in kernels {
        println!("{}", kernel.products);
    }
    Ok(())
}

fn measure<D: Device>(arguments: &Arguments, device: D, started: Instant) -> anyhow::Result<()> {
    if arguments.products {
        let products = measure_products(&device, &PRODUCT_ROWS)?;
        if arguments.json {
            println!("{}", products.to_json());
        } else {
            print!("{products}");
        }
        return Ok(());
    }
    if arguments.start_up {
        return print_start_up(arguments, device, started);
    }
    let random = |mut config: Pi0Config, device| {
        config.action_horizon = arguments.horizon.unwrap_or(config.action_horizon);
        let weights = RandomWeights::new(&config);
        Pi0::new(config, device, &weights)
    };
    let model = match arguments.config.as_str() {
        "full" => random(Pi0Config::pi0(), device)?,
        "full-pi05" => random(Pi0Config::pi05(), device)?,
        "demo" => random(demo_sized(), device)?,
        folder => {
            let checkpoint = Checkpoint::open(folder)?;
            let mut config = checkpoint.config().model.clone();
            config.action_horizon = arguments.horizon.unwrap_or(config.action_horizon);
            Pi0::new(config, device, &checkpoint)?
        }
    };
    let workload = Workload {
        cameras: arguments.cameras,
        prompt_tokens: arguments.prompt_tokens,
        denoise_steps: arguments.steps,
        warm_up: arguments.warm_up,
        repeats: arguments.repeats,
    };
    if arguments.captured {
        let report = measure_captured(&model, workload)?;
        match arguments.json {
            true => println!("{}", report.to_json()),
            false => print!("{report}"),
        }
        return Ok(());
    }
    let report = measure_chunks(&model, workload)?;
    if arguments.json {
        println!("{}", report.to_json());
    } else {
        print!("{report}");
    }
    Ok(())
}

fn print_start_up<D: Device>(arguments: &Arguments, device: D, started: Instant) -> anyhow::Result<()> {
    let folder = arguments.config.as_str();
    anyhow::ensure!(
        !["full", "full-pi05", "demo"].contains(&folder),
        "--start-up is about a checkpoint: --config is {folder:?}, expected its folder"
    );
    let start_up = measure_start_up(folder.as_ref(), device, started)?;
    let ready_s = start_up.ready_s;
    if arguments.json {
        let resident_gb = start_up.resident_bytes.map(|bytes| bytes as f64 / 1e9);
        println!("{}", json!({ "ready_s": ready_s, "resident_gb": resident_gb }));
    } else {
        println!("{}: ready after {ready_s:.2} s", start_up.policy);
    }
    Ok(())
}
