import math

import numpy as np
import pytest
from builtin_interfaces.msg import Duration, Time
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from pi0_sim.joint_trajectory import TrajectoryRefused, hold, trajectory_from_message

JOINTS = ("waist", "elbow", "gripper")
STILL = np.zeros(3)


def point(seconds, positions):
    whole, fraction = divmod(seconds, 1)
    return JointTrajectoryPoint(
        positions=positions, time_from_start=Duration(sec=int(whole), nanosec=round(fraction * 1e9))
    )


def message(points, joint_names=JOINTS, stamp_s=10):
    trajectory = JointTrajectory(joint_names=list(joint_names), points=points)
    trajectory.header.stamp = Time(sec=stamp_s)
    return trajectory


def test_targets_between_two_points_lie_on_the_line_between_them():
    trajectory = trajectory_from_message(
        message([point(0.0, [0.0, 1.0, 0.5]), point(1.0, [2.0, -1.0, 0.5])]), JOINTS, 10.0, STILL
    )
    assert trajectory.target_at(10.25) == pytest.approx([0.5, 0.5, 0.5])


def test_the_points_count_from_the_stamp_and_not_from_arrival():
    trajectory = trajectory_from_message(
        message([point(0.0, [0.0, 0.0, 0.0]), point(1.0, [1.0, 1.0, 1.0])]), JOINTS, 10.5, STILL
    )
    assert trajectory.target_at(10.5) == pytest.approx([0.5, 0.5, 0.5])


def test_a_stamp_of_zero_means_arrival():
    trajectory = trajectory_from_message(
        message([point(0.0, [0.0, 0.0, 0.0]), point(1.0, [1.0, 1.0, 1.0])], stamp_s=0), JOINTS, 7.0, STILL
    )
    assert trajectory.target_at(7.5) == pytest.approx([0.5, 0.5, 0.5])


def test_the_way_to_a_first_point_ahead_starts_at_the_current_target():
    current_target = np.array([1.0, 1.0, 1.0])
    trajectory = trajectory_from_message(message([point(2.0, [3.0, 1.0, 0.0])]), JOINTS, 11.0, current_target)
    assert trajectory.target_at(11.0) == pytest.approx([1.0, 1.0, 1.0])
    assert trajectory.target_at(11.5) == pytest.approx([2.0, 1.0, 0.5])


def test_the_last_point_holds_when_nothing_is_ahead():
    trajectory = trajectory_from_message(
        message([point(0.0, [0.0, 0.0, 0.0]), point(1.0, [1.0, 2.0, 0.3])]), JOINTS, 10.0, STILL
    )
    assert trajectory.target_at(11.0) == pytest.approx([1.0, 2.0, 0.3])
    assert trajectory.target_at(99.0) == pytest.approx([1.0, 2.0, 0.3])


def test_joints_are_found_by_name_in_any_order():
    trajectory = trajectory_from_message(
        message([point(0.0, [0.3, 0.1, 0.2])], joint_names=["gripper", "waist", "elbow"]), JOINTS, 10.0, STILL
    )
    assert trajectory.target_at(10.0) == pytest.approx([0.1, 0.2, 0.3])


def test_holding_stays_at_the_positions():
    assert hold([0.1, 0.2, 0.3], 5.0).target_at(50.0) == pytest.approx([0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (message([point(0.0, [0.0] * 3)], ["waist", "elbow", "wrist"]), r"unknown joints \['wrist'\]"),
        (message([point(0.0, [0.0] * 2)], ["waist", "elbow"]), r"missing joints \['gripper'\]"),
        (message([point(0.0, [0.0] * 4)], [*JOINTS, "waist"]), r"named more than once \['waist'\]"),
        (message([]), "no points"),
        (message([point(0.0, [0.0] * 3), point(0.1, [0.0] * 2)]), "point 1 has 2 positions for 3 joints"),
        (message([point(0.0, [0.0, math.nan, 0.0])]), "point 0 has a position of elbow that is not finite"),
        (message([point(0.0, [0.0, 0.0, math.inf])]), "point 0 has a position of gripper that is not finite"),
        (message([point(0.1, [0.0] * 3), point(0.1, [0.0] * 3)]), "does not increase from point 0"),
        (message([point(-1.0, [0.0] * 3)]), "point 0 has a negative time_from_start"),
    ],
)
def test_a_trajectory_that_cannot_be_executed_is_refused_with_its_reason(refused, reason):
    with pytest.raises(TrajectoryRefused, match=reason):
        trajectory_from_message(refused, JOINTS, 10.0, STILL)
