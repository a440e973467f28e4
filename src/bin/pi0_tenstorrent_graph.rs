//! Counts what a chunk of π0 or π0.5 does on a Tenstorrent card, without one: `pi0_tenstorrent_graph --card p150 --cameras 3`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use pi0_node::benchmark::card::{CardGraph, MockedCard, RecordedChunk};
use pi0_node::device::{AttentionSoftmax, CardTuning, TenstorrentOptions};
use pi0_node::model::{ModelType, Pi0Config};

/// Builds the policy at its published size on a mock card and prints its operations, memory and time by a model.
#[derive(Parser)]
#[command(version = pi0_node::VERSION)]
struct Arguments {
    /// Card to mock.
    #[arg(long, value_enum)]
    card: MockedCard,
    /// The policy.
    #[arg(long, value_enum, default_value_t = ModelType::Pi0)]
    policy: ModelType,
    /// Tokens of the prompt; without it, as many as the policy allows.
    #[arg(long)]
    prompt_tokens: Option<usize>,
    /// Cameras, each with a new frame.
    #[arg(long, default_value_t = 3)]
    cameras: usize,
    /// Euler steps from noise to actions.
    #[arg(long, default_value = "10")]
    denoise_steps: NonZeroUsize,
    /// Ways of computing: all, layout, none, or names with commas between them; all,-name leaves one out.
    #[arg(long, default_value_t)]
    tuning: CardTuning,
    /// Softmax of attention.
    #[arg(long, value_enum, default_value_t)]
    softmax: AttentionSoftmax,
    /// Folder with the cards' descriptors.
    #[arg(long, default_value = "tools/tenstorrent/mock")]
    descriptors: PathBuf,
    /// Folder for compiled kernels.
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
    // TT-NN changes the working folder.
    std::fs::create_dir_all(&arguments.cache)?;
    let (descriptors, cache) = (
        arguments.descriptors.canonicalize()?,
        arguments.cache.canonicalize()?,
    );
    let limit = Pi0Config::published(arguments.policy).max_prompt_tokens;
    let options = TenstorrentOptions {
        tuning: arguments.tuning,
        attention: arguments.softmax,
        ..TenstorrentOptions::DEFAULT
    };
    let chunk = RecordedChunk {
        model_type: arguments.policy,
        cameras: arguments.cameras,
        prompt_tokens: arguments.prompt_tokens.unwrap_or(limit),
        denoise_steps: arguments.denoise_steps,
    };
    let graph = CardGraph::record(arguments.card, chunk, &options, (&descriptors, &cache))?;
    if arguments.json {
        println!("{}", serde_json::to_string(&graph)?);
    } else {
        print!("{graph}");
    }
    Ok(())
}
