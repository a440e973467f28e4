"""A bfloat16 checkpoint written tensor by tensor, since the whole of it does not fit beside the f32 model."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

# 64 MiB of f32 at a time.
PIECE_ELEMENTS = 1 << 24


def round_to_bfloat16(module: nn.Module) -> None:
    """Makes every parameter exactly representable in bfloat16, so that f32 and bfloat16 readers see the same."""
    with torch.no_grad():
        for parameter in module.parameters():
            for piece in parameter.view(-1).split(PIECE_ELEMENTS):
                piece.copy_(piece.to(torch.bfloat16))


def store_as_bfloat16(folder: Path) -> None:
    """Writes the weights of a LeRobot checkpoint, which `round_to_bfloat16` has rounded, in half the size."""
    path = folder / "model.safetensors"
    weights = {name: weight.to(torch.bfloat16) for name, weight in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})


def write_bfloat16(module: nn.Module, path: Path) -> None:
    """Writes all parameters, under their names, as one safetensors file."""
    parameters = dict(sorted(module.named_parameters()))
    header, end = {}, 0
    for name, parameter in parameters.items():
        start, end = end, end + 2 * parameter.numel()
        header[name] = {"dtype": "BF16", "shape": list(parameter.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for parameter in parameters.values():
            for piece in parameter.detach().view(-1).split(PIECE_ELEMENTS):
                file.write(piece.to(torch.bfloat16).view(torch.int16).numpy().tobytes())
