//! π0 and π0.5 against the reference implementation, LeRobot 0.6.1: every module, every step, the whole policy, at
//! every kernel level of the CPU device.
//!
//! A trial measures one module, or one recorded case of the whole policy, and fails when a comparison is below its bar; at
//! the end the tables of Pearson correlations of what was measured are printed. The fixtures come from `pi0_tools.reference`;
//! `PI0_FIXTURES` names another folder of them. `PI0_CPU_KERNEL` chooses a single level; without it the published size is
//! measured at the fastest level alone, and a smaller one at all that the machine has.

mod bars;
mod cases;
#[path = "../common"]
mod common {
    pub mod ignored;
    pub mod levels;
    pub mod pearson;
    pub mod prefix_input;
}
mod fixture;
mod measure;
mod modules;
mod network;
mod table;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Failed, Trial};
use pi0_node::checkpoint::Checkpoint;
use pi0_node::device::{KERNEL_VARIABLE, KernelLevel, Precision};

use self::bars::Size;
use self::common::ignored::ignored;
use self::common::levels::LACKING;
use self::fixture::Fixture;
use self::measure::{Measurement, Measurements, Setting};
use self::modules::{MODULES, Modules};
use self::network::Network;

const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];
/// What a trial of a level that is not measured is called.
const EVERYTHING: &str = "modules and cases agree with the reference";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // There is memory for one network, which computes on all cores.
    arguments.test_threads = Some(1);
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let folder = fixture_folder();
    let folders = [folder.clone(), folder.join("pi05")];
    let (mut checkpoints, mut models) = (Vec::new(), Vec::new());
    for folder in &folders {
        let checkpoint = Checkpoint::open(folder.join("checkpoint"))?;
        models.push((checkpoint.config().model.model_type, parts(folder)?));
        checkpoints.push(checkpoint);
    }
    let size = Size::of(&checkpoints[0].config().model);
    let parity = Arc::new(Mutex::new(Parity {
        size,
        network: Network::new(checkpoints),
        measured: Vec::new(),
    }));
    let (levels, why) = levels(size)?;
    if !arguments.list {
        let names: Vec<_> = levels.iter().map(|level| level.name()).collect();
        println!("{size:?} size, at levels {} ({why})", names.join(", "));
    }
    let mut trials = Vec::new();
    for level in KernelLevel::ALL {
        if !level.is_available() {
            trials.push(ignored(&format!("{level}: {EVERYTHING}"), LACKING));
        } else if !levels.contains(&level) {
            trials.push(ignored(&format!("{level}: {EVERYTHING}"), why));
        } else {
            for (model_type, parts) in &models {
                trials.extend(PRECISIONS.into_iter().flat_map(|precision| {
                    let setting = Setting {
                        model_type: *model_type,
                        level,
                        precision,
                    };
                    let parity = &parity;
                    parts
                        .iter()
                        .map(move |part| trial(setting, part.clone(), Arc::clone(parity)))
                }));
            }
        }
    }
    let conclusion = libtest_mimic::run(arguments, trials);
    let measured = &parity.lock().unwrap_or_else(PoisonError::into_inner).measured;
    table::print_tables(measured);
    Ok(conclusion.exit_code())
}

fn fixture_folder() -> PathBuf {
    env::var_os("PI0_FIXTURES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reference"),
        PathBuf::from,
    )
}

/// The levels to measure, and why these.
fn levels(size: Size) -> Result<(Vec<KernelLevel>, &'static str)> {
    if env::var_os(KERNEL_VARIABLE).is_some() {
        let chosen = KernelLevel::from_environment()?;
        return Ok((vec![chosen], "PI0_CPU_KERNEL chooses one"));
    }
    Ok(match size {
        Size::Small => (KernelLevel::available().collect(), "all that this machine has"),
        Size::Published => (
            vec![KernelLevel::fastest()],
            "the fastest alone at this size, unless PI0_CPU_KERNEL chooses another",
        ),
    })
}

/// What one trial measures, in the order in which one network after the other is needed.
#[derive(Clone)]
struct Part {
    name: String,
    fixture: PathBuf,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Module(fn(&mut Modules) -> Result<()>),
    Case,
    /// Of a network on a device whose memory comes in tiles.
    CaseInTiles,
}

fn parts(folder: &Path) -> Result<Vec<Part>> {
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder.join("cases"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    cases.sort();
    let of_module = |(name, measure): (&str, _)| Part {
        name: format!("module {name}"),
        fixture: folder.join("modules.safetensors"),
        what: What::Module(measure),
    };
    let of_case = |path: &PathBuf, prefix: &str, what| -> Result<Part> {
        Ok(Part {
            name: format!("{prefix}{}", fixture::name(path)?),
            fixture: path.clone(),
            what,
        })
    };
    let modules = MODULES.map(of_module).map(Ok);
    let whole = cases.iter().map(|path| of_case(path, "case ", What::Case));
    let in_tiles = cases
        .iter()
        .map(|path| of_case(path, "in tiles, case ", What::CaseInTiles));
    modules.into_iter().chain(whole).chain(in_tiles).collect()
}

fn trial(setting: Setting, part: Part, parity: Arc<Mutex<Parity>>) -> Trial {
    let name = format!("{setting}: {} agrees with the reference", part.name);
    Trial::test(name, move || {
        let mut parity = parity.lock().unwrap_or_else(PoisonError::into_inner);
        parity
            .measure(setting, &part)
            .map_err(|error| Failed::from(format!("{error:#}")))
    })
}

/// One network at a time, and what was measured with all of them.
struct Parity {
    size: Size,
    network: Network,
    measured: Vec<Measurement>,
}

impl Parity {
    /// # Errors
    /// When a part cannot be computed, or a comparison of it is below its bar.
    fn measure(&mut self, setting: Setting, part: &Part) -> Result<()> {
        let fixture = Fixture::open(&part.fixture)?;
        let mut measurements = Measurements::new(setting);
        let in_tiles = matches!(part.what, What::CaseInTiles);
        let horizon = match part.what {
            What::Module(_) => fixture.shape("inputs.noise")?[0],
            What::Case | What::CaseInTiles => cases::action_horizon(&fixture)?,
        };
        let pi0 = self
            .network
            .with(setting, in_tiles, horizon)
            .context("building the network")?;
        match part.what {
            What::Module(measure) => measure(&mut Modules {
                pi0,
                fixture: &fixture,
                measurements: &mut measurements,
            })?,
            What::Case => cases::measure(pi0, &fixture, &mut measurements)?,
            What::CaseInTiles => cases::measure_in_tiles(pi0, &fixture, &mut measurements)?,
        }
        let verdicts = measurements.list.iter().map(|measurement| {
            let bar = bars::bar(measurement.module, setting, self.size);
            measurement.verdict(bar)
        });
        let failures: Vec<_> = verdicts.filter_map(Result::err).collect();
        self.measured.extend(measurements.list);
        anyhow::ensure!(failures.is_empty(), "{}", failures.join("\n"));
        Ok(())
    }
}
