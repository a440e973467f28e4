"""Compares this project's matrix products with PyTorch's (oneDNN) at the model's shapes and prints Markdown tables.

More engines can be laid beside them as files of the JSON that `pi0_bench --products --json` prints.
"""

import argparse
import json
import os
import subprocess
from pathlib import Path

from comparison import machine_name, slower_types
from side_by_side import BASELINE, BENCH, LEROBOT_PYTHON, json_of, say

TORCH_PRODUCTS = Path(__file__).with_name("torch_products.py")
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


def markdown(header, rows):
    cells = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def speed(gflops):
    return "–" if gflops is None else f"{gflops:.0f}"


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


def torch_products(shapes, kind, threads, most_rows):
    command = [LEROBOT_PYTHON, TORCH_PRODUCTS, "--type", kind, "--threads", threads]
    if most_rows is not None:
        command += ["--most-rows", most_rows]
    result = subprocess.run(
        [str(word) for word in command], input=json.dumps(shapes), stdout=subprocess.PIPE, text=True, check=True
    )
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
    slow = slower_types(json_of(LEROBOT_PYTHON, BASELINE, "--products", "--threads", threads)["gflops"])
    for kind in ("float32", "int8", "bfloat16"):
        say(f"PyTorch, {kind}")
        engines[f"PyTorch, {kind}"] = torch_products(shapes, kind, threads, EMULATED_ROWS if kind in slow else None)
    for other in arguments.also:
        name, _, path = other.partition("=")
        engines[name] = json.loads(Path(path).read_text(encoding="utf-8"))
    print(f"{machine_name(Path('/proc/cpuinfo').read_text(encoding='utf-8'), cores)}; {threads} threads\n")
    print(table_by_rows(engines), "\n")
    print(table_by_layer(engines, ROWS_OF_DETAIL))


if __name__ == "__main__":
    main()
