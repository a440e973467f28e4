//! Evaluates a policy on recordings: `pi0_eval BAG --params-file robot.yaml --checkpoint folder`.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use pi0_node::chrome_trace::{self, ChromeTrace};
use pi0_node::evaluation::bag::Bag;
use pi0_node::evaluation::{
    Batch, Comparison, EvaluationOptions, Prediction, Progress, Report, ReportFiles, find_bags,
};
use pi0_node::parameters::{ParameterValue, parameters_of, parse_override};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Measures how well and how fast a policy predicts the actions recorded in bags of ROS 2, without a robot and without ROS 2.
#[derive(Parser)]
#[command(version = pi0_node::VERSION, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    task: Option<Task>,
    #[command(flatten)]
    evaluation: Evaluation,
}

#[derive(Subcommand)]
enum Task {
    /// Compare two reports; ends with status 1 when the second one is worse.
    Compare {
        /// Report to compare with.
        before: PathBuf,
        /// Report that may be worse.
        after: PathBuf,
        /// Percent by which a metric may be worse.
        #[arg(long, default_value_t = 5.0)]
        threshold: f64,
    },
}

#[derive(Args)]
struct Evaluation {
    /// A bag's folder, an .mcap or .db3 file, or a folder with bags below it.
    #[arg(required = true)]
    bags: Vec<PathBuf>,
    #[command(flatten)]
    shared: SharedArguments,
    /// File to write the report to.
    #[arg(long)]
    json: Option<PathBuf>,
    /// File to write every prediction of one bag to, as a table.
    #[arg(long, conflicts_with = "output")]
    parquet: Option<PathBuf>,
    /// File to write a page with plots of one bag to.
    #[arg(long, conflicts_with = "output")]
    html: Option<PathBuf>,
    /// Folder to write all of these to for each bag, a process a bag, with report.json and index.html for all bags. Results
    /// of the same inputs are not made again.
    #[arg(long)]
    output: Option<PathBuf>,
    /// Bags that are evaluated at the same time; with more than one, each takes one thread unless --threads is given.
    #[arg(long, default_value_t = 1, requires = "output")]
    jobs: usize,
    /// Show no progress and no table.
    #[arg(long)]
    quiet: bool,
}

/// Arguments that the process of every bag gets too.
#[derive(Args, Debug, PartialEq)]
struct SharedArguments {
    /// The node's parameter file: topics, cameras, joints, rates.
    #[arg(long)]
    params_file: Option<PathBuf>,
    /// Full name of the node, which selects the sections of the parameter file.
    #[arg(long, default_value = "/pi0_node")]
    node_name: String,
    /// Set a parameter of the node, over the parameter file.
    #[arg(short = 'p', long = "param", value_name = "NAME:=VALUE")]
    parameters: Vec<String>,
    /// Set the parameter checkpoint: the policy's folder, or its name on the Hugging Face Hub.
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// Set the parameter seed: of the noise.
    #[arg(long)]
    seed: Option<u64>,
    /// Set the parameter threads: of the CPU device, 0 for one a core.
    #[arg(long)]
    threads: Option<usize>,
    /// Topic of the recorded commands: JointTrajectory, Float64MultiArray or JointState. Without it, the topic on which the
    /// node would publish, or else the joint states.
    #[arg(long)]
    actions_topic: Option<String>,
    /// Actions from one observation to the next; without it, the node's execution horizon.
    #[arg(long)]
    execution_horizon: Option<usize>,
    /// Seconds after a recorded action for which it counts at most.
    #[arg(long, default_value_t = 0.5)]
    longest_gap: f64,
    /// Distance below which a joint counts as still, for the agreement of directions.
    #[arg(long, default_value_t = 0.01)]
    still: f32,
    /// Leave out the flow-matching loss, which takes about as long as the chunks.
    #[arg(long)]
    no_loss: bool,
}

fn main() -> ExitCode {
    let matches = Arguments::command().get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let done = match arguments.task {
        Some(Task::Compare {
            before,
            after,
            threshold,
        }) => compare(&before, &after, threshold),
        None => arguments.evaluation.run(&matches),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        // 1 means that a report is worse.
        ExitCode::from(2)
    })
}

