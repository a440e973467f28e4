#!/usr/bin/env bash
# The compiler of what is packaged (RUSTC_WORKSPACE_WRAPPER). Where LLVM 22 keeps in registers what a loop has in memory, it chooses
# others in every run.
exec "$@" -Cllvm-args=-disable-licm-promotion
