#!/usr/bin/env bash
# Compares pi0_node with LeRobot from nothing: small fixtures made anew, then the network at full size. Small it runs at every
# kernel level of this machine, at full size at the fastest; PI0_CPU_KERNEL chooses another one for both.
set -euo pipefail
cd "$(dirname "$0")/.."

environment=.env/lerobot
small=target/parity/small
full=target/parity/full
needed_gb=20

say() { printf '\n== %s\n' "$*"; }

tools/install_lerobot.sh

say "Making the small fixtures anew"
rm -rf "$small"
"$environment/bin/python" -m pi0_tools.reference.make_fixtures "$small"
"$environment/bin/python" -m pi0_tools.reference.compare_fixtures tests/fixtures/reference "$small"

say "Training with clean prefixes, and Meta-World as LeRobot has it"
"$environment/bin/python" -m unittest --quiet tools/tests/lerobot/prefixes_of_training.py
"$environment/bin/python" -m unittest --quiet tools/tests/lerobot/metaworld_environment.py

say "Comparing with them"
PI0_FIXTURES=$PWD/$small cargo test --release --no-default-features --test parity -- --quiet

available_gb=$(awk '/^MemAvailable:/ { print int($2 / 1e6) }' /proc/meminfo)
if [ "$available_gb" -lt "$needed_gb" ]; then
    say "SKIPPED: the network at full size needs $needed_gb GB of memory, $available_gb GB are available"
    exit 0
fi

say "Running the references at full size (3.3 and 3.4 billion parameters, f32)"
rm -rf "$full"
"$environment/bin/python" -m pi0_tools.reference.full_size "$full"
"$environment/bin/python" -m pi0_tools.reference.full_size --policy pi05 "$full/pi05"

say "Comparing at full size"
PI0_FIXTURES=$PWD/$full cargo test --release --no-default-features --test parity -- --quiet
