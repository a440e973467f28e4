"""Speeds of PyTorch's linear layers at the shapes that `pi0_bench --products --json` names on standard input.

`pi0_bench --products --json | python -m pi0_tools.bench.torch_products --type bfloat16` prints the same JSON with
PyTorch's speeds. By itself PyTorch chooses a library for each type, on x86-64 MKL for float32 and oneDNN for bfloat16;
with `--onednn` every product is oneDNN's, with weights laid out for it beforehand. Runs in the environment of
tools/install_lerobot.sh.
"""

import argparse
import json
import sys
import time

import torch
from torch import nn

# As pi0_bench does it: the best of as many runs as fit in.
SECONDS_PER_PRODUCT = 0.3
INT8 = "int8"


class OneDnnLinear(nn.Module):
    """`x · weightᵀ`, the weight `[outputs, inputs]` laid out as oneDNN reads it."""

    def __init__(self, weight):
        super().__init__()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach())

    def forward(self, x):
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, None, "none", [], "")


def layer_of(inputs, outputs, kind, onednn=False):
    layer = nn.Linear(inputs, outputs, bias=False)
    if kind == INT8:
        # Weights are rounded for each output as ours are, activations as a whole and to 8 bits.
        config = {nn.Linear: torch.ao.quantization.per_channel_dynamic_qconfig}
        holder = nn.Sequential(layer)
        if onednn:
            torch.backends.quantized.engine = "onednn"
        return torch.ao.quantization.quantize_dynamic(holder, config)[0]
    layer = layer.to(getattr(torch, kind))
    return OneDnnLinear(layer.weight) if onednn else layer


def best_seconds(rows, inputs, outputs, kind, layer=None):
    """How long `x [rows, inputs] · weightᵀ` takes when nothing disturbs it. kind: float32, bfloat16 or int8."""
    layer = layer or layer_of(inputs, outputs, kind)
    x = torch.randn(rows, inputs, dtype=torch.float32 if kind == INT8 else getattr(torch, kind))
    best, runs, started = float("inf"), 0, time.perf_counter()
    with torch.inference_mode():
        while runs < 2 or time.perf_counter() - started < SECONDS_PER_PRODUCT:
            run = time.perf_counter()
            layer(x)
            best = min(best, time.perf_counter() - run)
            runs += 1
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--type", choices=("float32", "bfloat16", INT8), default="float32")
    parser.add_argument("--threads", type=int, default=0, help="0 is one for each core")
    parser.add_argument("--most-rows", type=int, help="leave out shapes with more rows")
    parser.add_argument("--onednn", action="store_true", help="no other library")
    arguments = parser.parse_args()
    if arguments.threads > 0:
        torch.set_num_threads(arguments.threads)
    products = json.load(sys.stdin)
    for layer in products["layers"].values():
        inputs, outputs = layer["inputs"], layer["outputs"]
        module = layer_of(inputs, outputs, arguments.type, arguments.onednn)
        layer["gflops"] = [
            2 * rows * inputs * outputs / best_seconds(rows, inputs, outputs, arguments.type, module) / 1e9
            if arguments.most_rows is None or rows <= arguments.most_rows
            else None
            for rows in products["rows"]
        ]
    library = ", oneDNN" if arguments.onednn else ""
    products["device"] = f"PyTorch {torch.__version__}{library}, {arguments.type}, {torch.get_num_threads()} threads"
    print(json.dumps(products))


if __name__ == "__main__":
    main()
