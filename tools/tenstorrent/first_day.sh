#!/usr/bin/env bash
# The first day with a Tenstorrent card: tries everything that could only be tried on mock cards before, and leaves a report in one
# file to send. A step that fails does not stop the next one.
#
# usage: tools/tenstorrent/first_day.sh [--mock CARD] [--quick] [REPORT]
#   --mock CARD  the same on a mock card (n150, p150, …), where nothing is computed and times mean nothing
#   --quick      the small policy that comes with the package, and few repetitions
#   REPORT       the file, by default tenstorrent-report-<date>.txt in this folder
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
mock="" quick=false report=""
while (($#)); do
  case "$1" in
    --mock) mock="${2:?--mock needs a card: n150, p150, …}" && shift 2 ;;
    --quick) quick=true && shift ;;
    -*) echo "usage: tools/tenstorrent/first_day.sh [--mock CARD] [--quick] [REPORT]" >&2 && exit 2 ;;
    *) report="$1" && shift ;;
  esac
done
report="$(realpath -m "${report:-tenstorrent-report-$(date +%Y-%m-%d-%H%M).txt}")"
failed=()

features=(--release --locked --no-default-features --features tenstorrent,cli)
policy=(--config full --cameras 3 --prompt-tokens 48 --repeats 34)
switches=(column_products wide_norms long_key_blocks larger_l1
  short_gelu compact_residuals compact_gates two_pass_attention short_sums one_pass_products)
if [[ "$quick" == true ]]; then
  policy=(--config demo --cameras 2 --prompt-tokens 10 --repeats 2)
fi
if [[ -n "$mock" ]]; then
  tools/tenstorrent/install.sh --mock || exit 1
  export PI0_MOCK_CARD="$mock"
  policy+=(--mock-card "$mock")
else
  tools/tenstorrent/install.sh || exit 1
fi
source tools/tenstorrent/env.sh || exit 1

say() { printf '%s\n' "$@" | tee -a "$report"; }

# in_environment NAME=VALUE... -- COMMAND...: runs a command with more variables.
in_environment() (
  while [[ "$1" != -- ]]; do
    export "${1?}"
    shift
  done
  shift
  "$@"
)

# step TITLE COMMAND...: runs a command with its output in the report.
step() {
  local title="$1" started=$SECONDS status
  shift
  say "" "## $title" "\$ $*"
  "$@" </dev/null 2>&1 | tee -a "$report"
  status=${PIPESTATUS[0]}
  say "($((SECONDS - started)) s, status $status)"
  ((status == 0)) || failed+=("$title")
}

# The versions that are wanted: docs/tenstorrent.md.
firmware() {
  if ! command -v tt-smi >/dev/null; then
    echo "tt-smi is not installed (the Python package tt-smi): firmware and driver are not known, and a card that hangs cannot be reset"
    return 1
  fi
  tt-smi -s --snapshot_no_tty | "$PYO3_PYTHON" -c '
import json, sys
snapshot = json.load(sys.stdin)
print("host:", json.dumps(snapshot.get("host_info", {})))
wanted, old = (18, 10, 0), []
for card in snapshot.get("device_info", []):
    version = str(card.get("firmwares", {}).get("fw_bundle_version", "?"))
    print("card:", json.dumps(card.get("board_info", {})), "firmware", version)
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
    if numbers < wanted:
        old.append(version)
if old:
    sys.exit(f"firmware {old} is too old: TT-NN 0.81.1 wants 18.10.0 or later (tt-flash)")'
}

conformance() {
  cargo test "${features[@]}" --test device_conformance -- card
}

bench() {
  cargo run --quiet "${features[@]}" --bin pi0_bench -- --device tenstorrent "${policy[@]}" "$@"
}

: >"$report"
say "# First day of pi0_node $(git describe --always --dirty 2>/dev/null) on a Tenstorrent card${mock:+ ($mock, a mock)}"
say "$(date -u +%FT%TZ), $(uname -srm), $(nproc) cores"

step "Versions" "$PYO3_PYTHON" -m pip --disable-pip-version-check list
if [[ -z "$mock" ]]; then
  step "Firmware and driver" firmware
fi
step "Build" cargo build "${features[@]}" --bin pi0_bench --test device_conformance

# Each operation against its definition; then as a debugger of the cards sees it; then with every tuning.
step "Conformance" conformance
if [[ -z "$mock" ]]; then
  step "Conformance, watched" in_environment TT_METAL_WATCHER=10 -- conformance
  step "Conformance with assertions in kernels" \
    in_environment TT_METAL_LLK_ASSERTS=1 TT_METAL_LIGHTWEIGHT_KERNEL_ASSERTS=1 -- conformance
fi
step "Conformance, every tuning" in_environment PI0_CARD_TUNING=all -- conformance

# The first chunk runs operation by operation, the later ones from traces; all of them have to be the same bit for bit.
step "Chunks from traces against the first one, bit for bit" bench --captured
step "Memory allocated while traces live" \
  in_environment TT_METAL_TRACE_ALLOC_TRACKING=1 TT_LOGGER_LEVEL=warning -- bench --captured

# What each way of computing saves: all of them, then all but one, then each alone.
step "Every tuning" bench --captured --tuning all
for switch in "${switches[@]}"; do
  step "Every tuning but $switch" bench --captured --tuning "all,-$switch"
  step "$switch alone" bench --captured --tuning "$switch"
done
step "Approximate softmax" bench --captured --tuning all --softmax approximate

say "" "## Summary"
if ((${#failed[@]})); then
  say "${#failed[@]} steps failed:" "$(printf -- '- %s\n' "${failed[@]}")"
else
  say "Every step succeeded."
fi
say "The report is $report; please send it to the maintainers."
((${#failed[@]} == 0))
