# Sourced by setup.sh and env.sh: says which virtual environment serves this shell.
#
#   checkout         absolute path of the checkout
#   ros_is_sourced   "true" where a ROS 2 installation is sourced, else "false"
#   environment      the virtual environment: .env/ros holds ROS 2 itself, .env/python only what a sourced ROS 2 lacks

checkout="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
# env.sh sets ROS_DISTRO and AMENT_PREFIX_PATH too, so a prefix inside the checkout is no sourced installation.
if [[ -n "${ROS_DISTRO:-}" && -n "${AMENT_PREFIX_PATH:-}" && "$AMENT_PREFIX_PATH" != "$checkout/.env/ros" ]]; then
  ros_is_sourced=true
  environment="$checkout/.env/python"
else
  ros_is_sourced=false
  environment="$checkout/.env/ros"
fi
