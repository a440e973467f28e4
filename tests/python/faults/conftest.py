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


class CommandWatch:
    """Looks at every trajectory when it comes: how far it is then from the one before, and from the robot."""

    def __init__(self, robot):
        self.count = 0
        self.largest_step = 0.0
        self._robot = robot
        self._last = None
        robot.node.create_subscription(JointTrajectory, "/joint_trajectory", self._look, 100)

    def _look(self, trajectory):
        now_s = self._robot.node.get_clock().now().nanoseconds * 1e-9
        commanded = position_at(trajectory, now_s)
        assert np.isfinite(commanded).all(), trajectory
        before = self._robot.positions if self._last is None else position_at(self._last, now_s)
        self.largest_step = max(self.largest_step, float(np.abs(commanded - before).max()))
        self.count += 1
        self._last = trajectory


@pytest.fixture
def watch():
    return CommandWatch


@pytest.fixture(scope="session")
def joint_names():
    parameters = yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))["/**"]["ros__parameters"]
    return parameters["joint_names"]
