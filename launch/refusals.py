"""What keeps a launch from starting anything: a node that moves a robot otherwise than was meant is worse than none."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import yaml

# The recorder loads its plug-ins before it lists them.
RECORDER_PATIENCE_S = 30.0


def check_params_file(params_file: str, namespace: str, node_name: str) -> None:
    """Raises ValueError when the file is missing, is no parameter file, or has no parameters for the node.

    ROS 2 starts a node with its defaults then, which are another robot's.
    """
    try:
        content = yaml.safe_load(Path(params_file).read_text())
    except OSError as error:
        raise ValueError(f"params_file is {params_file}, which cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"params_file is {params_file}, which is no YAML: {error}") from error
    prefix = f"/{namespace.strip('/')}" if namespace.strip("/") else ""
    accepted = ("/**", "**", node_name, f"{prefix}/{node_name}")
    found = list(nodes_of(content)) if isinstance(content, dict) else []
    if not any(node in accepted for node in found):
        raise ValueError(
            f"params_file is {params_file}, which has ros__parameters for {', '.join(found) or 'no node'}, "
            f"expected one of {', '.join(accepted)}"
        )


def nodes_of(level: dict, path: str = "") -> Iterator[str]:
    """The nodes for which a parameter file has parameters, as it names them."""
    for key, value in level.items():
        if key == "ros__parameters" and isinstance(value, dict):
            yield path
        elif isinstance(value, dict):
            yield from nodes_of(value, f"{path}/{key}" if path else str(key))


def check_recorder(storage: str, command: tuple[str, ...] = ("ros2", "bag", "record", "--help")) -> None:
    """Raises RuntimeError when bags of this storage cannot be recorded here."""
    needed = "record:=true needs ros-$ROS_DISTRO-rosbag2 and ros-$ROS_DISTRO-rosbag2-storage-mcap"
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=RECORDER_PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(f"{' '.join(command)} cannot be run ({error}); {needed}") from error
    if answer.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed ({answer.stderr.strip()}); {needed}")
    if storage not in answer.stdout:
        raise RuntimeError(f"ros2 bag record has no storage {storage}; {needed}")
