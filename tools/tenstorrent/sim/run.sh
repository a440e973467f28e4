#!/usr/bin/env bash
# Runs the conformance tests of the Tenstorrent device on a simulated Blackhole card of 2 × 2 cores, with numbers compared: TT-NN's own
# kernels, and this package's, compiled by clang (riscv_compiler.py), on PyPI's wolfpine, mended (mended.py). No test is skipped
# silently: those of ignored.txt are printed with their reasons, and any other must pass.
#
# usage: tools/tenstorrent/sim/run.sh CONFORMANCE [NAME …]
#   CONFORMANCE  the built test `device_conformance`
#   NAME         only the tests whose names contain it or another one that is given, those of ignored.txt among them
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
checkout="$(cd "$here/../../.." && pwd -P)"
conformance="$(realpath "${1:?usage: tools/tenstorrent/sim/run.sh CONFORMANCE [NAME …]}")"
names=("${@:2}")
simulator="$checkout/.env/wolfpine"
work="$checkout/target/sim"

fail() {
  echo "sim-test: $*" >&2
  exit 1
}

# A header of the wheel, edited; what is beside it and beside the folders above it stays where it is.
replace_header() {
  local wheel="$1" root="$2" header="$3" edit="$4" folder="" part
  for part in ${header//\// }; do
    [[ -z "$folder" ]] || find "$wheel/$folder" -mindepth 1 -maxdepth 1 ! -name "$part" -exec ln -s -t "$root/$folder" {} +
    folder="${folder:+$folder/}$part"
    [[ "$folder" == "$header" ]] || mkdir -p "$root/$folder"
  done
  sed "$edit" "$wheel/$header" >"$root/$header"
  ! cmp -s "$wheel/$header" "$root/$header" || fail "$header of TT-NN is another one than expected"
}

# The wheel as TT-Metalium sees it, with another compiler and with what that one compiled in the place of SFPI's object files.
make_root() {
  local wheel="$1" root="$work/root"
  local compiler="$root/runtime/sfpi/compiler/bin/riscv-tt-elf-g++" objects="$root/runtime/hw/lib/blackhole"
  rm -rf "$root"
  mkdir -p "${compiler%/*}" "$objects"
  local part
  for part in ttnn build runtime/hw/toolchain; do
    ln -s "$wheel/$part" "$root/$part"
  done
  # Clang cannot tell that a value which is loaded again is not needed in between, and would want a ninth register.
  replace_header "$wheel" "$root" tt_metal/hw/ckernels/blackhole/metal/llk_api/llk_sfpu/ckernel_sfpu_gelu.h \
    '/reload due to register pressure/,/half_x = / {
      s/^ *x = \(sfpi::dst_reg\[0\]\)/sfpi::vFloat again = \1/
      s/copysgn(sfpi::vFloat(0.0f), x)/copysgn(sfpi::vFloat(0.0f), again)/
      s/0.5f \* x/0.5f * again/
    }'
  printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$PYO3_PYTHON" "$here/riscv_compiler.py" >"$compiler"
  chmod +x "$compiler"
  local hw="$root/tt_metal/hw" includes=() folder
  for folder in "$root" "$root/tt_metal" "$hw/inc" "$hw/inc/internal/tt-1xx" "$hw/inc/internal/tt-1xx/blackhole" \
    "$hw/inc/internal/tt-1xx/blackhole/noc" "$hw/inc/internal/tt-1xx/blackhole/blackhole_defines" \
    "$root/tt_metal/hostdevcommon/api" "$hw/firmware/src/tt-1xx"; do
    includes+=("-I$folder")
  done
  local source
  for source in "$hw/toolchain/tmu-crt0.S" "$hw/toolchain/substitutes.cpp" "$hw/firmware/src/tt-1xx/blackhole/noc.c"; do
    part="${source##*/}"
    "$compiler" -DARCH_BLACKHOLE -DCOMPILE_FOR_BRISC "${includes[@]}" -c "$source" -o "$objects/${part%.*}.o"
  done
}

# TT-Metalium starts it from a folder with a file of this name.
make_card() {
  local card="$work/card"
  mkdir -p "$card"
  ln -sfn "$1/soc_descriptor.yaml" "$card/soc_descriptor.yaml"
  printf '#!/bin/sh\nexec "%s" -u "%s" "$@"\n' "$simulator/bin/python" "$here/serve.py" >"$card/run.sh"
  chmod +x "$card/run.sh"
}

[[ -x "$simulator/bin/python" ]] || fail "wolfpine is not installed; run tools/tenstorrent/sim/install.sh first"
source "$checkout/tools/tenstorrent/env.sh"
wheel="$(echo "$checkout"/.env/ttnn/lib/python3.*/site-packages/ttnn)"
blackhole="$(echo "$simulator"/lib/python3.*/site-packages/framework/sim/blackhole)"
ziglang="$(echo "$checkout"/.env/ttnn/lib/python3.*/site-packages/ziglang)"

