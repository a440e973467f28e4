"""Makes the fixture of rotations as SciPy computes them.

Needs SciPy, which every environment of the project has.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

CASES = 60


def rotations(random: np.random.Generator) -> Rotation:
    """Random ones, small ones, and ones near half a turn, where signs change."""
    axes = random.normal(size=(CASES, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    axes[:3] = np.eye(3)
    angles = random.uniform(0.0, np.pi, CASES)
    angles[:15] = np.pi - random.uniform(0.0, 1e-3, 15)
    angles[15:25] = random.uniform(0.0, 1e-4, 10)
    return Rotation.from_rotvec(axes * angles[:, None])


def written(rotation: Rotation) -> dict:
    matrix = rotation.as_matrix()
    return {
        "quaternion_xyzw": rotation.as_quat().tolist(),
        "axis_angle": rotation.as_rotvec().tolist(),
        "rotation_6d": matrix[:, :2].T.reshape(6).tolist(),
        "rotation_6d_rows": matrix[:2].reshape(6).tolist(),
        "rpy": rotation.as_euler("xyz").tolist(),
    }


def pair(one: Rotation, other: Rotation, share: float, vector: np.ndarray) -> dict:
    """What two rotations give together; quaternions are x, y, z, w."""
    between = Slerp([0.0, 1.0], Rotation.concatenate([one, other]))
    weights = [1.0, 0.5, 0.25]
    middle = between(0.5)
    return {
        "share": share,
        "slerp": between(share).as_quat().tolist(),
        "product": (one * other).as_quat().tolist(),
        "vector": vector.tolist(),
        "rotated": one.apply(vector).tolist(),
        "weights": weights,
        # Rotations that lie within half a turn of each other, as those of chunks that overlap do.
        "mean_of": [rotation.as_quat().tolist() for rotation in (one, middle, between(0.2))],
        "mean": Rotation.concatenate([one, middle, between(0.2)]).mean(weights).as_quat().tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    file = parser.parse_args().file
    random = np.random.default_rng(0)
    all_rotations = rotations(random)
    others = all_rotations[random.permutation(CASES)]
    shares = random.uniform(0.0, 1.0, CASES)
    vectors = random.normal(size=(CASES, 3))
    pairs = [pair(*values) for values in zip(all_rotations, others, shares, vectors, strict=True)]
    cases = [written(one) | both for one, both in zip(all_rotations, pairs, strict=True)]
    other_quaternions = others.as_quat().tolist()
    cases = [case | {"other": other} for case, other in zip(cases, other_quaternions, strict=True)]
    file.write_text(json.dumps(cases, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
