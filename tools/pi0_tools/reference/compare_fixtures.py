"""Compares two folders of fixtures."""

import argparse
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

# PyTorch differs by less than this from one processor to another: 2.2e-5 between AVX2 alone and AVX-512.
TOLERANCE = 5e-5


def problems_of_tensors(committed: Path, regenerated: Path) -> list[str]:
    expected, found = load_file(committed), load_file(regenerated)
    problems = [f"{name} is in one file only" for name in sorted(expected.keys() ^ found.keys())]
    for name in sorted(expected.keys() & found.keys()):
        want, have = expected[name], found[name]
        if want.shape != have.shape or want.dtype != have.dtype:
            problems.append(f"{name} is {have.dtype} {list(have.shape)}, expected {want.dtype} {list(want.shape)}")
        elif not torch.allclose(want.double(), have.double(), rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
            difference = (want.double() - have.double()).abs().max().item()
            problems.append(f"{name} differs by {difference:.2e}")
    return problems


def compare(committed: Path, regenerated: Path) -> list[str]:
    """Every difference between the two folders beyond `TOLERANCE`, one sentence each."""
    files = {
        str(file.relative_to(folder))
        for folder in (committed, regenerated)
        for file in folder.rglob("*")
        if file.is_file()
    }
    problems = []
    for name in sorted(files):
        want, have = committed / name, regenerated / name
        if not want.exists() or not have.exists():
            problems.append(f"{name} is in one folder only")
        elif want.suffix == ".safetensors":
            problems += [f"{name}: {text}" for text in problems_of_tensors(want, have)]
        elif want.read_bytes() != have.read_bytes():
            problems.append(f"{name} differs")
    return problems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("committed", type=Path)
    parser.add_argument("regenerated", type=Path)
    arguments = parser.parse_args()
    problems = compare(arguments.committed, arguments.regenerated)
    if problems:
        sys.exit("\n".join(["The regenerated fixtures differ from the committed ones:", *problems]))
    print(f"The regenerated fixtures equal the committed ones within {TOLERANCE:g}.")


if __name__ == "__main__":
    main()