export PI0_ZIG="$ziglang/zig" PI0_RISCV_RUNTIME="$work/libcompiler_rt.a"
export ZIG_GLOBAL_CACHE_DIR="$work/zig" ZIG_LOCAL_CACHE_DIR="$work/zig"
# A multicast is received in the order of the card that this describes.
export TT_METAL_SIMULATOR="$work/card" TT_METAL_MOCK_CLUSTER_DESC_PATH="$blackhole/cluster_descriptor.yaml"
export TT_METAL_RUNTIME_ROOT="$work/root" TT_METAL_DISABLE_PRECOMPILED_FW=1
# There is no other way to start a kernel there, and more cores only take longer.
export TT_METAL_SLOW_DISPATCH_MODE=1 TT_METAL_CORE_GRID_OVERRIDE_TODEPRECATE=1,1
export TT_METAL_OPERATION_TIMEOUT_SECONDS=0
# Instructions that are scheduled by others are not simulated; kernels can do without.
export TT_METAL_DISABLE_SFPLOADMACRO=1
unset PI0_MOCK_CARD
# What is compiled is good as long as what compiles it is the same.
key="$(cat "$here"/riscv_compiler.py "$here"/include/*.h "$here"/include/*/*.h "$here"/include/*/*/*.h "${BASH_SOURCE[0]}" \
  "$checkout/tools/tenstorrent/requirements.txt" "$checkout/tools/tenstorrent/mock/requirements.txt" | sha256sum)"
export TT_METAL_CACHE="$work/cache-${key:0:16}" TT_METAL_LOGS_PATH="$work/logs"
mkdir -p "$work"
# Two runs at once wait for each other.
exec 9>"$work/lock"
flock 9
if [[ ! -e "$TT_METAL_CACHE/complete" ]]; then
  rm -rf "$work"/cache-*
  mkdir -p "$TT_METAL_CACHE" "$work/logs"
  make_card "$blackhole"
  # Copies of memory, and arithmetic of floats.
  "$PI0_ZIG" build-lib "$ziglang/lib/compiler_rt.zig" -target riscv32-freestanding-none -mcpu=generic_rv32+m+zicsr+zba+zbb \
    -OReleaseSmall -fno-stack-check -ffunction-sections -fdata-sections -femit-bin="$PI0_RISCV_RUNTIME"
  make_root "$wheel"
  touch "$TT_METAL_CACHE/complete"
fi
flock -u 9

declare -A ignored=()
while IFS=: read -r behaviour reason; do
  [[ -z "$behaviour" || "$behaviour" == \#* ]] || ignored["$behaviour"]="${reason# }"
done <"$here/ignored.txt"

mapfile -t behaviours < <("$conformance" --list | sed -n 's/^card: \(.*\): test$/\1/p')
((${#behaviours[@]})) || fail "$conformance has no tests of a card; it is built with the feature tenstorrent"
for behaviour in "${!ignored[@]}"; do
  printf '%s\n' "${behaviours[@]}" | grep -qxF "$behaviour" || fail "ignored.txt names no test: $behaviour"
done

# One process each, for the simulator ends the process when it cannot go on.
run_test() {
  local behaviour="$1" started=$SECONDS
  local log="$work/logs/${behaviour//[^a-zA-Z0-9]/-}.log"
  if timeout 1800 "$conformance" --exact "card: $behaviour" </dev/null >"$log" 2>&1 &&
    grep -q "^test card: .* \.\.\. ok$" "$log"; then
    echo "ok ($((SECONDS - started)) s): $behaviour"
  else
    echo "FAILED ($((SECONDS - started)) s): $behaviour"
    grep -E "panicked|error:|Error|cannot|critical" "$log" | grep -v "^ ---" | cut -c1-600 | tail -20
    echo "  the whole log: $log"
    return 1
  fi
}
export -f run_test
export conformance work

started=$SECONDS
chosen=()
for behaviour in "${behaviours[@]}"; do
  if ((${#names[@]})); then
    for name in "${names[@]}"; do
      if [[ "$behaviour" == *"$name"* ]]; then
        chosen+=("$behaviour")
        break
      fi
    done
  elif [[ -v ignored["$behaviour"] ]]; then
    echo "ignored: $behaviour: ${ignored["$behaviour"]}"
  else
    chosen+=("$behaviour")
  fi
done
((${#chosen[@]})) || fail "no test is called ${names[*]}"
printf '%s\0' "${chosen[@]}" | xargs -0 -P "$(nproc)" -I {} bash -c 'run_test "$1"' - {} || fail "not all of the tests passed"
echo "sim-test: ${#chosen[@]} of ${#behaviours[@]} tests of a card passed on wolfpine's Blackhole in $((SECONDS - started)) s"
