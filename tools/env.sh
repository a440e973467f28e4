# Sourced by bash: puts ROS 2 and the Python packages of this checkout into the shell. Run tools/setup.sh first.
# Where a ROS 2 is sourced, none of its own variables change.

source "$(dirname "${BASH_SOURCE[0]}")/choose_environment.sh"

if [[ ! -f "$environment/mujoco_gl" ]]; then
  echo "tools/env.sh: $environment is not set up; run tools/setup.sh first" >&2
  return 1
fi

python_packages="$(echo "$environment"/lib/python3.*/site-packages)"

if [[ "$ros_is_sourced" == false ]]; then
  library_path="$environment/lib"
  for folder in "$python_packages"/ros_*.libs; do
    library_path+=":$folder"
  done
  # Sourcing twice adds nothing the second time.
  if [[ ":${LD_LIBRARY_PATH:-}:" != *":$library_path:"* ]]; then
    export LD_LIBRARY_PATH="$library_path${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  fi
  export AMENT_PREFIX_PATH="$environment"
  export ROS_DISTRO=jazzy
  export RMW_IMPLEMENTATION=rmw_fastrtps_cpp
fi

# r2r generates bindings for these packages alone. It resolves no dependencies, so the packages of nested messages
# are listed as well. It generates anew when this variable changes, and not when a definition does: hence the checksum.
export IDL_PACKAGE_FILTER="action_msgs;builtin_interfaces;diagnostic_msgs;geometry_msgs;lifecycle_msgs;nav_msgs;pi0_interfaces;\
rcl_interfaces;rosgraph_msgs;sensor_msgs;service_msgs;std_msgs;std_srvs;tf2_msgs;trajectory_msgs;unique_identifier_msgs;\
checksum_$(cksum <"$checkout/pi0_interfaces/action/RunPolicy.action" | cut -d ' ' -f 1)"

if [[ -z "${LIBCLANG_PATH:-}" ]]; then
  export LIBCLANG_PATH="$python_packages/clang/native"
  # This libclang comes without the compiler's own headers (stdbool.h, stddef.h); those of the C compiler serve.
  export BINDGEN_EXTRA_CLANG_ARGS="-isystem $(cc -print-file-name=include)"
fi

export MUJOCO_GL="$(cat "$environment/mujoco_gl")"

if [[ ":$PATH:" != *":$environment/bin:"* ]]; then
  export PATH="$environment/bin:$PATH"
fi

unset environment ros_is_sourced checkout python_packages library_path folder
