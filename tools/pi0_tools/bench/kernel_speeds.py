"""Measures matrix products with every kernel of the CPU beside the instruction's own peak and oneDNN.

Speeds are of all layers of the model done one after the other, at several numbers of rows, in GFLOP/s; the peak is what
the kernel's instruction reaches on registers in the same run. The last line is JSON.
"""

import argparse
import json
import os

from pi0_tools.bench.comparison import machine_name, markdown, percent, rounded, speed
from pi0_tools.bench.engines import emulated_here, joint_gflops, torch_engines
from pi0_tools.bench.side_by_side import BENCH, LEROBOT_PYTHON, cpuinfo, json_of, say

# What PyTorch calls the types that weights are stored in.
TORCH_TYPES = {"f32": "float32", "bf16": "bfloat16", "int8": "int8"}


def entries(kernels, onednn):
    """One for each kernel, precision and number of rows, without a share where the device has no peak.

    onednn: its products by precision, where it was measured.
    """
    found = []
    for kernel in kernels:
        peak, precision = kernel["instruction_peak"], kernel["precision"]
        for index, rows in enumerate(kernel["rows"]):
            gflops = joint_gflops(kernel, index)
            found.append(
                {
                    "level": kernel["level"],
                    "precision": precision,
                    "rows": rows,
                    "gflops": round(gflops, 1),
                    "peak": rounded(peak, 1),
                    "share": rounded(peak and gflops / peak, 3),
                    "onednn": gflops_at(onednn.get(precision), rows),
                }
            )
    return found


def gflops_at(products, rows):
    """None where it was not measured."""
    gflops = None if products is None else joint_gflops(products, products["rows"].index(rows))
    return rounded(gflops, 1)


def table(found):
    header = ["kernel", "weights", "rows", "GFLOP/s", "instruction's peak", "share", "oneDNN"]
    rows = [
        [
            entry["level"],
            entry["precision"],
            str(entry["rows"]),
            speed(entry["gflops"]),
            speed(entry["peak"]),
            percent(entry["share"]),
            speed(entry["onednn"]),
        ]
        for entry in found
    ]
    return markdown(header, rows)


def most_rows(kernels):
    """The kernel that was measured at the most numbers of rows."""
    return max(kernels, key=lambda kernel: len(kernel["rows"]))


def left_out(kernels):
    """A sentence for each level that was not measured at all rows."""
    rows_of = {kernel["level"]: kernel["rows"] for kernel in kernels}
    return [
        f"{level} was measured at {' and '.join(map(str, rows))} rows only: the others would take minutes."
        for level, rows in rows_of.items()
        if rows != most_rows(kernels)["rows"]
    ]


def lerobot_is_installed():
    """Whether tools/install_lerobot.sh ran to its end: its last step copies the requirements."""
    return (LEROBOT_PYTHON.parents[1] / "requirements.txt").exists()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=0, help="0, the default, is one for each core")
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    threads = arguments.threads or cores
    say("pi0_node, every kernel that this machine has")
    kernels = json_of(BENCH, "--kernels", "--threads", threads, "--json")["kernels"]
    onednn, emulated = {}, {}
    if lerobot_is_installed():
        emulated = emulated_here(threads)
        types = {precision: kind for precision, kind in TORCH_TYPES.items() if kind not in emulated}
        engines = torch_engines(most_rows(kernels), types.values(), threads, {}, "--onednn")
        onednn = {precision: engines[kind] for precision, kind in types.items()}
    found = entries(kernels, onednn)

    print(f"{machine_name(cpuinfo(), cores)}; {threads} threads\n")
    print(table(found), "\n")
    for sentence in left_out(kernels):
        print(sentence)
    for kind, reason in emulated.items():
        print(f"oneDNN in {kind} was left out: {reason}.")
    if not onednn:
        print("oneDNN was left out: LeRobot, with whose PyTorch it comes, is not installed (make bench installs it).")
    print(json.dumps({"kernels": found}))


if __name__ == "__main__":
    main()
