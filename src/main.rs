//! The π0 node. Its arguments are those of any ROS 2 node: `--ros-args -p name:=value --params-file file …`; options
//! before them, as `--help` has them, are answered without running the node.

use std::process::ExitCode;

/// mimalloc, because its free path takes no lock: the control thread frees memory that other threads allocated, and must
/// not wait for a thread of lower priority (priority inversion).
#[cfg(feature = "ros")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(feature = "ros")]
fn main() -> ExitCode {
    if let Some(answer) = pi0_node::parameters::answer(std::env::args().skip(1)) {
        println!("{answer}");
        return ExitCode::SUCCESS;
    }
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
        Err(error) => {
            eprintln!("error: {}", pi0_node::runtime::with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

// Cargo could leave the program out with `required-features`, but then colcon does not install it: it does not count
// features that are on by default.
#[cfg(not(feature = "ros"))]
fn main() -> ExitCode {
    eprintln!("error: this program was built without ROS 2; build it with the feature ros");
    ExitCode::FAILURE
}
