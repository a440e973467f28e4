//! π0 against the reference implementation, LeRobot 0.6.1: every module, every step, the whole policy.
//!
//! Prints the table of Pearson correlations and fails when one is below its bar. The fixtures come from
//! `tools/reference/`; `PI0_FIXTURES` names another folder of them.

mod cases;
mod fixture;
mod measure;
mod modules;

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Failed, Trial};
use pi0_node::checkpoint::Checkpoint;
use pi0_node::device::{CpuDevice, Precision};
use pi0_node::model::Pi0;

use self::fixture::Fixture;
use self::measure::{Measurement, Measurements};

/// Rows and columns of Tenstorrent's tiles.
const TILE: usize = 32;
const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let measurements = match measure(&fixture_folder()) {
        Ok(measurements) => measurements,
        Err(error) => {
            eprintln!("error: {error:?}");
            return ExitCode::FAILURE;
        }
    };
    print_table(&measurements);
    let trials = measurements.into_iter().map(trial).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn fixture_folder() -> PathBuf {
    env::var_os("PI0_FIXTURES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reference"),
        PathBuf::from,
    )
}

fn measure(folder: &Path) -> Result<Vec<Measurement>> {
    let checkpoint = Checkpoint::open(folder.join("checkpoint"))?;
    let modules = Fixture::open(&folder.join("modules.safetensors"))?;
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder.join("cases"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    paths.sort();
    let mut list = Vec::new();
    for precision in PRECISIONS {
        let mut measurements = Measurements::new(precision);
        let horizon = modules.shape("inputs.noise")?[0];
        let mut pi0 = network(&checkpoint, CpuDevice::new(precision, 0)?, horizon)?;
        modules::Modules {
            pi0: &pi0,
            fixture: &modules,
            measurements: &mut measurements,
        }
        .measure()?;
        for path in &paths {
            let fixture = Fixture::open(path)?;
            pi0.config.action_horizon = cases::action_horizon(&fixture)?;
            cases::measure(&pi0, &fixture, &mut measurements)?;
        }
        // An accelerator's tiles: padded tokens, heads, prompts and actions must change nothing.
        let in_tiles = CpuDevice::new(precision, 0)?.with_tile(TILE);
        let mut pi0 = network(&checkpoint, in_tiles, horizon)?;
        for path in &paths {
            let fixture = Fixture::open(path)?;
            pi0.config.action_horizon = cases::action_horizon(&fixture)?;
            cases::measure_in_tiles(&pi0, &fixture, &mut measurements)?;
        }
        list.extend(measurements.list);
    }
    Ok(list)
}

/// No weight depends on the horizon, so that one network serves fixtures of any.
fn network(checkpoint: &Checkpoint, device: CpuDevice, action_horizon: usize) -> Result<Pi0<CpuDevice>> {
    let mut config = checkpoint.config().model.clone();
    config.action_horizon = action_horizon;
    Pi0::new(config, device, checkpoint).context("building the network")
}

fn trial(measurement: Measurement) -> Trial {
    let name = format!(
        "{} {:?} agrees with the reference: {}",
        measurement.module, measurement.precision, measurement.part
    );
    Trial::test(name, move || measurement.verdict().map_err(Failed::from))
}

/// The worst of each module, as the table of the README.
fn print_table(measurements: &[Measurement]) {
    let mut rows: BTreeMap<&str, [Worst; PRECISIONS.len()]> = BTreeMap::new();
    for measurement in measurements {
        let index = PRECISIONS
            .iter()
            .position(|precision| *precision == measurement.precision);
        let worst =
            &mut rows.entry(measurement.module).or_default()[index.expect("a precision of the table")];
        worst.comparisons += 1;
        worst.pearson_correlation = worst.pearson_correlation.min(measurement.pearson_correlation);
        worst.max_abs_error = worst.max_abs_error.max(measurement.max_abs_error);
    }
    println!(
        "| module | comparisons | PCC, f32 | max abs error, f32 | PCC, bf16 weights | PCC, int8 weights |"
    );
    println!("|---|---|---|---|---|---|");
    for (module, [f32, bf16, int8]) in rows {
        println!(
            "| {module} | {} | {:.8} | {:.1e} | {:.6} | {:.5} |",
            f32.comparisons,
            f32.pearson_correlation,
            f32.max_abs_error,
            bf16.pearson_correlation,
            int8.pearson_correlation
        );
    }
}

struct Worst {
    comparisons: usize,
    pearson_correlation: f64,
    max_abs_error: f64,
}

impl Default for Worst {
    fn default() -> Self {
        Self {
            comparisons: 0,
            pearson_correlation: f64::INFINITY,
            max_abs_error: 0.0,
        }
    }
}
