//! Holds a policy against recordings: `pi0_eval BAG --params-file robot.yaml --checkpoint folder`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use pi0_node::node::parameters::{ParameterValue, Parameters, Settings, parameters_of};
use pi0_node::policy::open_for_evaluation;
use pi0_node::replay::bag::Bag;
use pi0_node::replay::{Comparison, EvaluationOptions, Prediction, Report, evaluate};

/// Says how well and how fast a policy predicts what was recorded in bags of ROS 2, without a robot and without ROS 2.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    evaluation: Evaluation,
}

#[derive(Subcommand)]
enum Command {
    /// Hold one report against another; ends with status 1 when the second one is worse.
    Compare {
        /// The report to hold the other against.
        before: PathBuf,
        after: PathBuf,
        /// Percent by which a figure may be worse.
        #[arg(long, default_value_t = 5.0)]
        threshold: f64,
    },
}

#[derive(Args)]
struct Evaluation {
    /// A bag's folder, an .mcap or .db3 file, or a folder with bags below it.
    #[arg(required = true)]
    bags: Vec<PathBuf>,
    /// The node's parameter file: topics, cameras, joints, rates.
    #[arg(long)]
    params_file: Option<PathBuf>,
    /// The node's full name, which says what part of the parameter file counts.
    #[arg(long, default_value = "/pi0_node")]
    node_name: String,
    /// Set a parameter of the node, over the parameter file.
    #[arg(short = 'p', long = "param", value_name = "NAME:=VALUE")]
    parameters: Vec<String>,
    /// The parameter checkpoint: the policy's folder.
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// The parameter seed: of the noise.
    #[arg(long)]
    seed: Option<u64>,
    /// The parameter threads: of the CPU device, 0 for one a core.
    #[arg(long)]
    threads: Option<usize>,
    /// Where the commands to the robot were recorded: JointTrajectory, Float64MultiArray or JointState. Without it, the
    /// topic on which the node would publish, or else the joint states.
    #[arg(long)]
    actions_topic: Option<String>,
    /// Actions from one observation to the next; without it, as many as the node plays.
    #[arg(long)]
    every: Option<usize>,
    /// Seconds after a recorded action beyond which nothing is known.
    #[arg(long, default_value_t = 0.5)]
    longest_gap: f64,
    /// A joint that moved by less than this counts as still, for the agreement of directions.
    #[arg(long, default_value_t = 0.01)]
    still: f32,
    /// Leave out the flow-matching loss, which takes about as long as the chunks.
    #[arg(long)]
    no_loss: bool,
    /// Write the report there.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Show no progress and no table.
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Some(Command::Compare {
            before,
            after,
            threshold,
        }) => compare(&before, &after, threshold),
        None => arguments.evaluation.run(),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            // 1 says that a report is worse.
            ExitCode::from(2)
        }
    }
}

fn compare(before: &std::path::Path, after: &std::path::Path, threshold: f64) -> anyhow::Result<ExitCode> {
    let comparison = Comparison::new(&Report::read(before)?, &Report::read(after)?, threshold / 100.0);
    print!("{}", comparison.table());
    let is_worse = comparison.worse().next().is_some();
    Ok(if is_worse {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

impl Evaluation {
    fn run(&self) -> anyhow::Result<ExitCode> {
        ensure!(self.every != Some(0), "--every is 0, expected at least 1");
        ensure!(
            self.longest_gap > 0.0 && self.longest_gap.is_finite(),
            "--longest-gap is {}, expected a number of seconds above 0",
            self.longest_gap
        );
        let settings = self.settings()?;
        let mut results = Vec::new();
        for path in &self.bags {
            let bag = Bag::open(path)?;
            let mut policy = open_for_evaluation(
                &settings.checkpoint,
                settings.device,
                settings.device_options,
                settings.policy.clone(),
            )
            .with_context(|| format!("no policy from the checkpoint {}", settings.checkpoint.display()))?;
            let progress = self.progress(&bag);
            let mut look = |prediction: Prediction| show_progress(&progress, &bag, &prediction);
            let result = evaluate(&bag, &mut *policy, &settings, &self.options(), &mut look)?;
            progress.finish_and_clear();
            results.push(result);
        }
        let report = Report::new(results);
        if let Some(path) = &self.json {
            report.write(path)?;
        }
        if !self.quiet {
            print!("{}", report.table());
        }
        Ok(ExitCode::SUCCESS)
    }

    fn options(&self) -> EvaluationOptions {
        EvaluationOptions {
            actions_topic: self.actions_topic.clone(),
            actions_between: self.every,
            longest_gap: Duration::from_secs_f64(self.longest_gap),
            still: self.still,
            flow_matching_loss: !self.no_loss,
        }
    }

    /// The node's parameters: the file's, then those of the command line.
    fn settings(&self) -> anyhow::Result<Settings> {
        let mut parameters = match &self.params_file {
            Some(path) => {
                let read = || format!("the parameter file {}", path.display());
                let text = std::fs::read_to_string(path).with_context(read)?;
                parameters_of(&text, &self.node_name).with_context(read)?
            }
            None => Vec::new(),
        };
        let mut section = String::from("/**:\n  ros__parameters:\n");
        for parameter in &self.parameters {
            let (name, value) = parameter
                .split_once(":=")
                .with_context(|| format!("-p {parameter}: expected NAME:=VALUE"))?;
            section += &format!("    {name}: {value}\n");
        }
        if !self.parameters.is_empty() {
            parameters.extend(parameters_of(&section, "/pi0_node").context("-p")?);
        }
        if let Some(checkpoint) = &self.checkpoint {
            let checkpoint = checkpoint.to_string_lossy().into_owned();
            parameters.push(("checkpoint".to_owned(), ParameterValue::String(checkpoint)));
        }
        let counts = [
            ("seed", self.seed),
            ("threads", self.threads.map(|threads| threads as u64)),
        ];
        for (name, count) in counts {
            if let Some(count) = count {
                let count = i64::try_from(count).with_context(|| format!("--{name} is {count}"))?;
                parameters.push((name.to_owned(), ParameterValue::Integer(count)));
            }
        }
        match Parameters::from_overrides(parameters.into_iter()) {
            Ok(parameters) => Ok(parameters.settings().clone()),
            Err(problems) => {
                let problems: Vec<String> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
                anyhow::bail!("the parameters do not fit:{}", problems.concat())
            }
        }
    }

    fn progress(&self, bag: &Bag) -> ProgressBar {
        let Some((start, end)) = bag.span().filter(|_| !self.quiet) else {
            return ProgressBar::hidden();
        };
        let bar = ProgressBar::new((end - start).as_millis() as u64);
        let style = ProgressStyle::with_template("{percent:>3} % {wide_bar} {msg}, {eta} left");
        bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    }
}

fn show_progress(bar: &ProgressBar, bag: &Bag, prediction: &Prediction) {
    if let Some((start, _)) = bag.span() {
        bar.set_position(prediction.sample.log_time.saturating_sub(start).as_millis() as u64);
        bar.set_message(format!("{} chunks", prediction.index + 1));
    }
}
