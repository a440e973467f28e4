"""Compares this project's matrix products with PyTorch's at the model's shapes and prints Markdown tables.

More engines can be laid beside them as files of the JSON that `pi0_bench --products --json` prints.
"""

import argparse
import json
import os
import subprocess
from pathlib import Path

from pi0_tools.bench.comparison import emulated_types, machine_name, markdown, speed
from pi0_tools.bench.side_by_side import BASELINE, BENCH, LEROBOT_PYTHON, cpuinfo, json_of, say

TORCH_PRODUCTS = (LEROBOT_PYTHON, "-m", "pi0_tools.bench.torch_products")
# Where a type is emulated, larger products would take minutes and say the same.
EMULATED_ROWS = 64
ROWS_OF_DETAIL = 532


def joint_gflops(products, index):
    """The speed at which all layers are done one after the other, at one number of rows; None when one was left out."""
    layers = products["layers"].values()
    work = [layer["inputs"] * layer["outputs"] for layer in layers]
    speeds = [layer["gflops"][index] for layer in layers]
    if None in speeds:
        return None
    return sum(work) / sum(size / speed for size, speed in zip(work, speeds, strict=True))


def table_by_rows(engines):
    """engines: products by the engine's name."""
    rows = next(iter(engines.values()))["rows"]
    return markdown(
        ["GFLOP/s", *(f"{count} rows" for count in rows)],
        [
            [name, *(speed(joint_gflops(products, index)) for index in range(len(rows)))]
            for name, products in engines.items()
        ],
    )


def table_by_layer(engines, rows):
    first = next(iter(engines.values()))
    index = first["rows"].index(rows)
    return markdown(
        [f"GFLOP/s at {rows} rows", "inputs → outputs", *engines],
        [
            [
                name,
                f"{layer['inputs']} → {layer['outputs']}",
                *(speed(products["layers"][name]["gflops"][index]) for products in engines.values()),
            ]
            for name, layer in first["layers"].items()
        ],
    )


def emulated_here(threads):
    """The types that PyTorch emulates on this machine, each with why."""
    probe = json_of(*BASELINE, "--products", "--threads", threads)
    return emulated_types(probe["gflops"], cpuinfo())


def torch_engines(shapes, kinds, threads, emulated, *options):
    """PyTorch's speeds at the shapes of other products, by the name of each type; at few rows where it is emulated.

    options: more of torch_products'.
    """
    engines = {}
    for kind in kinds:
        say(f"PyTorch, {kind}")
        few = ("--most-rows", EMULATED_ROWS) if kind in emulated else ()
        engines[kind] = torch_products(shapes, "--type", kind, "--threads", threads, *few, *options)
    return engines


def few_rows(emulated):
    """A sentence for each type that was measured at few rows."""
    return [
        f"PyTorch in {kind} was measured at no more than {EMULATED_ROWS} rows: {reason}."
        for kind, reason in emulated.items()
    ]


def torch_products(shapes, *options):
    command = [str(word) for word in (*TORCH_PRODUCTS, *options)]
    result = subprocess.run(command, input=json.dumps(shapes), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(result.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=0, help="0, the default, is one for each core")
    parser.add_argument("--also", action="append", default=[], metavar="NAME=FILE", help="another engine's speeds")
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    threads = arguments.threads or cores
    engines = {}
    for precision in ("f32", "bf16", "int8"):
        say(f"pi0_node, {precision} weights")
        engines[f"pi0_node, {precision}"] = json_of(
            BENCH, "--products", "--precision", precision, "--threads", threads, "--json"
        )
    shapes = engines["pi0_node, f32"]
    emulated = emulated_here(threads)
    for kind, products in torch_engines(shapes, ("float32", "int8", "bfloat16"), threads, emulated).items():
        engines[f"PyTorch, {kind}"] = products
    for other in arguments.also:
        name, _, path = other.partition("=")
        engines[name] = json.loads(Path(path).read_text(encoding="utf-8"))
    print(f"{machine_name(cpuinfo(), cores)}; {threads} threads\n")
    print(table_by_rows(engines), "\n")
    print(table_by_layer(engines, ROWS_OF_DETAIL))
    print("", *few_rows(emulated), sep="\n")


if __name__ == "__main__":
    main()
