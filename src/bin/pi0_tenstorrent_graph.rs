//! Counts what a chunk of π0 does on a Tenstorrent card, without one: `pi0_tenstorrent_graph --card p150 --cameras 3`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use pi0_node::benchmark::{CardGraph, MockedCard};

/// Builds π0 at its published size on a mock card and prints its operations, memory and least time.
#[derive(Parser)]
struct Arguments {
    #[arg(long, value_enum)]
    card: MockedCard,
    /// Cameras, each with a new frame.
    #[arg(long, default_value_t = 3)]
    cameras: usize,
    /// Folder of the cards' descriptors.
    #[arg(long, default_value = "tools/tenstorrent/mock")]
    descriptors: PathBuf,
    /// Where what is compiled is kept.
    #[arg(long, default_value = "target/mock-cache")]
    cache: PathBuf,
    /// Print one line of JSON instead of a table.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match record(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn record(arguments: &Arguments) -> anyhow::Result<()> {
    // TT-NN leaves the working folder for its own.
    std::fs::create_dir_all(&arguments.cache)?;
    let (descriptors, cache) = (
        arguments.descriptors.canonicalize()?,
        arguments.cache.canonicalize()?,
    );
    let graph = CardGraph::record(arguments.card, arguments.cameras, &descriptors, &cache)?;
    if arguments.json {
        println!("{}", serde_json::to_string(&graph)?);
    } else {
        print!("{graph}");
    }
    Ok(())
}
