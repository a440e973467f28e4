#!/usr/bin/env bash
# Installs TT-NN, Tenstorrent's operator library, in .env/ttnn of the checkout; with --mock also what its mock device
# needs to run without a card. A second run finds the work done and ends at once.
#
# usage: tools/tenstorrent/install.sh [--mock]
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
environment="$(cd "$here/../.." && pwd -P)/.env/ttnn"
mock=false
case "${1:-}" in
  "") ;;
  --mock) mock=true ;;
  *)
    echo "usage: tools/tenstorrent/install.sh [--mock]" >&2
    exit 2
    ;;
esac

say() { echo "tenstorrent: $*"; }

fail() {
  echo "tenstorrent: $*" >&2
  exit 1
}

# The requirements are pinned for this one. The node links to its shared library.
find_python() {
  local candidate
  for candidate in python3.12 python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.12*/bin/python3.12; do
    if "$candidate" -c 'import ensurepip, sys, sysconfig, venv
sys.exit(sys.version_info[:2] != (3, 12) or not sysconfig.get_config_var("Py_ENABLE_SHARED"))' \
      >/dev/null 2>&1; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  return 1
}

install_packages() {
  say "$1 …"
  "$environment/bin/pip" install --quiet --no-deps --disable-pip-version-check -r "$2" || fail "pip failed (see above)"
}

mkdir -p "$(dirname "$environment")"
# Two runs at once wait for each other.
exec 9>"$environment.lock"
flock 9

wanted="$(cat "$here/requirements.txt" "${BASH_SOURCE[0]}" | sha256sum)"
if [[ ! -f "$environment/installed" || "$(cat "$environment/installed")" != "$wanted" ]]; then
  rm -rf "$environment"
  python="$(find_python)" || fail "Python 3.12 with venv and a shared library was not found.
       Install python3.12, python3.12-venv and libpython3.12-dev, and run this again."
  "$python" -m venv "$environment"
  install_packages "TT-NN, about a minute" "$here/requirements.txt"
  echo "$wanted" >"$environment/installed"
fi

packages="$(echo "$environment"/lib/python3.*/site-packages)"
compiler="$packages/ttnn/runtime/sfpi/compiler/bin"

# True where a kernel compiler is installed that is not the stand-in.
has_compiler() {
  [[ -x /opt/tenstorrent/sfpi/compiler/bin/riscv-tt-elf-g++ ]] ||
    { [[ -x "$compiler/riscv-tt-elf-g++" ]] && [[ ! -e "$compiler/kernel.o" ]]; }
}

if [[ "$mock" == false ]]; then
  # A card needs the real one; the stand-in would only refuse.
  if [[ -e "$compiler/kernel.o" ]]; then
    rm -rf "$packages/ttnn/runtime/sfpi"
  fi
  has_compiler || say "TT-NN is installed. A card also needs its driver and the SFPI compiler: docs/tenstorrent.md"
elif ! has_compiler && ! cmp -s "$here/mock/riscv-tt-elf-g++" "$compiler/riscv-tt-elf-g++"; then
  install_packages "a RISC-V compiler for the mock device, a few seconds" "$here/mock/requirements.txt"
  mkdir -p "$compiler"
  ln -sfn "$packages/ziglang/zig" "$compiler/zig"
  "$compiler/zig" cc -g0 -target riscv32-freestanding-none -mcpu=generic_rv32+m -O1 -ffreestanding -fno-pic \
    -c "$here/mock/kernel.c" -o "$compiler/kernel.o"
  # Last: who has it, has everything.
  cp "$here/mock/riscv-tt-elf-g++" "$compiler/riscv-tt-elf-g++"
  say "the mock device is ready"
fi
