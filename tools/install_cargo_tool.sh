#!/usr/bin/env bash
# Installs a program of crates.io into .env/cargo of the checkout; quick when that version is there.
# Usage: tools/install_cargo_tool.sh NAME VERSION
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ ! -x ".env/cargo/bin/$1" || "$(cat ".env/cargo/$1.version" 2>/dev/null)" != "$2" ]]; then
  echo "setup: $1 $2 from crates.io, some minutes …"
  # Flags of what is built here are not the tool's.
  env -u RUSTFLAGS -u CFLAGS -u CXXFLAGS cargo install --quiet --locked --force --root .env/cargo "$1@$2"
  echo "$2" >".env/cargo/$1.version"
fi
