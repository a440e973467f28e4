//! The π0 node. Its arguments are those of any ROS 2 node: `--ros-args -p name:=value --params-file file …`.

fn main() -> anyhow::Result<()> {
    Ok(pi0_node::node::run()?)
}
