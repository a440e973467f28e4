//! Every test of the node over ROS 2 has its own process and its own ROS domain.

use std::process::Command;

/// Runs a test in a process and a ROS domain of its own: r2r has one context for each process, and tests shall not
/// hear each other.
pub fn isolated(test: &str, body: impl FnOnce()) {
    const MARK: &str = "PI0_NODE_TEST_IS_ISOLATED";
    if std::env::var_os(MARK).is_some() {
        return body();
    }
    let executable = std::env::current_exe().unwrap();
    let status = Command::new(executable)
        .args([test, "--exact", "--nocapture"])
        .env(MARK, "1")
        .envs(private_ros(test))
        .status()
        .unwrap();
    assert!(status.success(), "{test} failed in its own process: {status}");
}

/// A ROS domain that no other test of this machine uses at the same time.
fn private_ros(test: &str) -> [(&'static str, String); 2] {
    let letters: u32 = test.bytes().map(u32::from).sum();
    let domain = 1 + (std::process::id() + letters) % 100;
    [
        ("ROS_DOMAIN_ID", domain.to_string()),
        ("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST".to_owned()),
    ]
}
