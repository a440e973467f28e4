"""A JointTrajectory message as joint_trajectory_controller judges and samples it: functions of times and positions."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

# A velocity this small at the end counts as none.
STILL = 1e-6


class TrajectoryRejected(ValueError):
    """The controller does not execute the message; the text says why, naming what was found and what was expected."""


@dataclass(frozen=True)
class Trajectory:
    """Joint targets over time, in the robot's own joint order.

    times_s: shape (points,), strictly increasing, in seconds of the controller's clock.
    positions: shape (points, joints), radians; grippers from 0 (closed) to 1 (open).
    velocities: as positions, per second, or None for lines between the positions. NaN in a row: they are not known.
    """

    times_s: np.ndarray
    positions: np.ndarray
    velocities: np.ndarray | None = None

    def target_at(self, time_s):
        """The joint targets, shape (joints,).

        Between points linear or, with velocities at both, a cubic Hermite curve; before the first point and after the
        last the nearest one holds.
        """
        following = np.searchsorted(self.times_s, time_s, side="right")
        if following == 0:
            return self.positions[0].copy()
        if following == len(self.times_s):
            return self.positions[-1].copy()
        start_s, end_s = self.times_s[following - 1 : following + 1]
        start, end = self.positions[following - 1 : following + 1]
        share = (time_s - start_s) / (end_s - start_s)
        if self.velocities is None or np.isnan(self.velocities[following - 1]).any():
            return start + (end - start) * share
        leaving, arriving = self.velocities[following - 1 : following + 1] * (end_s - start_s)
        rest = 1.0 - share
        return (
            start
            + (end - start) * share**2 * (3.0 - 2.0 * share)
            + leaving * share * rest**2
            - arriving * share**2 * rest
        )


def trajectory_from_message(message, robot_joint_names, now_s):
    """Reads a trajectory_msgs/JointTrajectory that arrived at now_s, in seconds of the controller's clock.

    Joints are found by name, in any order. The points count from header.stamp; a stamp of zero means arrival.
    Raises TrajectoryRejected when the controller would not execute it.
    """
    column_of = columns_by_joint(list(message.joint_names), list(robot_joint_names))
    if not message.points:
        raise TrajectoryRejected("it has no points")
    times_s = np.array([seconds(point.time_from_start) for point in message.points])
    for index, (before_s, time_s) in enumerate(pairwise(times_s)):
        if time_s <= before_s:
            raise TrajectoryRejected(
                f"time_from_start does not increase from point {index} ({before_s} s) to point {index + 1} ({time_s} s)"
            )
    if times_s[0] < 0:
        raise TrajectoryRejected(f"point 0 has a negative time_from_start ({times_s[0]} s)")
    if any(len(point.accelerations) for point in message.points):
        raise TrajectoryRejected("it has accelerations, which this simulation does not execute")
    positions = _rows(message, "positions", robot_joint_names, column_of)
    velocities = None
    if any(len(point.velocities) for point in message.points):
        velocities = _rows(message, "velocities", robot_joint_names, column_of)
        if np.abs(velocities[-1]).max() > STILL:
            raise TrajectoryRejected(f"its last velocity is {np.abs(velocities[-1]).max()}, and must be 0")
    stamp_s = seconds(message.header.stamp)
    if stamp_s > 0 and stamp_s + times_s[-1] < now_s:
        raise TrajectoryRejected(f"it ended {now_s - stamp_s - times_s[-1]:.3f} s before it arrived")
    return Trajectory(times_s + (stamp_s if stamp_s > 0 else now_s), positions, velocities)


def _rows(message, field, robot_joint_names, column_of):
    """The field of every point, in the robot's order of joints. Raises TrajectoryRejected."""
    rows = []
    for index, point in enumerate(message.points):
        values = getattr(point, field)
        if len(values) != len(robot_joint_names):
            raise TrajectoryRejected(f"point {index} has {len(values)} {field} for {len(robot_joint_names)} joints")
        row = np.asarray(values, dtype=float)[column_of]
        if not np.all(np.isfinite(row)):
            joint = robot_joint_names[int(np.flatnonzero(~np.isfinite(row))[0])]
            raise TrajectoryRejected(f"point {index} has {field} of {joint} that are not finite")
        rows.append(row)
    return np.array(rows)


def columns_by_joint(message_names, robot_names):
    """For each of the robot's joints, its column in the message's positions. Raises TrajectoryRejected."""
    problems = []
    unknown = [name for name in message_names if name not in robot_names]
    missing = [name for name in robot_names if name not in message_names]
    repeated = sorted({name for name in message_names if message_names.count(name) > 1})
    if unknown:
        problems.append(f"unknown joints {unknown}")
    if missing:
        problems.append(f"missing joints {missing}")
    if repeated:
        problems.append(f"joints named more than once {repeated}")
    if problems:
        raise TrajectoryRejected("; ".join(problems))
    return [message_names.index(name) for name in robot_names]


def seconds(time):
    """Seconds of a builtin_interfaces Time or Duration."""
    return time.sec + time.nanosec * 1e-9
