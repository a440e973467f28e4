import math

import numpy as np
import pytest
from builtin_interfaces.msg import Duration, Time
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from pi0_sim.joint_trajectory import TrajectoryRejected, trajectory_from_message

JOINTS = ("waist", "elbow", "gripper")


def point(seconds, positions, velocities=()):
    whole, fraction = divmod(seconds, 1)
    return JointTrajectoryPoint(
        positions=positions,
        velocities=list(velocities),
        time_from_start=Duration(sec=int(whole), nanosec=round(fraction * 1e9)),
    )


def message(points, joint_names=JOINTS, stamp_s=10.0):
    trajectory = JointTrajectory(joint_names=list(joint_names), points=points)
    whole, fraction = divmod(stamp_s, 1)
    trajectory.header.stamp = Time(sec=int(whole), nanosec=round(fraction * 1e9))
    return trajectory


def test_targets_between_two_points_lie_on_the_line_between_them():
    trajectory = trajectory_from_message(
        message([point(0.0, [0.0, 1.0, 0.5]), point(1.0, [2.0, -1.0, 0.5])]), JOINTS, 10.0
    )
    assert trajectory.target_at(10.25) == pytest.approx([0.5, 0.5, 0.5])


def test_the_points_count_from_the_stamp_and_not_from_arrival():
    trajectory = trajectory_from_message(
        message([point(0.0, [0.0, 0.0, 0.0]), point(1.0, [1.0, 1.0, 1.0])]), JOINTS, 10.5
    )
    assert trajectory.target_at(10.5) == pytest.approx([0.5, 0.5, 0.5])


def test_a_stamp_of_zero_means_arrival():
    trajectory = trajectory_from_message(
        message([point(0.0, [0.0, 0.0, 0.0]), point(1.0, [1.0, 1.0, 1.0])], stamp_s=0), JOINTS, 7.0
    )
    assert trajectory.target_at(7.5) == pytest.approx([0.5, 0.5, 0.5])


def test_between_points_with_velocities_the_joints_follow_a_cubic():
    both = [point(0.0, [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]), point(2.0, [2.0, 2.0, 0.0], [0.0, 0.0, 0.0])]
    trajectory = trajectory_from_message(message(both), JOINTS, 10.0)
    for seconds in (0.0, 0.3, 1.0, 1.7, 2.0):
        # The one cubic with these ends and slopes, by its coefficients.
        waist = np.linalg.solve(
            [[1, 0, 0, 0], [0, 1, 0, 0], [1, 2, 4, 8], [0, 1, 4, 12]],
            [0.0, 1.0, 2.0, 0.0],
        ) @ [1, seconds, seconds**2, seconds**3]
        elbow = 2.0 * (3 * (seconds / 2) ** 2 - 2 * (seconds / 2) ** 3)
        assert trajectory.target_at(10.0 + seconds) == pytest.approx([waist, elbow, 0.0])


def test_the_last_point_holds_when_nothing_is_ahead():
    trajectory = trajectory_from_message(
        message([point(0.0, [0.0, 0.0, 0.0]), point(1.0, [1.0, 2.0, 0.3])]), JOINTS, 10.0
    )
    assert trajectory.target_at(11.0) == pytest.approx([1.0, 2.0, 0.3])
    assert trajectory.target_at(99.0) == pytest.approx([1.0, 2.0, 0.3])


def test_joints_are_found_by_name_in_any_order():
    trajectory = trajectory_from_message(
        message([point(0.0, [0.3, 0.1, 0.2])], joint_names=["gripper", "waist", "elbow"]), JOINTS, 10.0
    )
    assert trajectory.target_at(10.0) == pytest.approx([0.1, 0.2, 0.3])


@pytest.mark.parametrize("end_s", [0.0, 0.2])
def test_a_message_that_ended_before_it_arrived_is_rejected(end_s):
    points = [point(end_s, [0.0] * 3)]
    trajectory_from_message(message(points), JOINTS, 10.0 + end_s)
    with pytest.raises(TrajectoryRejected, match=r"ended 0\.001 s before it arrived"):
        trajectory_from_message(message(points), JOINTS, 10.001 + end_s)
    trajectory_from_message(message(points, stamp_s=0.0), JOINTS, 99.0)


@pytest.mark.parametrize(
    ("rejected", "reason"),
    [
        (message([point(0.0, [0.0] * 3)], ["waist", "elbow", "wrist"]), r"unknown joints \['wrist'\]"),
        (message([point(0.0, [0.0] * 2)], ["waist", "elbow"]), r"missing joints \['gripper'\]"),
        (message([point(0.0, [0.0] * 4)], [*JOINTS, "waist"]), r"named more than once \['waist'\]"),
        (message([]), "no points"),
        (message([point(0.0, [0.0] * 3), point(0.1, [0.0] * 2)]), "point 1 has 2 positions for 3 joints"),
        (message([point(0.0, [0.0, math.nan, 0.0])]), "point 0 has positions of elbow that are not finite"),
        (message([point(0.0, [0.0, 0.0, math.inf])]), "point 0 has positions of gripper that are not finite"),
        (message([point(0.1, [0.0] * 3), point(0.1, [0.0] * 3)]), "does not increase from point 0"),
        (message([point(-1.0, [0.0] * 3)]), "point 0 has a negative time_from_start"),
        (message([point(0.1, [0.0] * 3, [0.0, 0.1, 0.0])]), r"last velocity is 0\.1"),
        (message([point(0.1, [0.0] * 3), point(0.2, [0.0] * 3, [0.0] * 3)]), "point 0 has 0 velocities for 3 joints"),
    ],
)
def test_a_message_that_the_controller_would_not_execute_is_rejected_with_its_reason(rejected, reason):
    with pytest.raises(TrajectoryRejected, match=reason):
        trajectory_from_message(rejected, JOINTS, 10.0)
