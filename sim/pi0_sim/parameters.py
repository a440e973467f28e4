"""The ROS parameters of simulated robots: type, unit, range and default of each."""

from dataclasses import dataclass
from types import SimpleNamespace

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor


@dataclass(frozen=True)
class Row:
    """minimum and maximum: of numbers."""

    name: str
    default: object
    description: str
    minimum: float | None = None
    maximum: float | None = None


def common_rows(*, tasks, skills, episode_seconds, image_size, largest_image_size, no_skill):
    """The parameters that every robot has. image_size: width and height. no_skill: what ends an episode without one."""
    (width, height), (largest_width, largest_height) = image_size, largest_image_size
    return (
        Row("task", tasks[0], f"What the robot has in front of it, one of {', '.join(tasks)}"),
        Row("seed", 0, "Seed of the objects' start poses; episode n uses seed + n", 0, 2**32 - 1_000_001),
        Row("episodes", 0, "Episodes until the process ends; 0 for no end", 0, 1_000_000),
        Row(
            "episode_seconds",
            episode_seconds,
            "Simulated seconds from an episode's first command to its end",
            0.1,
            3600.0,
        ),
        Row("camera_rate_hz", 10.0, "Camera frames per simulated second, at most one a step", 0.1, 50.0),
        Row("image_width", width, "Width of the camera image in pixels", 16, largest_width),
        Row("image_height", height, "Height of the camera image in pixels", 16, largest_height),
        Row("real_time_factor", 1.0, "Simulated seconds per second of wall-clock time", 0.01, 100.0),
        Row("recording", "", "File (.npz) for every step of all episodes; empty for none"),
        Row("skill", "", f"An episode ends when this is done, one of {', '.join(skills)}; empty: {no_skill}"),
        Row("outcomes", "", "File (.json) for what came of each episode; empty for none"),
    )


def declare_parameters(node, rows):
    """Declares every row and returns the values by their names. Raises an rclpy parameter exception."""

    def declare(row):
        # What the simulation is made of cannot change while it runs.
        descriptor = ParameterDescriptor(name=row.name, description=row.description, read_only=True)
        if isinstance(row.default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=row.minimum, to_value=row.maximum)]
        elif isinstance(row.default, int) and not isinstance(row.default, bool):
            descriptor.integer_range = [IntegerRange(from_value=row.minimum, to_value=row.maximum, step=1)]
        return node.declare_parameter(row.name, row.default, descriptor).value

    return SimpleNamespace(**{row.name: declare(row) for row in rows})


def check_common(parameters, tasks, skills):
    """Raises ValueError for values of the common rows that do not fit each other or name what is not there."""
    if parameters.recording and parameters.episodes == 0:
        raise ValueError("parameter recording needs episodes above 0: the file is written after the last one")
    if parameters.task not in tasks:
        raise ValueError(f"parameter task is '{parameters.task}', and must be one of {', '.join(tasks)}")
    if parameters.skill not in ("", *skills):
        raise ValueError(f"parameter skill is '{parameters.skill}', and must be empty or one of {', '.join(skills)}")
