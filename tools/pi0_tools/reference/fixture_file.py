"""How fixtures are written: safetensors without a batch dimension, and readable JSON."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

STORED_TYPES = (torch.float32, torch.int64, torch.int16, torch.uint8)


def as_bytes(text: str) -> torch.Tensor:
    """A text's bytes in UTF-8, U8."""
    return torch.tensor(list(text.encode()), dtype=torch.uint8)


def save_tensors(path: Path, tensors: dict[str, torch.Tensor], prompt: str | None = None) -> None:
    """Writes `tensors` as F32, I64, I16 or U8, truth values as U8, with `prompt` in the file's metadata.

    Only one metadata entry is ever written: safetensors does not keep the order of several.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach()
        if tensor.dtype == torch.bool:
            tensor = tensor.to(torch.uint8)
        if tensor.dtype not in STORED_TYPES:
            raise ValueError(f"{name} has type {tensor.dtype}, expected bool or one of {STORED_TYPES}")
        stored[name] = tensor.contiguous().clone()
    save_file(stored, path, metadata=None if prompt is None else {"prompt": prompt})


def save_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
