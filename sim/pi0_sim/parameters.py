"""The ROS parameters of the simulated robot: type, unit, range and default of each, in one place."""

from dataclasses import dataclass

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

from pi0_sim.aloha_environment import TASK_NAMES
from pi0_sim.camera import DEFAULT_HEIGHT, DEFAULT_WIDTH
from pi0_sim.skills import SKILLS
from pi0_sim.trajectory_controller import LONGEST_LAG_S


@dataclass(frozen=True)
class Parameters:
    task: str
    seed: int
    episodes: int
    episode_seconds: float
    camera_rate_hz: float
    image_width: int
    image_height: int
    real_time_factor: float
    recording: str
    skill: str
    outcomes: str
    camera_covered: bool
    clock_skew_ms: float
    lag_ms: float


def declare_parameters(node):
    """Declares every parameter and returns the values. Raises ValueError or an rclpy parameter exception."""

    def declare(name, default, description, minimum=None, maximum=None):
        # What the simulation is made of cannot change while it runs.
        descriptor = ParameterDescriptor(name=name, description=description, read_only=True)
        if isinstance(default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=minimum, to_value=maximum)]
        elif isinstance(default, int) and not isinstance(default, bool):
            descriptor.integer_range = [IntegerRange(from_value=minimum, to_value=maximum, step=1)]
        return node.declare_parameter(name, default, descriptor).value

    parameters = Parameters(
        task=declare("task", "transfer_cube", f"Task of gym-aloha, one of {', '.join(TASK_NAMES)}"),
        seed=declare(
            "seed",
            0,
            "Seed of the objects' start poses; episode n uses seed + n",
            0,
            2**32 - 1_000_001,
        ),
        episodes=declare("episodes", 0, "Episodes until the process ends; 0 for no end", 0, 1_000_000),
        episode_seconds=declare(
            "episode_seconds",
            8.0,
            "Simulated seconds from an episode's first trajectory to its end",
            0.1,
            3600.0,
        ),
        camera_rate_hz=declare(
            "camera_rate_hz", 10.0, "Camera frames per simulated second, at most one a step", 0.1, 50.0
        ),
        image_width=declare("image_width", DEFAULT_WIDTH, "Width of the camera image in pixels", 16, 640),
        image_height=declare("image_height", DEFAULT_HEIGHT, "Height of the camera image in pixels", 16, 480),
        real_time_factor=declare(
            "real_time_factor", 1.0, "Simulated seconds per second of wall-clock time", 0.01, 100.0
        ),
        recording=declare("recording", "", "File (.npz) for every step of all episodes; empty for none"),
        skill=declare(
            "skill",
            "",
            f"An episode ends when this is done, one of {', '.join(SKILLS)}; empty: when the reward is the highest",
        ),
        outcomes=declare("outcomes", "", "File (.json) for what came of each episode; empty for none"),
        camera_covered=declare("camera_covered", False, "Whether the camera sends black frames"),
        clock_skew_ms=declare(
            "clock_skew_ms",
            0.0,
            "How far the controller's clock is ahead of that of the stamps; below 0 it is behind",
            -1000.0,
            1000.0,
        ),
        lag_ms=declare(
            "lag_ms", 0.0, "Time from the controller's command to the hardware's", 0.0, 1000 * LONGEST_LAG_S
        ),
    )
    if parameters.recording and parameters.episodes == 0:
        raise ValueError("parameter recording needs episodes above 0: the file is written after the last one")
    if parameters.task not in TASK_NAMES:
        raise ValueError(f"parameter task is '{parameters.task}', and must be one of {', '.join(TASK_NAMES)}")
    if parameters.skill not in ("", *SKILLS):
        raise ValueError(f"parameter skill is '{parameters.skill}', and must be empty or one of {', '.join(SKILLS)}")
    if parameters.task != "transfer_cube":
        for name in ("skill", "outcomes"):
            if getattr(parameters, name):
                raise ValueError(f"parameter {name} needs the task transfer_cube, and task is '{parameters.task}'")
    return parameters
