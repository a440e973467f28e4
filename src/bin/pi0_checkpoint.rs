//! Inspects, converts and prepares checkpoints: `pi0_checkpoint convert ~/.cache/openpi/openpi-assets/checkpoints/pi0_aloha_towel towel`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::ensure;
use clap::{Args, Parser, Subcommand, ValueEnum};
use pi0_node::checkpoint::orbax::{self, ConversionOptions, Scaling};
use pi0_node::checkpoint::{CheckpointOptions, folder_of, inspect, prepare};
use pi0_node::device::Dtype;

/// Inspects, converts and prepares checkpoints of π0 and π0.5.
#[derive(Parser)]
#[command(version = pi0_node::VERSION)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Convert(Convert),
    /// Says what a folder is, what it has, what will be assumed, and what is missing.
    Inspect {
        /// Folder of a checkpoint, of any kind, or a model of the Hugging Face Hub (owner/name), which is downloaded.
        folder: PathBuf,
        /// Print JSON instead of a text.
        #[arg(long)]
        json: bool,
    },
    /// Writes one self-contained folder of a checkpoint: weights in one file and one type, with all that is beside them.
    Prepare {
        /// Folder of a checkpoint that the node takes, or a model of the Hugging Face Hub (owner/name).
        folder: PathBuf,
        /// Folder to write, which must not exist.
        out: PathBuf,
        /// Type of the written weights; without it each keeps its own.
        #[arg(long, value_enum)]
        dtype: Option<WeightType>,
        /// Folder or model of the hub that an adapter changes, where what the adapter names is not to be had.
        #[arg(long)]
        base: Option<PathBuf>,
        /// File of the tokenizer, or a folder with it; without it the node's search.
        #[arg(long)]
        tokenizer: Option<PathBuf>,
    },
}

/// Converts a step of openpi's JAX training to a folder of LeRobot. LoRA is merged.
#[derive(Args)]
struct Convert {
    /// Folder of the step, with params/ and assets/.
    orbax_folder: PathBuf,
    /// Folder to write, which must not exist.
    out: PathBuf,
    /// Type of the written weights.
    #[arg(long, value_enum, default_value_t = WeightType::Bfloat16)]
    dtype: WeightType,
    /// Robot whose statistics are taken, a folder in assets/; needed where there are several.
    #[arg(long)]
    asset: Option<String>,
    /// Actions in a chunk, as trained (action_horizon of openpi's model configuration).
    #[arg(long, default_value_t = 50)]
    action_horizon: usize,
    /// Longest prompt in tokens, as trained (max_token_len); without it 48, or 200 for π0.5.
    #[arg(long)]
    max_prompt_tokens: Option<usize>,
    /// Euler steps from noise to actions.
    #[arg(long, default_value_t = 10)]
    denoise_steps: usize,
    /// Scaling of states and actions, as trained; without it mean-std, or quantiles for π0.5.
    #[arg(long, value_enum)]
    normalisation: Option<Normalisation>,
    /// Values of an action that are relative to the state, as trained, in openpi's notation: 6,-1 is six relative ones and
    /// an absolute one. Without it all are absolute.
    #[arg(
        long,
        value_name = "COUNTS",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    delta_actions: Vec<i32>,
    /// alpha / rank of a LoRA whose rank is not that of openpi's variants.
    #[arg(long)]
    lora_scale: Option<f32>,
}

#[derive(Clone, Copy, ValueEnum)]
enum WeightType {
    Float32,
    Bfloat16,
}

#[derive(Clone, Copy, ValueEnum)]
enum Normalisation {
    MeanStd,
    Quantiles,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Convert(convert) => convert.run(),
        Task::Inspect { folder, json } => print_inspection(&folder, json),
        Task::Prepare {
            folder,
            out,
            dtype,
            base,
            tokenizer,
        } => {
            let options = CheckpointOptions {
                base,
                tokenizer,
                ..CheckpointOptions::default()
            };
            print_preparation(&folder, &options, &out, dtype)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn print_inspection(folder: &Path, json: bool) -> anyhow::Result<()> {
    let inspection = inspect(&folder_of(folder)?);
    if json {
        println!("{}", serde_json::to_string_pretty(&inspection)?);
    } else {
        print!("{inspection}");
    }
    Ok(())
}

fn print_preparation(
    folder: &Path,
    options: &CheckpointOptions,
    out: &Path,
    dtype: Option<WeightType>,
) -> anyhow::Result<()> {
    let prepared = prepare(folder, options, out, dtype.map(WeightType::dtype))?;
    println!(
        "{}: {:.2} million parameters, {:.3} GB, of {}",
        out.display(),
        prepared.parameters as f64 / 1e6,
        prepared.bytes as f64 / 1e9,
        prepared.source.display()
    );
    Ok(())
}

impl WeightType {
    fn dtype(self) -> Dtype {
        match self {
            Self::Float32 => Dtype::F32,
            Self::Bfloat16 => Dtype::Bf16,
        }
    }
}

impl Convert {
    fn run(&self) -> anyhow::Result<()> {
        let mut relative = Vec::new();
        for count in &self.delta_actions {
            ensure!(
                *count != 0 && count.abs() <= 1024,
                "--delta-actions has the count {count}"
            );
            relative.extend(std::iter::repeat_n(*count > 0, count.unsigned_abs() as usize));
        }
        ensure!(
            self.denoise_steps > 0,
            "--denoise-steps is 0, expected at least 1"
        );
        let options = ConversionOptions {
            dtype: self.dtype.dtype(),
            asset: self.asset.clone(),
            action_horizon: self.action_horizon,
            max_prompt_tokens: self.max_prompt_tokens,
            denoise_steps: self.denoise_steps,
            scaling: self.normalisation.map(|normalisation| match normalisation {
                Normalisation::MeanStd => Scaling::MeanStd,
                Normalisation::Quantiles => Scaling::Quantiles,
            }),
            relative,
            lora_scale: self.lora_scale,
        };
        let converted = orbax::convert(&self.orbax_folder, &self.out, &options)?;
        println!(
            "{}: {}, {:.2} million parameters",
            self.out.display(),
            converted.model.model_type,
            converted.parameters as f64 / 1e6
        );
        if converted.merged_adapters > 0 {
            println!("merged: LoRA of {} arrays", converted.merged_adapters);
        }
        let (state, action) = converted.dims;
        println!(
            "robot: {}, {state} values of a state and {action} of an action, {}",
            converted.asset,
            converted.scaling.name()
        );
        let actions = match options.relative.contains(&true) {
            true => "relative to the state as given",
            false => "absolute",
        };
        println!(
            "as trained? The folder does not say: {} actions in a chunk, prompts of up to {} tokens, actions {actions}",
            options.action_horizon, converted.model.max_prompt_tokens
        );
        println!(
            "missing: tokenizer.json of google/paligemma-3b-pt-224, copy it into {}",
            self.out.display()
        );
        Ok(())
    }
}
