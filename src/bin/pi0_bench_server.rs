//! Measures a policy through its server: `pi0_bench_server --checkpoint checkpoints/aloha_sim --seconds 10`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use clap::Parser;
use pi0_node::benchmark::{Load, measure_load, measure_request_cost};
use pi0_node::policy::{DeviceOptions, PolicyOptions, open_with};
use serde_json::json;

/// Allocator of the node.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures a policy through its server on the loopback device: one line of JSON.
///
/// First what a request with three frames of 640 × 480 pixels costs where the policy does nothing. Then how many requests of the
/// checkpoint's policy are answered in a second, with clients that each ask one after the other, and whether memory grows.
/// Server and clients share this process and its cores.
#[derive(Parser)]
#[command(version = pi0_node::VERSION)]
struct Arguments {
    /// Folder of the checkpoint.
    #[arg(long, default_value = "checkpoints/aloha_sim")]
    checkpoint: PathBuf,
    /// Threads of the CPU device; 0 is one for each core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Requests whose cost is measured.
    #[arg(long, default_value_t = 300)]
    requests: usize,
    /// Numbers of clients, one after the other.
    #[arg(long, value_delimiter = ',', default_value = "1,4,16")]
    clients: Vec<usize>,
    /// Seconds for which each number of clients is measured.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
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
    ensure!(arguments.requests > 0, "--requests is 0, expected at least 1");
    ensure!(
        arguments.clients.iter().all(|clients| (1..=16).contains(clients)),
        "--clients is {:?}, expected numbers from 1 to 16",
        arguments.clients
    );
    let duration = Duration::try_from_secs_f64(arguments.seconds)?;
    let request = measure_request_cost(arguments.requests)?;
    let mut loads: Vec<Load> = Vec::new();
    for &clients in &arguments.clients {
        eprintln!("{clients} clients for {} s", arguments.seconds);
        let device = DeviceOptions::cpu().threads(arguments.threads);
        let policy = open_with(&arguments.checkpoint, device, PolicyOptions::default())?;
        loads.push(measure_load(policy, clients, duration)?);
    }
    println!("{}", json!({ "request": request, "loads": loads }));
    Ok(())
}
