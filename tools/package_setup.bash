# Sourced by bash, after the setup.bash of ROS 2 Jazzy: adds pi0_node, its programs and its messages to the shell.

if [[ "${ROS_DISTRO:-}" != jazzy ]]; then
  echo "pi0_node: it is built for ROS 2 jazzy, and ${ROS_DISTRO:-none} is sourced; source /opt/ros/jazzy/setup.bash first" >&2
  return 1
fi

_pi0_node_prefix="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
# Sourcing twice adds nothing the second time.
if [[ ":${AMENT_PREFIX_PATH:-}:" != *":$_pi0_node_prefix:"* ]]; then
  export AMENT_PREFIX_PATH="$_pi0_node_prefix${AMENT_PREFIX_PATH:+:$AMENT_PREFIX_PATH}"
  export LD_LIBRARY_PATH="$_pi0_node_prefix/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  export PYTHONPATH="$_pi0_node_prefix/lib/python3.12/site-packages${PYTHONPATH:+:$PYTHONPATH}"
  export PATH="$_pi0_node_prefix/lib/pi0_node:$PATH"
fi
unset _pi0_node_prefix
