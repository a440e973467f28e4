"""Makes the fixtures of messages as openpi's clients and server pack them.

Needs the PyPI package openpi-client, whose msgpack_numpy packs them.
"""

import argparse
from pathlib import Path

import numpy as np
from openpi_client import msgpack_numpy

DTYPES = ["?", "i1", "<i2", "<i4", "<i8", "u1", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8", ">i4", ">f4", ">f8"]


def arrays() -> dict:
    """One of every type that a client can send, of three dimensions but for one scalar and one without elements."""
    values = np.arange(12).reshape(2, 3, 2) - 3
    named = {f"array_{dtype}": np.abs(values).astype(dtype) for dtype in DTYPES}
    return named | {
        "not_contiguous": values.astype("<f4").transpose(2, 0, 1),
        "scalar_array": np.array(0.25),
        "no_elements": np.zeros((0, 7), "<f4"),
    }


def observations() -> dict:
    """As make_aloha_example, make_droid_example and make_libero_example of openpi, with small pictures."""
    picture = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    return {
        "aloha": {
            "state": np.linspace(-1, 1, 14),
            "images": {
                "cam_high": picture.transpose(2, 0, 1),
                "cam_left_wrist": (picture / 255).astype(np.float32).transpose(2, 0, 1),
                "cam_right_wrist": picture,
            },
            "prompt": "do something",
        },
        "droid": {
            "observation/exterior_image_1_left": picture,
            "observation/wrist_image_left": picture[::-1],
            "observation/joint_position": np.linspace(0, 0.6, 7),
            "observation/gripper_position": np.array([0.75]),
            "prompt": "do something",
        },
        "libero": {
            "observation/state": np.linspace(0, 0.7, 8, dtype=np.float32),
            "observation/image": picture,
            "observation/wrist_image": picture[::-1],
            "prompt": np.str_("do something"),
        },
    }


def values() -> dict:
    """What is no array."""
    return {
        "numbers": [0, 127, 128, -1, -33, 2**31, -(2**63), 2**64 - 1, 0.1, True, None],
        "scalars": {"f4": np.float32(0.5), "i8": np.int64(-7), "bool": np.bool_(True), "f8": np.float64(1e300)},
        "texts": ["", "öpen the drawer", "x" * 300, b"\x00\xff"],
        "nested": {"a": {"b": [{"c": ()}]}},
        "answer": {
            "actions": np.linspace(-1, 1, 6).reshape(3, 2),
            "state": np.zeros(2),
            "policy_timing": {"infer_ms": 12.5},
            "server_timing": {"infer_ms": 13.25, "prev_total_ms": 14.0},
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the messages go, one a file")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in {"arrays": arrays(), **observations(), **values()}.items():
        (folder / f"{name}.msgpack").write_bytes(msgpack_numpy.packb(value))


if __name__ == "__main__":
    main()