fn compare(before: &Path, after: &Path, threshold: f64) -> anyhow::Result<ExitCode> {
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
    /// Logs to standard error at the level of `RUST_LOG`, else warnings, and how a checkpoint is found and downloaded.
    fn start_log(&self) -> anyhow::Result<Option<ChromeTrace>> {
        let words = match self.quiet {
            true => "warn",
            false => "warn,pi0_node::checkpoint=info",
        };
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(words));
        let standard_error = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            // A line that finds no room is lost; to say so there would be a panic.
            .log_internal_errors(false)
            .with_ansi(std::io::stderr().is_terminal());
        let file = chrome_trace::asked_for();
        let (layer, trace) = file.as_deref().map(chrome_trace::layer).transpose()?.unzip();
        tracing_subscriber::registry()
            .with(layer)
            .with(standard_error.with_filter(filter))
            .init();
        Ok(trace)
    }

    fn run(&self, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
        let _trace = self.start_log()?;
        let batch = Batch::new(self.shared.parameters()?, self.shared.options()?)?;
        let bags = find_bags(&self.bags)?;
        let report = match (&self.output, &bags[..]) {
            (Some(folder), _) => self.evaluate_each(&batch, &bags, folder, forwarded(matches))?,
            (None, [bag]) => self.evaluate_one(&batch, bag)?,
            (None, several) => anyhow::bail!("{} bags need --output FOLDER for their results", several.len()),
        };
        if !self.quiet {
            print!("{}", report.table());
        }
        Ok(ExitCode::SUCCESS)
    }

    fn evaluate_one(&self, batch: &Batch, path: &Path) -> anyhow::Result<Report> {
        let bag = Bag::open(path)?;
        let files = ReportFiles {
            json: self.json.clone(),
            html: self.html.clone(),
            parquet: self.parquet.clone(),
        };
        let progress = match bag.span().filter(|_| !self.quiet) {
            Some((start, end)) => ProgressBar::new((end - start).as_millis() as u64),
            None => ProgressBar::hidden(),
        };
        let progress = progress.with_style(bar_style("{percent:>3} % {wide_bar} {msg}, {eta} left"));
        let report = batch.evaluate(&bag, files, &mut |prediction| show(&progress, &bag, prediction))?;
        progress.finish_and_clear();
        Ok(report)
    }

    fn evaluate_each(
        &self,
        batch: &Batch,
        bags: &[PathBuf],
        folder: &Path,
        mut shared: Vec<OsString>,
    ) -> anyhow::Result<Report> {
        ensure!(
            chrome_trace::asked_for().is_none(),
            "{} asks for one trace, which only the evaluation of one bag without --output makes",
            chrome_trace::VARIABLE
        );
        if self.jobs > 1 && self.shared.threads.is_none() {
            shared.push("--threads=1".into());
        }
        let program = std::env::current_exe().context("this program's own file")?;
        let process = |bag: &Path, files: &ReportFiles| {
            let mut process = Command::new(&program);
            process.arg(bag).args(&shared).arg("--quiet");
            let files = [
                ("--json", &files.json),
                ("--html", &files.html),
                ("--parquet", &files.parquet),
            ];
            for (flag, file) in files {
                process.args(file.iter().flat_map(|file| [flag.as_ref(), file.as_os_str()]));
            }
            process
        };
        let bar = if self.quiet {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(bags.len() as u64)
        };
        let bar = bar.with_style(bar_style("{pos} of {len} bags {wide_bar} {eta} left"));
        let report = batch.evaluate_each(
            bags,
            folder,
            self.jobs,
            &process,
            &mut |progress| match progress {
                Progress::Finished(bags) => {
                    bar.set_position(bags as u64);
                    bar.reset_eta();
                }
                Progress::Evaluated => bar.inc(1),
                Progress::Failed(bag, reason) => {
                    bar.inc(1);
                    bar.suspend(|| eprintln!("error: {}: {reason}", bag.display()));
                }
            },
        );
        bar.finish_and_clear();
        let report = report?;
        if let Some(path) = &self.json {
            report.write(path)?;
        }
        Ok(report)
    }
}

impl SharedArguments {
    fn options(&self) -> anyhow::Result<EvaluationOptions> {
        ensure!(
            self.execution_horizon != Some(0),
            "--execution-horizon is 0, expected at least 1"
        );
        ensure!(
            self.longest_gap > 0.0 && self.longest_gap.is_finite(),
            "--longest-gap is {}, expected a number of seconds above 0",
            self.longest_gap
        );
        Ok(EvaluationOptions {
            actions_topic: self.actions_topic.clone(),
            execution_horizon: self.execution_horizon,
            longest_gap: Duration::from_secs_f64(self.longest_gap),
            still: self.still,
            flow_matching_loss: !self.no_loss,
        })
    }

