"""Fuzzes what reads files and messages of others, with libFuzzer, and prints a table as JSON.

An input that fails is kept in target/fuzz/found/. Inputs that reach more code are kept in target/fuzz/corpus/, and the
next run goes on from them.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pi0_tools import CHECKOUT

CRATE = CHECKOUT / "fuzz"
BUILD = CHECKOUT / "target/fuzz"
# A target of its own keeps the flags from build scripts and macros, which run without a fuzzer.
TRIPLE = "x86_64-unknown-linux-gnu"
# Those of cargo-fuzz, without the sanitizers, which need a nightly compiler.
FLAGS = ["--cfg=fuzzing", "-Cpasses=sancov-module"]
COVERAGE = ("level=4", "inline-8bit-counters", "pc-table")
# Guides the fuzzer to the values that an input is compared with, and takes a quarter to half of the time.
COMPARES = "trace-compares"
HANG_S = 1
# Of the process, with all that is kept of earlier inputs. An input's own bound is in fuzz/src/memory.rs.
PROCESS_LIMIT_MIB = 2048


@dataclass(frozen=True)
class Target:
    """seeds: patterns of files in the checkout, beside fuzz/seeds/NAME. longest: bytes of an input."""

    longest: int
    seeds: tuple[str, ...] = ()


FIXTURES = "tests/fixtures"
TARGETS = {
    "server_message": Target(4096, (f"{FIXTURES}/openpi/messages/*.msgpack",)),
    "picture": Target(4096),
    "image_layout": Target(1024),
    "ros_message": Target(2048),
    "parameters": Target(16384, ("config/*.yaml",)),
    "robot_description": Target(4096),
    "config": Target(8192, (f"{FIXTURES}/**/config.json", f"{FIXTURES}/**/adapter_config.json")),
    "processors": Target(8192, (f"{FIXTURES}/**/policy_preprocessor.json",)),
    "safetensors": Target(8192, (f"{FIXTURES}/reference/**/*normalizer_processor.safetensors",)),
    "safetensors_index": Target(4096),
    "norm_stats": Target(4096, (f"{FIXTURES}/**/norm_stats.json",)),
    "tokenizer": Target(16384, (f"{FIXTURES}/reference/checkpoint/tokenizer.json",)),
    "sentencepiece": Target(16384, (f"{FIXTURES}/sentencepiece/tokenizer.model",)),
    "orbax": Target(8192),
    "mcap": Target(16384, (f"{FIXTURES}/bags/*.mcap", f"{FIXTURES}/bags/*/*.mcap")),
    "sqlite": Target(16384),
    "bag_metadata": Target(4096, (f"{FIXTURES}/bags/*/metadata.yaml",)),
}


def build(compares):
    """Builds every target. They are in the folder that is returned."""
    options = (*COVERAGE, COMPARES) if compares else COVERAGE
    flags = [*FLAGS, *(f"-Cllvm-args=-sanitizer-coverage-{option}" for option in options)]
    folder = BUILD / ("build" if compares else "build_without_compares")
    environment = {**os.environ, "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags)}
    command = ["cargo", "build", "--release", "--locked", "--target", TRIPLE, "--target-dir", folder]
    subprocess.run([*command, "--manifest-path", CRATE / "Cargo.toml"], env=environment, check=True)
    return folder / TRIPLE / "release"


def seeds_of(name, target):
    """Files of at most the longest input: the fuzzer would cut others off."""
    patterns = (f"fuzz/seeds/{name}/*", *target.seeds)
    files = [path for pattern in patterns for path in sorted(CHECKOUT.glob(pattern))]
    return [path for path in files if path.stat().st_size <= target.longest]


def fuzz(program, name, target, bound, scratch):
    """Runs one target, to this bound of libFuzzer. Returns its row of the table."""
    corpus, found = BUILD / "corpus" / name, BUILD / "found" / name
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    seed_list = scratch / f"{name}.seeds"
    seed_list.write_text(",".join(str(path) for path in seeds_of(name, target)))
    command = [
        program,
        corpus,
        f"-seed_inputs=@{seed_list}",
        f"-artifact_prefix={found}/",
        f"-max_len={target.longest}",
        bound,
        f"-timeout={HANG_S}",
        f"-rss_limit_mb={PROCESS_LIMIT_MIB}",
        "-print_final_stats=1",
    ]
    # Caches of tokenizers on this machine are none of the input's. To write a backtrace takes longer than an input may.
    places = dict.fromkeys(("TMPDIR", "HF_HOME", "OPENPI_DATA_HOME"), str(scratch))
    environment = {**os.environ, **places, "RUST_BACKTRACE": "0"}
    began = time.monotonic()
    with open(scratch / f"{name}.log", "w+b") as log:
        status = subprocess.run(
            [str(part) for part in command], env=environment, stdout=subprocess.DEVNULL, stderr=log, check=False
        ).returncode
        log.seek(0)
        text = log.read().decode(errors="replace")
    if status != 0:
        print("\n".join(text.splitlines()[-60:]), file=sys.stderr)
    executions = [int(number) for number in re.findall(r"stat::number_of_executed_units:\s*(\d+)", text)]
    # A fuzzer that fails prints no statistics.
    executions = executions or [int(number) for number in re.findall(r"^#(\d+)\s", text, re.MULTILINE)[-1:]]
    coverage = re.findall(r"\bcov: (\d+)", text)
    return {
        "executions": executions[0] if executions else 0,
        "seconds": round(time.monotonic() - began, 1),
        "covered_edges": int(coverage[-1]) if coverage else 0,
        "inputs": len(list(corpus.iterdir())),
        "fails": status != 0,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=17, help="for all targets together (default 17)")
    parser.add_argument("--executions", type=int, help="of each target, in place of a time")
    parser.add_argument("--jobs", type=int, default=1, help="targets that run at the same time (default 1)")
    parser.add_argument("--target", choices=TARGETS, action="append", dest="targets", help="only this; may be repeated")
    parser.add_argument(
        "--without-compares",
        action="store_true",
        help="more executions a second, which are not guided by what an input is compared with",
    )
    arguments = parser.parse_args()
    names = arguments.targets or list(TARGETS)
    programs = build(compares=not arguments.without_compares)
    seconds = max(1, round(60 * arguments.minutes * arguments.jobs / len(names)))
    bound = f"-runs={arguments.executions}" if arguments.executions else f"-max_total_time={seconds}"
    # Inputs that are files are written to memory.
    memory = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(prefix="pi0_fuzz", dir=memory if memory.is_dir() else None) as scratch,
        ThreadPoolExecutor(arguments.jobs) as pool,
    ):

        def run(name):
            row = fuzz(programs / name, name, TARGETS[name], bound, Path(scratch))
            print(f"fuzz: {name}: {json.dumps(row)}", file=sys.stderr, flush=True)
            return row

        table = dict(zip(names, pool.map(run, names), strict=True))
    print(json.dumps(table), flush=True)
    return 1 if any(row["fails"] for row in table.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
