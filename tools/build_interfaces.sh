#!/usr/bin/env bash
# Builds the ROS 2 package pi0_interfaces into the environment that has ROS 2 as wheels, and tf2_msgs, which the wheels lack;
# setup.sh calls this. Where a ROS 2 is sourced, it has tf2_msgs, and colcon builds pi0_interfaces.
# Usage: tools/build_interfaces.sh ENVIRONMENT [PREFIX], where PREFIX is the folder to install pi0_interfaces alone to
set -euo pipefail

tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
environment="$(cd "$1" && pwd -P)"
prefix="${2:-$environment}"
python="$environment/bin/python"

fail() {
  echo "pi0_interfaces: $*" >&2
  exit 1
}

command -v c++ >/dev/null || fail "a C++ compiler is needed, and there is no c++ on PATH; install g++."
command -v make >/dev/null || fail "make is needed, and is not on PATH; install make."
headers="$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')"
[[ -f "$headers/Python.h" ]] ||
  fail "the headers of Python are needed, and $headers/Python.h is missing.
       Install python3.12-dev, or 'pyenv install 3.12', which has them; then remove $environment and run tools/setup.sh again."

# The wheels name the folders of the machine that built them, until this has run once: then grep finds none, and ends with 1.
numpy_headers="$("$python" -c 'import numpy; print(numpy.get_include())')"
{ grep -rlZ --include='export_*__rosidl_generator_pyExport.cmake' /opt/python/ "$environment/share" || (($? == 1)); } | xargs -0 --no-run-if-empty sed -i \
  -e "s#/opt/python/[^;\"]*/numpy/_core/include#$numpy_headers#g" -e "s#/opt/python/[^;\"]*/include/python3[.0-9]*#$headers#g"

build="$(mktemp -d)"
trap 'rm -rf "$build"' EXIT
export PATH="$environment/bin:$PATH" AMENT_PREFIX_PATH="$environment" CMAKE_PREFIX_PATH="$environment" ROS_DISTRO=jazzy
packages=("$tools/../pi0_interfaces")
[[ -n "${2:-}" ]] || packages+=("$tools/interfaces/tf2_msgs")
for package in "${packages[@]}"; do
  name="$(basename "$package")"
  cmake -S "$package" -B "$build/$name" -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_{C,CXX}_FLAGS="-ffile-prefix-map=$build/$name=$name" -DBUILD_TESTING=OFF -DPython3_EXECUTABLE="$python"
  cmake --build "$build/$name" --parallel
  cmake --install "$build/$name"
done
