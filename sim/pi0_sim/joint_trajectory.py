"""What a JointTrajectory message asks of the robot at a moment, as plain functions of times and positions."""

from dataclasses import dataclass

import numpy as np


class TrajectoryRefused(ValueError):
    """The message cannot be executed; the text says why, naming what was found and what was expected."""


@dataclass(frozen=True)
class Trajectory:
    """Joint targets over time, in the robot's own joint order.

    times_s: shape (points,), strictly increasing, in seconds of simulated time.
    positions: shape (points, joints), radians; grippers from 0 (closed) to 1 (open).
    """

    times_s: np.ndarray
    positions: np.ndarray

    def target_at(self, time_s):
        """The joint targets, shape (joints,), at a simulated time in seconds.

        Linear between points; before the first point and after the last the nearest one holds.
        """
        following = np.searchsorted(self.times_s, time_s, side="right")
        if following == 0:
            return self.positions[0].copy()
        if following == len(self.times_s):
            return self.positions[-1].copy()
        start_s, end_s = self.times_s[following - 1 : following + 1]
        start, end = self.positions[following - 1 : following + 1]
        return start + (end - start) * ((time_s - start_s) / (end_s - start_s))


def hold(positions, time_s):
    """A trajectory that stays at the positions, shape (joints,)."""
    return Trajectory(np.array([time_s], dtype=float), np.array([positions], dtype=float))


def trajectory_from_message(message, robot_joint_names, now_s, current_target):
    """Reads a trajectory_msgs/JointTrajectory that arrived at the simulated time now_s, in seconds.

    Joints are found by name, in any order. The points count from header.stamp; a stamp of zero means arrival, as in
    ros2_controllers' joint_trajectory_controller. Where all points lie ahead of now_s, the robot moves linearly from
    current_target, shape (joints,), to the first.
    Raises TrajectoryRefused when the message cannot be executed as a whole.
    """
    column_of = columns_by_joint(list(message.joint_names), list(robot_joint_names))
    if not message.points:
        raise TrajectoryRefused("it has no points")
    offsets_s = []
    positions = []
    for index, point in enumerate(message.points):
        if len(point.positions) != len(robot_joint_names):
            raise TrajectoryRefused(
                f"point {index} has {len(point.positions)} positions for {len(robot_joint_names)} joints"
            )
        row = np.asarray(point.positions, dtype=float)[column_of]
        if not np.all(np.isfinite(row)):
            joint = robot_joint_names[int(np.flatnonzero(~np.isfinite(row))[0])]
            raise TrajectoryRefused(f"point {index} has a position of {joint} that is not finite")
        offset_s = seconds(point.time_from_start)
        if offset_s < 0:
            raise TrajectoryRefused(f"point {index} has a negative time_from_start ({offset_s} s)")
        if offsets_s and offset_s <= offsets_s[-1]:
            raise TrajectoryRefused(
                f"time_from_start does not increase from point {index - 1} ({offsets_s[-1]} s) "
                f"to point {index} ({offset_s} s)"
            )
        offsets_s.append(offset_s)
        positions.append(row)

    stamp_s = seconds(message.header.stamp)
    times_s = np.array(offsets_s) + (stamp_s if stamp_s > 0 else now_s)
    if times_s[0] > now_s:
        times_s = np.concatenate([[now_s], times_s])
        positions.insert(0, np.asarray(current_target, dtype=float))
    return Trajectory(times_s, np.array(positions))


def columns_by_joint(message_names, robot_names):
    """For each of the robot's joints, its column in the message's positions. Raises TrajectoryRefused."""
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
        raise TrajectoryRefused("; ".join(problems))
    return [message_names.index(name) for name in robot_names]


def seconds(time):
    """Seconds of a builtin_interfaces Time or Duration."""
    return time.sec + time.nanosec * 1e-9
