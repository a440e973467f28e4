#!/usr/bin/env bash
# Compares pi0_node with LeRobot from nothing: small fixtures made anew, then the network at full size.
set -euo pipefail
cd "$(dirname "$0")/../.."

environment=.env/lerobot
requirements=tools/reference/requirements.txt
small=target/parity/small
full=target/parity/full
needed_gb=20

say() { printf '\n== %s\n' "$*"; }

# A python3.12 on the path may be a shim of pyenv that does not run.
find_python() {
    local python
    for python in python3.12 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.12*/bin/python; do
        if "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null; then
            printf '%s\n' "$python"
            return
        fi
    done
    printf 'Python 3.12 was not found. Install it (Debian, Ubuntu: python3.12 and python3.12-venv; or pyenv).\n' >&2
    return 1
}

# The copied requirements say that the installation was finished, and with which versions.
if ! cmp -s "$requirements" "$environment/requirements.txt"; then
    say "Installing LeRobot into $environment (about 7.5 GB)"
    python=$(find_python)
    [ -x "$environment/bin/python" ] || "$python" -m venv "$environment"
    "$environment/bin/pip" install --disable-pip-version-check -r "$requirements"
    cp "$requirements" "$environment/requirements.txt"
fi

say "Making the small fixtures anew"
rm -rf "$small"
"$environment/bin/python" tools/reference/make_fixtures.py "$small"
"$environment/bin/python" tools/reference/compare_fixtures.py tests/fixtures/reference "$small"

say "Comparing with them"
PI0_FIXTURES=$PWD/$small cargo test --release --no-default-features --test parity -- --quiet

available_gb=$(awk '/^MemAvailable:/ { print int($2 / 1e6) }' /proc/meminfo)
if [ "$available_gb" -lt "$needed_gb" ]; then
    say "SKIPPED: the network at full size needs $needed_gb GB of memory, $available_gb GB are available"
    exit 0
fi

say "Running the reference at full size (3.3 billion parameters, f32)"
rm -rf "$full"
"$environment/bin/python" tools/reference/full_size.py "$full"

say "Comparing at full size"
PI0_FIXTURES=$PWD/$full cargo test --release --no-default-features --test parity -- --quiet