    /// Parameters of the file, then those of the command line.
    fn parameters(&self) -> anyhow::Result<Vec<(String, ParameterValue)>> {
        let mut parameters = Vec::new();
        if let Some(path) = &self.params_file {
            let read = || format!("the parameter file {}", path.display());
            let text = std::fs::read_to_string(path).with_context(read)?;
            parameters = parameters_of(&text, &self.node_name).with_context(read)?;
        }
        for parameter in &self.parameters {
            parameters.push(parse_override(parameter)?);
        }
        if let Some(checkpoint) = &self.checkpoint {
            let checkpoint = checkpoint.to_string_lossy().into_owned();
            parameters.push(("checkpoint".to_owned(), ParameterValue::String(checkpoint)));
        }
        let threads = self.threads.map(|threads| threads as u64);
        for (name, count) in [("seed", self.seed), ("threads", threads)] {
            if let Some(count) = count {
                let count = i64::try_from(count).with_context(|| format!("--{name} is {count}"))?;
                parameters.push((name.to_owned(), ParameterValue::Integer(count)));
            }
        }
        Ok(parameters)
    }
}

/// Shared arguments of the command line, for the process of a bag.
fn forwarded(matches: &ArgMatches) -> Vec<OsString> {
    let shared = SharedArguments::augment_args(clap::Command::new("shared"));
    let mut forwarded = Vec::new();
    for argument in shared.get_arguments() {
        let id = argument.get_id().as_str();
        if matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        let flag = format!(
            "--{}",
            argument.get_long().expect("a shared argument has a long name")
        );
        if !argument.get_action().takes_values() {
            forwarded.push(flag.into());
            continue;
        }
        for value in matches.get_raw(id).into_iter().flatten() {
            let mut with_value = OsString::from(format!("{flag}="));
            with_value.push(value);
            forwarded.push(with_value);
        }
    }
    forwarded
}

fn bar_style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn show(bar: &ProgressBar, bag: &Bag, prediction: &Prediction) {
    if let Some((start, _)) = bag.span() {
        let elapsed = prediction.observation.log_time.saturating_sub(start);
        bar.set_position(elapsed.as_millis() as u64);
        bar.set_message(format!("{} chunks", prediction.index + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shared arguments as they are, and as the process of a bag gets them.
    fn both(arguments: &[OsString]) -> [SharedArguments; 2] {
        let parse = |arguments: &[OsString]| {
            let arguments = arguments.iter().cloned();
            Arguments::command()
                .get_matches_from(["pi0_eval".into(), "bag".into()].into_iter().chain(arguments))
        };
        let shared = |matches| Arguments::from_arg_matches(&matches).unwrap().evaluation.shared;
        let matches = parse(arguments);
        let of_bag = parse(&forwarded(&matches));
        [shared(matches), shared(of_bag)]
    }

    #[test]
    fn every_shared_argument_is_forwarded() {
        let command = SharedArguments::augment_args(clap::Command::new("shared"));
        let arguments = command.get_arguments().map(|argument| {
            let flag = format!("--{}", argument.get_long().unwrap());
            let value = if argument.get_action().takes_values() {
                "=7"
            } else {
                ""
            };
            OsString::from(flag + value)
        });
        let arguments: Vec<OsString> = arguments.collect();
        assert_eq!(arguments.len(), 11);
        for argument in &arguments {
            let [given, of_bag] = both(std::slice::from_ref(argument));
            assert_eq!(given, of_bag);
            assert_ne!(given, both(&[])[0], "{argument:?} is not the default");
        }
        let [given, of_bag] = both(&arguments);
        assert_eq!(given, of_bag);
    }

    #[test]
    fn values_are_forwarded_as_they_are() {
        let arguments = [
            "-p",
            "prompt:=pick: the #1",
            "-p",
            "joints.waist.scale:=-1.0",
            "--seed",
            "3",
        ];
        let [given, of_bag] = both(&arguments.map(OsString::from));
        assert_eq!(given, of_bag);
        assert_eq!(
            of_bag.parameters,
            ["prompt:=pick: the #1", "joints.waist.scale:=-1.0"]
        );
    }
}
