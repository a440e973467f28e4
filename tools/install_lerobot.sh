#!/usr/bin/env bash
# Installs LeRobot, the simulated robot and the packages of this checkout into .env/lerobot; quick when it is done.
set -euo pipefail
cd "$(dirname "$0")/.."

environment=.env/lerobot
requirements=tools/requirements/lerobot.txt

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
    printf '== Installing LeRobot into %s (about 7.5 GB)\n' "$environment"
    python=$(find_python)
    [ -x "$environment/bin/python" ] || "$python" -m venv "$environment"
    "$environment/bin/pip" install --disable-pip-version-check -r "$requirements"
    "$environment/bin/pip" install --disable-pip-version-check --no-deps \
        $(grep -E '^(metaworld|robosuite)==' tools/requirements/python.txt)
    cp "$requirements" "$environment/requirements.txt"
fi
"$environment/bin/python" tools/install_packages.py
