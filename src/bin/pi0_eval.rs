//! Holds a policy against recordings: `pi0_eval BAG --params-file robot.yaml --checkpoint folder`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use pi0_node::chrome_trace;
use pi0_node::evaluation::bag::Bag;
use pi0_node::evaluation::{
    BagResult, Comparison, EvaluationOptions, Pictures, Prediction, PredictionsFile, Report, evaluate,
    find_bags, fingerprint, finished, index, page, result_name, run_processes, write_whole,
};
use pi0_node::parameters::{ParameterValue, Parameters, Settings, parameters_of};
use pi0_node::policy::open_with;

/// Says how well and how fast a policy predicts what was recorded in bags of ROS 2, without a robot and without ROS 2.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    task: Option<Task>,
    #[command(flatten)]
    evaluation: Evaluation,
}

#[derive(Subcommand)]
enum Task {
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
    /// Write every prediction there, as a table. For one bag.
    #[arg(long, conflicts_with = "output")]
    parquet: Option<PathBuf>,
    /// Write a page with plots there. For one bag.
    #[arg(long, conflicts_with = "output")]
    html: Option<PathBuf>,
    /// Write all of these for each bag into this folder, a process a bag, and report.json and index.html for all of them.
    /// What is there from the same inputs is not made again.
    #[arg(long)]
    output: Option<PathBuf>,
    /// Bags that are evaluated at the same time; with more than one, each takes one thread unless --threads says more.
    #[arg(long, default_value_t = 1, requires = "output")]
    jobs: usize,
    /// Show no progress and no table.
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.task {
        Some(Task::Compare {
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
    fn run(&self) -> anyhow::Result<ExitCode> {
        ensure!(self.every != Some(0), "--every is 0, expected at least 1");
        ensure!(
            self.longest_gap > 0.0 && self.longest_gap.is_finite(),
            "--longest-gap is {}, expected a number of seconds above 0",
            self.longest_gap
        );
        let settings = self.settings()?;
        let bags = find_bags(&self.bags)?;
        let report = match (&self.output, &bags[..]) {
            (Some(folder), _) => self.evaluate_each(&bags, folder, &settings)?,
            (None, [bag]) => Report::new(vec![self.evaluate_one(bag, &settings)?]),
            (None, several) => anyhow::bail!("{} bags need --output FOLDER for their results", several.len()),
        };
        if let Some(path) = &self.json {
            report.write(path)?;
        }
        if !self.quiet {
            print!("{}", report.table());
        }
        Ok(ExitCode::SUCCESS)
    }

    fn evaluate_one(&self, path: &Path, settings: &Settings) -> anyhow::Result<BagResult> {
        let bag = Bag::open(path)?;
        let mut policy = open_with(&settings.checkpoint, settings.device, settings.policy.clone())
            .with_context(|| format!("no policy from the checkpoint {}", settings.checkpoint.display()))?;
        let options = self.options();
        let inputs = fingerprint(path, settings, &options)?;
        let actions_between = options.actions_between(settings, policy.info().action_horizon);
        let mut pictures = Pictures::new(actions_between, settings.runtime.action_period);
        let mut table = match &self.parquet {
            Some(path) => Some(PredictionsFile::create(path, &settings.commanded_joints())?),
            None => None,
        };
        let mut table_failure = None;
        let progress = self.progress(&bag);
        let _trace = chrome_trace::start()?;
        let result = evaluate(&bag, &mut *policy, settings, &options, &mut |prediction| {
            show_progress(&progress, &bag, &prediction);
            pictures.add(&prediction);
            if let Some(table) = &mut table
                && table_failure.is_none()
            {
                table_failure = table.add(&prediction).err();
            }
        })?;
        progress.finish_and_clear();
        let result = BagResult { inputs, ..result };
        if let Some(failure) = table_failure {
            return Err(failure.into());
        }
        if let Some(table) = table {
            table.finish()?;
        }
        if let Some(path) = &self.html {
            write_whole(path, page(&result, &pictures).as_bytes())?;
        }
        Ok(result)
    }

    /// A process for each bag that has no result yet.
    fn evaluate_each(&self, bags: &[PathBuf], folder: &Path, settings: &Settings) -> anyhow::Result<Report> {
        ensure!(
            chrome_trace::asked_for().is_none(),
            "{} asks for one trace, which only the evaluation of one bag without --output makes",
            chrome_trace::VARIABLE
        );
        let program = std::env::current_exe().context("this program's own file")?;
        let result = |bag: &Path, suffix: &str| folder.join(format!("{}.{suffix}", result_name(bag)));
        let options = self.options();
        let inputs = |bag: &Path| {
            let looked_at = || format!("the bag {}", bag.display());
            fingerprint(bag, settings, &options).with_context(looked_at)
        };
        let mut remaining = Vec::new();
        for bag in bags {
            if finished(&result(bag, "json"), &inputs(bag)?).is_none() {
                remaining.push(bag.clone());
            }
        }
        let process = |bag: &Path| {
            let mut process = Command::new(&program);
            process.arg(bag).args(self.inherited()).arg("--quiet");
            for (flag, suffix) in [("--json", "json"), ("--html", "html"), ("--parquet", "parquet")] {
                process.arg(flag).arg(result(bag, suffix));
            }
            process
        };
        let progress = if self.quiet {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(bags.len() as u64)
        };
        let progress = progress.with_style(bar_style("{pos} of {len} bags {wide_bar} {eta} left"));
        progress.set_position((bags.len() - remaining.len()) as u64);
        progress.reset_eta();
        let mut failures = Vec::new();
        run_processes(&remaining, self.jobs, &process, |index, ended| {
            progress.inc(1);
            if let Err(words) = ended {
                let failure = format!("{}: {words}", remaining[index].display());
                progress.suspend(|| eprintln!("error: {failure}"));
                failures.push(failure);
            }
        });
        progress.finish_and_clear();
        let mut results = Vec::new();
        for bag in bags {
            if let Some(report) = finished(&result(bag, "json"), &inputs(bag)?) {
                results.extend(report.bags);
            }
        }
        ensure!(
            !results.is_empty(),
            "no bag could be evaluated; the reasons are above"
        );
        let report = Report::new(results);
        if bags.len() > 1 {
            report.write(&folder.join("report.json"))?;
            let link = |bag: &BagResult| format!("{}.html", result_name(Path::new(&bag.bag)));
            write_whole(&folder.join("index.html"), index(&report, link).as_bytes())?;
        }
        match failures.len() {
            0 => Ok(report),
            count => anyhow::bail!("{count} of {} bags could not be evaluated", bags.len()),
        }
    }

    /// What of the command line goes on to the process of each bag.
    fn inherited(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |flag: &str, value: Option<OsString>| {
            if let Some(value) = value {
                arguments.extend([flag.into(), value]);
            }
        };
        let text = |value: String| Some(OsString::from(value));
        let one_thread = (self.jobs > 1).then_some(1);
        add(
            "--params-file",
            self.params_file.clone().map(PathBuf::into_os_string),
        );
        add("--node-name", text(self.node_name.clone()));
        for parameter in &self.parameters {
            add("--param", text(parameter.clone()));
        }
        add(
            "--checkpoint",
            self.checkpoint.clone().map(PathBuf::into_os_string),
        );
        add("--seed", self.seed.map(|seed| seed.to_string().into()));
        let threads = self.threads.or(one_thread);
        add("--threads", threads.map(|threads| threads.to_string().into()));
        add("--actions-topic", self.actions_topic.clone().map(OsString::from));
        add("--every", self.every.map(|every| every.to_string().into()));
        add("--longest-gap", text(self.longest_gap.to_string()));
        add("--still", text(self.still.to_string()));
        if self.no_loss {
            arguments.push("--no-loss".into());
        }
        arguments
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
        ProgressBar::new((end - start).as_millis() as u64)
            .with_style(bar_style("{percent:>3} % {wide_bar} {msg}, {eta} left"))
    }
}

fn bar_style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn show_progress(bar: &ProgressBar, bag: &Bag, prediction: &Prediction) {
    if let Some((start, _)) = bag.span() {
        bar.set_position(prediction.sample.log_time.saturating_sub(start).as_millis() as u64);
        bar.set_message(format!("{} chunks", prediction.index + 1));
    }
}
