"""What the campaigns of faults measure at the robot."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from trajectory_msgs.msg import JointTrajectory

CONFIGURATION = Path(__file__).resolve().parents[3] / "config/aloha_sim.yaml"


def seconds(stamp):
    return stamp.sec + stamp.nanosec * 1e-9


def position_at(trajectory, time_s):
    """What a controller without lag commands at that time, shape (joints,): the last point is held."""
    times = [seconds(trajectory.header.stamp) + seconds(point.time_from_start) for point in trajectory.points]
    positions = np.array([point.positions for point in trajectory.points])
    return np.array([np.interp(time_s, times, joint) for joint in positions.T])


# A message that begins a motion is some milliseconds old when it comes. A gripper, whose range is 1, makes 5 a second.
LARGEST_ARM_STEP_RAD, LARGEST_GRIPPER_STEP = 0.1, 0.25


class CommandWatch:
    """Looks at every trajectory when it comes: how far it is then from the one before, or from the robot."""

    def __init__(self, robot):
        self.count = 0
        self.arm_step_rad = 0.0
        self.gripper_step = 0.0
        self._robot = robot
        self._last = None
        robot.node.create_subscription(JointTrajectory, "/joint_trajectory", self._look, 100)

    def _look(self, trajectory):
        now_s = self._robot.node.get_clock().now().nanoseconds * 1e-9
        commanded = position_at(trajectory, now_s)
        assert np.isfinite(commanded).all(), trajectory
        before = self._robot.positions if self._last is None else position_at(self._last, now_s)
        steps = dict(zip(trajectory.joint_names, np.abs(commanded - before), strict=True))
        self.gripper_step = max(self.gripper_step, *(step for name, step in steps.items() if "gripper" in name))
        self.arm_step_rad = max(self.arm_step_rad, *(step for name, step in steps.items() if "gripper" not in name))
        self.count += 1
        self._last = trajectory

    def check(self, record_property):
        """Records the steps; fails when one is a jump."""
        record_property("arm_step_rad", round(float(self.arm_step_rad), 4))
        record_property("gripper_step", round(float(self.gripper_step), 4))
        assert self.count > 0
        assert self.arm_step_rad < LARGEST_ARM_STEP_RAD
        assert self.gripper_step < LARGEST_GRIPPER_STEP


@pytest.fixture
def watch():
    return CommandWatch


@pytest.fixture(scope="session")
def joint_names():
    parameters = yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))["/**"]["ros__parameters"]
    return parameters["joint_names"]
