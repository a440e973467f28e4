#!/usr/bin/env bash
# Makes what is released, in target/package/: a Debian package and a tarball of the node, its programs, its messages, launch
# files, configurations and checkpoints, the list of what they are made of (SBOM, CycloneDX), and their checksums.
#
# Built against the ROS 2 Jazzy of the wheels, whose libraries have the same names and interfaces as the installed ones.
# Times and paths of this machine are kept out, so that the same revision gives the same files.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/choose_environment.sh"
cd "$checkout"

fail() {
  echo "package: $*" >&2
  exit 1
}

[[ "$ros_is_sourced" == false ]] || fail "ROS 2 $ROS_DISTRO is sourced, and packages are built without one; run this in a new shell."
command -v dpkg >/dev/null || fail "dpkg is missing; it makes Debian packages."
command -v git >/dev/null || fail "git is missing; it names the revision."
source tools/env.sh
# It keeps no variables of its own.
source tools/choose_environment.sh

distribution=jazzy
prefix=/opt/pi0_node
programs=(pi0_node pi0_eval pi0_checkpoint pi0_server pi0_bench)
output="$checkout/target/package"
stage="$output/stage"
build="$output/build"
release="$(cargo metadata --locked --no-deps --format-version 1 |
  "$environment/bin/python" -c 'import json, sys; print(next(p["version"] for p in json.load(sys.stdin)["packages"] if p["name"] == "pi0_node"))')"
revision="$(git describe --always --dirty --abbrev=12)"
architecture="$(dpkg --print-architecture)"
name="pi0_node-$release-$distribution-$architecture"

# Files get the time of the revision. Paths of this machine stand nowhere in what is built.
SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)"
export SOURCE_DATE_EPOCH PI0_NODE_VERSION="$release ($revision)"
export CARGO_PROFILE_RELEASE_STRIP=debuginfo
cargo_home="${CARGO_HOME:-$HOME/.cargo}"
export RUSTFLAGS="--remap-path-prefix=$checkout=/pi0_node --remap-path-prefix=$cargo_home=/cargo"
export CFLAGS="-ffile-prefix-map=$build=/build -ffile-prefix-map=$cargo_home=/cargo"
export CXXFLAGS="$CFLAGS"

rm -rf "$stage"
mkdir -p "$stage$prefix"/{lib/pi0_node,share/pi0_node,share/ament_index/resource_index/packages}

cc -shared -fPIC -O2 -o "$output/constant_random.so" tools/constant_random.c
# Found by its name: the wrapper's path becomes part of what is built.
PATH="$checkout/tools:$PATH" RUSTC_WORKSPACE_WRAPPER=package_rustc.sh LD_PRELOAD="$output/constant_random.so" \
  cargo build --release --locked --target-dir "$build" "${programs[@]/#/--bin=}"
rm "$output/constant_random.so"
install -m 755 "${programs[@]/#/$build/release/}" "$stage$prefix/lib/pi0_node"

# The generators of messages write their includes in the order of a set; a build's identity holds the folder it was made in.
PYTHONHASHSEED=0 LDFLAGS=-Wl,--build-id=none "$checkout/tools/build_interfaces.sh" "$environment" "$stage$prefix"
find "$stage" -name __pycache__ -prune -exec rm -rf {} +

# CMake writes where it found what the messages are made with. Where they are installed, that is ROS 2 and Ubuntu's own Python.
found_ros="$(cd "$environment" && pwd -P)"
found_headers="$("$environment/bin/python" -c 'import sysconfig; print(sysconfig.get_path("include"))')"
find "$stage$prefix/share" -type f -exec sed -i \
  -e "s#$stage##g" \
  -e "s#$found_headers#/usr/include/python3.12#g" \
  -e "s#$found_ros/lib/python3.12/site-packages/numpy#/usr/lib/python3/dist-packages/numpy#g" \
  -e "s#$found_ros#/opt/ros/$distribution#g" {} +

# What git does not know is not released.
git ls-files -z package.xml LICENSE launch config checkpoints sim |
  tar --create --null --files-from=- | tar --extract --directory "$stage$prefix/share/pi0_node"
touch "$stage$prefix/share/ament_index/resource_index/packages/pi0_node"
install -m 644 tools/package_setup.bash "$stage$prefix/setup.bash"
if named="$(grep --recursive --files-with-matches --fixed-strings -e "$checkout" -e "$found_ros" -e "$cargo_home" "$stage")"; then
  fail "folders of this machine are named in"$'\n'"$named"
fi
find "$stage" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
chmod -R u=rwX,go=rX "$stage"

tar --create --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
  --directory "$stage$(dirname "$prefix")" --transform "s,^pi0_node,$name," pi0_node | gzip --no-name >"$output/$name.tar.gz"

mkdir "$stage/DEBIAN"
"$environment/bin/python" -m pi0_tools.debian_control --package-xml package.xml --package-xml pi0_interfaces/package.xml \
  --version "$release" --architecture "$architecture" --distribution "$distribution" "$stage$prefix"/lib/pi0_node/* >"$stage/DEBIAN/control"
dpkg-deb --root-owner-group --build "$stage" "$output/pi0-node-${distribution}_${release}_$architecture.deb"

tools/install_cargo_tool.sh cargo-cyclonedx 0.5.9
.env/cargo/bin/cargo-cyclonedx cyclonedx --quiet --format json --override-filename sbom
sed "s#path+file://$checkout#path+file:///pi0_node#g" sbom.json >"$output/$name.cdx.json"
rm sbom.json crates/tt-metal-sys/sbom.json

cd "$output"
sha256sum "$name.tar.gz" "$name.cdx.json" ./*.deb >SHA256SUMS
cat SHA256SUMS
