"""What the campaigns of faults measure at the robot."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from trajectory_msgs.msg import JointTrajectory

CONFIGURATION = Path(__file__).resolve().parents[3] / "config/aloha_sim.yaml"


def seconds(stamp):
    return stamp.sec + stamp.nanosec * 1e-9


# By the simulated robot's configuration (gripper) and the default of every joint, and what rounding adds.
GRIPPER_LIMIT_PER_S, ARM_LIMIT_RAD_PER_S = 5.0 * 1.01, 3.0 * 1.01


class CommandWatch:
    """Looks at every trajectory: how fast a joint is asked to move from one point to the next.

    A trajectory begins with what was commanded before it, so that a jump is a fast pair of points.
    """

    def __init__(self, robot):
        self.count = 0
        self.arm_rad_per_s = 0.0
        self.gripper_per_s = 0.0
        robot.node.create_subscription(JointTrajectory, "/joint_trajectory", self._look, 100)

    def _look(self, trajectory):
        times = [seconds(point.time_from_start) for point in trajectory.points]
        positions = np.array([point.positions for point in trajectory.points])
        speeds = np.abs(np.diff(positions, axis=0)) / np.diff(times)[:, np.newaxis]
        fastest = dict(zip(trajectory.joint_names, speeds.max(axis=0), strict=True))
        arms = [speed for name, speed in fastest.items() if "gripper" not in name]
        grippers = [speed for name, speed in fastest.items() if "gripper" in name]
        # Of a number and a NaN the NaN remains.
        self.arm_rad_per_s = float(np.maximum(self.arm_rad_per_s, np.max(arms)))
        self.gripper_per_s = float(np.maximum(self.gripper_per_s, np.max(grippers)))
        self.count += 1

    def check(self, record_property):
        """Records the speeds; fails when one is above its limit."""
        record_property("arm_rad_per_s", round(self.arm_rad_per_s, 3))
        record_property("gripper_per_s", round(self.gripper_per_s, 3))
        assert self.count > 0
        assert self.arm_rad_per_s <= ARM_LIMIT_RAD_PER_S
        assert self.gripper_per_s <= GRIPPER_LIMIT_PER_S


@pytest.fixture
def watch():
    return CommandWatch


@pytest.fixture(scope="session")
def joint_names():
    parameters = yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))["/**"]["ros__parameters"]
    return parameters["joint_names"]
