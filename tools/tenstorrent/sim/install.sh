#!/usr/bin/env bash
# Installs the simulated Tenstorrent card of the conformance tests in .env/wolfpine of the checkout, and the compiler of its kernels beside
# TT-NN. A second run finds the work done and ends at once.
#
# usage: tools/tenstorrent/sim/install.sh
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
environment="$(cd "$here/../../.." && pwd -P)/.env"
"$here/../install.sh" --mock
exec 9>"$environment/wolfpine.lock"
flock 9
wanted="$(cat "$here/requirements.txt" "${BASH_SOURCE[0]}" | sha256sum)"
if [[ ! -f "$environment/wolfpine/installed" || "$(cat "$environment/wolfpine/installed")" != "$wanted" ]]; then
  echo "tenstorrent: a simulated card, a few seconds …"
  rm -rf "$environment/wolfpine"
  "$environment/ttnn/bin/python" -m venv "$environment/wolfpine"
  "$environment/wolfpine/bin/pip" install --quiet --no-deps --require-hashes --disable-pip-version-check \
    -r "$here/requirements.txt"
  echo "$wanted" >"$environment/wolfpine/installed"
fi
