#!/usr/bin/env bash
# The compiler of what is packaged (RUSTC_WORKSPACE_WRAPPER). Where LLVM 22 keeps in registers what a loop has in memory, it chooses
# them by addresses of its own memory, which are others in every run.
exec "$@" -Cllvm-args=-disable-licm-promotion
