//! Tests of the node over ROS 2 in a process and a ROS domain of their own: r2r has one context for each process.

use std::process::Command;

use super::ros_domain::RosDomain;

/// Set in the process of an isolated test.
const MARK: &str = "PI0_NODE_TEST_IS_ISOLATED";

/// Runs the body of the test function that it stands in, in a process and a ROS domain of its own.
macro_rules! isolated {
    ($body:expr) => {{
        fn here() {}
        $crate::common::isolation::run(std::any::type_name_of_val(&here), $body)
    }};
}
pub(crate) use isolated;

/// Runs `body` where this is the test's own process, and starts that process otherwise. `here`: the path of a function within
/// the test function.
pub fn run(here: &str, body: impl FnOnce()) {
    if std::env::var_os(MARK).is_some() {
        return body();
    }
    let (_, path) = here.split_once("::").unwrap();
    let test = path.strip_suffix("::here").unwrap();
    let domain = RosDomain::take();
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(MARK, "1")
        .envs(domain.environment())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    // A process that finds no test of this name succeeds too.
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{test} in its own process: {}\n{text}\n{errors}",
        output.status
    );
}
