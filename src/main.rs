//! The π0 node. Its arguments are those of any ROS 2 node: `--ros-args -p name:=value --params-file file …`; options
//! before them, as `--help` has them, are answered without running the node.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use pi0_node::doctor::{Request, Sightings, check};

/// mimalloc, because its free path takes no lock: the control thread frees memory that other threads allocated, and must
/// not wait for a thread of lower priority (priority inversion).
#[cfg(feature = "ros")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(answer) = pi0_node::parameters::answer(arguments.iter().cloned()) {
        println!("{answer}");
        return ExitCode::SUCCESS;
    }
    match Request::parse(&arguments) {
        Ok(None) => run(),
        Ok(Some(request)) => run_check(&request),
        Err(error) => failure(&error),
    }
}

/// Prints what fits between a robot and a policy. The status is 1 where something does not.
fn run_check(request: &Request) -> ExitCode {
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr);
    log.with_env_filter("warn,pi0_node::checkpoint::hub=info").init();
    let checked = sightings(request).and_then(|(seen, full_name)| Ok(check(request, &seen, &full_name)?));
    let report = match checked {
        Ok(report) => report,
        Err(error) => return failure(&*error),
    };
    match request.is_json {
        true => println!(
            "{}",
            serde_json::to_string_pretty(&report).expect("a report is JSON")
        ),
        false => println!("{report}"),
    }
    match report.has_problems() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

/// What was seen of the robot, and the full name of a topic.
type Seen = (Sightings, Box<dyn Fn(&str) -> String>);

fn sightings(request: &Request) -> Result<Seen, Box<dyn Error>> {
    match &request.bag {
        Some(bag) => of_bag(bag),
        None => of_graph(request.listen),
    }
}

#[cfg(feature = "evaluation")]
fn of_bag(path: &Path) -> Result<Seen, Box<dyn Error>> {
    let bag = pi0_node::evaluation::bag::Bag::open(path)?;
    let full_name = |topic: &str| format!("/{}", topic.trim_start_matches('/'));
    Ok((pi0_node::evaluation::sightings(&bag)?, Box::new(full_name)))
}

#[cfg(not(feature = "evaluation"))]
fn of_bag(_: &Path) -> Result<Seen, Box<dyn Error>> {
    Err("this program was built without bags; build it with the feature evaluation".into())
}

#[cfg(feature = "ros")]
fn of_graph(duration: Duration) -> Result<Seen, Box<dyn Error>> {
    let (seen, full_name) = pi0_node::ros::listen(duration)?;
    Ok((seen, Box::new(full_name)))
}

#[cfg(not(feature = "ros"))]
fn of_graph(_: Duration) -> Result<Seen, Box<dyn Error>> {
    Err(
        "this program was built without ROS 2: give a bag (--bag FOLDER), or build it with the feature ros"
            .into(),
    )
}

fn failure(error: &(dyn Error + 'static)) -> ExitCode {
    eprintln!("error: {}", pi0_node::runtime::with_causes(error));
    ExitCode::FAILURE
}

#[cfg(feature = "ros")]
fn run() -> ExitCode {
    let has = |option: &str| {
        let mut own = std::env::args().take_while(|argument| argument != "--ros-args");
        own.any(|argument| argument == option)
    };
    let outcome = if has("--list-topics") {
        pi0_node::ros::list_topics().map(|topics| println!("{topics}"))
    } else if has("--security-policy") {
        pi0_node::ros::security_policy().map(|policy| println!("{policy}"))
    } else if has("--warm-card") {
        pi0_node::ros::warm_card()
    } else {
        pi0_node::ros::run()
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(&error),
    }
}

// Cargo could leave the program out with `required-features`, but then colcon does not install it: it does not count
// features that are on by default.
#[cfg(not(feature = "ros"))]
fn run() -> ExitCode {
    eprintln!("error: this program was built without ROS 2; build it with the feature ros");
    ExitCode::FAILURE
}
