//! The π0 node. Its arguments are those of any ROS 2 node: `--ros-args -p name:=value --params-file file …`.

#[cfg(feature = "ros")]
fn main() -> anyhow::Result<()> {
    Ok(pi0_node::node::run()?)
}

// Cargo could leave the program out with `required-features`, but then colcon does not install it: it does not count
// features that are on by default.
#[cfg(not(feature = "ros"))]
fn main() -> anyhow::Result<()> {
    anyhow::bail!("this program was built without ROS 2; build it with the feature ros")
}
