//! The node needs the action of `pi0_interfaces` as it is in this repository: r2r leaves out what it does not find.

use std::path::Path;
use std::{env, fs};

const ACTION: &str = "pi0_interfaces/action/RunPolicy.action";

fn main() {
    println!("cargo:rerun-if-env-changed=AMENT_PREFIX_PATH");
    println!("cargo:rerun-if-changed={ACTION}");
    if env::var_os("CARGO_FEATURE_ROS").is_none() {
        return;
    }
    let prefixes = env::var("AMENT_PREFIX_PATH").unwrap_or_default();
    let candidates = prefixes
        .split(':')
        .map(|prefix| Path::new(prefix).join("share").join(ACTION));
    let Some(installed) = candidates.into_iter().find(|path| path.exists()) else {
        panic!(
            "ROS 2 has no package pi0_interfaces (AMENT_PREFIX_PATH={prefixes}); it is in this repository. Without a ROS 2 \
             of your own run `make setup`, and `source tools/env.sh`. Otherwise build both packages: `colcon build \
             --base-paths {0} {0}/pi0_interfaces --packages-up-to pi0_node`",
            env!("CARGO_MANIFEST_DIR")
        );
    };
    println!("cargo:rerun-if-changed={}", installed.display());
    assert!(
        fs::read(&installed).ok() == fs::read(ACTION).ok(),
        "{} is not the one of this repository: build pi0_interfaces again, with `make setup` or `colcon build`",
        installed.display()
    );
}
