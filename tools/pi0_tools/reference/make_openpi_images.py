"""Makes the fixture of camera pictures as openpi's clients resize them.

Needs the PyPI package openpi-client. The pictures are those of `make_fixtures`.
"""

import argparse
from pathlib import Path

import torch
from openpi_client.image_tools import resize_with_pad
from safetensors.torch import load_file

from pi0_tools.reference.fixture_file import save_tensors
from pi0_tools.reference.image_rows import SIZES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path, help="images.safetensors of the reference")
    parser.add_argument("file", type=Path, help="where the resized pictures go")
    arguments = parser.parse_args()
    pictures = load_file(arguments.pictures)
    rows = {}
    for height, width, side in SIZES:
        name = f"{height}x{width}_to_{side}"
        if width * side < height or height * side < width or side > 56:
            # Nothing is left of it, or it would make the fixture large.
            continue
        rows[name] = torch.from_numpy(resize_with_pad(pictures[f"{name}.input"].numpy(), side, side))
    save_tensors(arguments.file, rows)


if __name__ == "__main__":
    main()
