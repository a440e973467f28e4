"""Measures pi0_node and LeRobot alternately on this machine and prints how many times as fast pi0_node is.

Both run π0 or π0.5 at the published size with random weights: the same cameras, a prompt of as many tokens, 10 steps,
50 actions, the same number of threads. pi0_node's time is from camera frames of 640 × 480 pixels to actions, LeRobot's
from prepared images to actions. Every process makes one chunk that is not measured. The last line is JSON.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from pi0_tools import CHECKOUT
from pi0_tools.bench.comparison import Program, emulated_types, machine_name, peak_shares, shares_table, summary, table

BENCH = CHECKOUT / "target/release/pi0_bench"
LEROBOT_PYTHON = CHECKOUT / ".env/lerobot/bin/python"
BASELINE = (LEROBOT_PYTHON, "-m", "pi0_tools.bench.lerobot_baseline")
PRECISIONS = ("bf16", "int8")
READ_BYTES = 1 << 24
# By the policy: pi0_bench's configuration, and tokens of the prompt. π0.5's has the state of 14 joints in it.
WORKLOADS = {"pi0": ("full", 20), "pi05": ("full-pi05", 71)}


def say(text):
    print(text, file=sys.stderr, flush=True)


def json_of(*command):
    """What a program prints, parsed. Its errors go to the terminal."""
    return json.loads(subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE).stdout)


def cpuinfo():
    return Path("/proc/cpuinfo").read_text(encoding="utf-8")


def warm_page_cache(folder):
    """A file may have left the cache since it was read last."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            while file.read(READ_BYTES):
                pass


def start_up(checkpoint, precision, threads):
    options = ["--config", checkpoint, "--precision", precision, "--threads", threads]
    return json_of(BENCH, "--start-up", "--json", *options)


def program(name, reports, ready_s=()):
    """reports: each a process's chunk_s, resident_bytes and peak_resident_bytes."""
    return Program(
        name,
        [seconds for report in reports for seconds in report["chunk_s"]],
        max(report["resident_bytes"] for report in reports),
        max(report["peak_resident_bytes"] for report in reports),
        list(ready_s),
    )


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policy", choices=WORKLOADS, default="pi0")
    parser.add_argument("--checkpoint", type=Path, required=True, help="of the published size, for the start-up")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of all programs (default 3)")
    parser.add_argument("--cameras", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0, help="0, the default, is one for each core")
    parser.add_argument(
        "--every-type", action="store_true", help="also run LeRobot in a type that PyTorch emulates on this machine"
    )
    arguments = parser.parse_args()
    if arguments.repeats < 1 or arguments.cameras < 1:
        parser.error("--repeats and --cameras must be at least 1")
    return arguments


def main():
    arguments = parse_arguments()
    cores = len(os.sched_getaffinity(0))
    threads = arguments.threads or cores
    config, prompt_tokens = WORKLOADS[arguments.policy]
    same = ["--cameras", arguments.cameras, "--prompt-tokens", prompt_tokens, "--threads", threads, "--repeats", 1]

    probe = json_of(*BASELINE, "--products", "--threads", threads)
    left_out = {} if arguments.every_type else emulated_types(probe["gflops"], cpuinfo())
    dtypes = [dtype for dtype in probe["gflops"] if dtype not in left_out]

    own = {precision: [] for precision in PRECISIONS}
    ready_s = {precision: [] for precision in PRECISIONS}
    baseline = {dtype: [] for dtype in dtypes}
    for number in range(1, arguments.repeats + 1):
        say(f"round {number} of {arguments.repeats}")
        for precision in PRECISIONS:
            report = json_of(BENCH, "--config", config, "--precision", precision, "--json", *same)
            report["chunk_s"] = [report["stages"]["chunk"]["median_ms"] / 1e3]
            own[precision].append(report)
            say(f"  pi0_node {precision}: {report['chunk_s'][0]:.1f} s")
        for dtype in dtypes:
            report = json_of(*BASELINE, "--policy", arguments.policy, "--dtype", dtype, *same)
            baseline[dtype].append(report)
            say(f"  LeRobot {dtype}: {report['chunk_s'][0]:.1f} s")
        for precision in PRECISIONS:
            warm_page_cache(arguments.checkpoint)
            # A virtual machine's host gives memory out slowly and takes back what lies idle. The first start gets it
            # from the host, the second tells how long the program takes.
            first, again = (start_up(arguments.checkpoint, precision, threads)["ready_s"] for _ in range(2))
            ready_s[precision].append(again)
            say(f"  pi0_node {precision} from a checkpoint: ready after {first:.1f} s, started again {again:.1f} s")

    programs = {
        precision: program(f"pi0_node, {precision} weights", own[precision], ready_s[precision])
        for precision in PRECISIONS
    }
    baselines = {
        dtype: program(f"LeRobot 0.6.1, PyTorch {probe['torch']}, {dtype}", baseline[dtype]) for dtype in dtypes
    }
    shares = {precision: peak_shares(own[precision]) for precision in PRECISIONS}

    print(machine_name(cpuinfo(), cores))
    print(
        f"{arguments.policy}, {threads} threads, {arguments.cameras} cameras, {prompt_tokens} prompt tokens, "
        f"{arguments.repeats} rounds\n"
    )
    print(table(programs.values(), baselines.values()))
    print("\nShares of the instruction's peak on registers, measured in the same runs:\n")
    print(shares_table(shares), "\n")
    for dtype, reason in left_out.items():
        print(f"LeRobot in {dtype} was left out: {reason}. EVERY_TYPE=1 measures it too.")
    print(json.dumps(summary(programs, baselines, shares)))


if __name__ == "__main__":
    main()
