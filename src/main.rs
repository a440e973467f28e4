//! The π0 node. Its arguments are those of any ROS 2 node: `--ros-args -p name:=value --params-file file …`; before them,
//! `--help` and `--version` are answered.

use std::process::ExitCode;

/// One in which no thread waits for another: the control thread gives back what others took, and with a lock in between it
/// would wait for a thread of lower priority that the system lets run much later.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(feature = "ros")]
fn main() -> ExitCode {
    if let Some(answer) = pi0_node::node::answer(std::env::args().skip(1)) {
        println!("{answer}");
        return ExitCode::SUCCESS;
    }
    match pi0_node::node::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // What is wrong with a configuration is no matter of the program's stack, whatever RUST_BACKTRACE says.
            eprintln!("error: {:#}", anyhow::Error::from(error));
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
