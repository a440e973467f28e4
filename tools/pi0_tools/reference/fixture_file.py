"""How fixtures are written: safetensors without a batch dimension, and readable JSON."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file


def save_tensors(path: Path, tensors: dict[str, torch.Tensor], prompt: str | None = None) -> None:
    """Writes `tensors` as F32, I64 or U8, truth values as U8, with `prompt` in the file's metadata.

    Only one metadata entry is ever written: safetensors does not keep the order of several.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach()
        if tensor.dtype == torch.bool:
            tensor = tensor.to(torch.uint8)
        if tensor.dtype not in (torch.float32, torch.int64, torch.uint8):
            raise ValueError(f"{name} has type {tensor.dtype}, expected float32, int64, uint8 or bool")
        stored[name] = tensor.contiguous().clone()
    save_file(stored, path, metadata=None if prompt is None else {"prompt": prompt})


def save_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
