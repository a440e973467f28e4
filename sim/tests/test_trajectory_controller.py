import numpy as np
import pytest
from builtin_interfaces.msg import Duration, Time
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from pi0_sim.trajectory_controller import TrajectoryController

STEP_S = 0.02


def message(stamp_s, *points):
    """points: seconds from the start and the position of the one joint."""

    def duration(seconds):
        return {"sec": int(seconds), "nanosec": round(seconds % 1 * 1e9)}

    def point(from_start_s, position):
        return JointTrajectoryPoint(positions=[position], time_from_start=Duration(**duration(from_start_s)))

    trajectory = JointTrajectory(joint_names=["waist"], points=[point(*one) for one in points])
    trajectory.header.stamp = Time(**duration(stamp_s))
    return trajectory


def controller(**parameters):
    return TrajectoryController(["waist"], [0.0], 10.0, **parameters)


def desired(waist, now_s, measured=0.0):
    (position,) = waist.desired(now_s, [measured])
    return pytest.approx(position, abs=1e-6)


def test_a_rejected_message_is_counted_and_the_one_before_goes_on():
    waist = controller()
    assert waist.receive(message(10.0, (0.0, 0.0), (1.0, 1.0)), 10.0)
    assert not waist.receive(message(10.1, (0.0, 0.1)), 10.3)
    assert (waist.accepted, waist.rejected) == (1, 1)
    assert "ended 0.200 s before it arrived" in waist.last_rejection
    assert desired(waist, 10.5) == 0.5


def test_an_accepted_message_replaces_the_whole_trajectory_at_once():
    waist = controller()
    waist.receive(message(10.0, (0.0, 0.0), (1.0, 1.0)), 10.0)
    assert desired(waist, 10.5) == 0.5
    waist.receive(message(10.5, (0.0, 0.8), (0.5, 0.8)), 10.5)
    assert desired(waist, 10.5) == 0.8


def test_until_a_first_point_ahead_it_moves_from_where_it_is_measured():
    waist = controller()
    waist.receive(message(10.0, (1.0, 1.0)), 10.0)
    assert desired(waist, 10.0, measured=0.4) == 0.4
    assert desired(waist, 10.5, measured=9.0) == 0.7
    # Anew at every message.
    waist.receive(message(10.0, (1.0, 1.0)), 10.5)
    assert desired(waist, 10.5, measured=0.2) == 0.2


def test_a_start_in_the_past_leaves_the_measured_position_out():
    waist = controller()
    waist.receive(message(9.96, (0.0, 0.0), (0.04, 0.1), (0.24, 0.5)), 10.0)
    assert desired(waist, 10.0, measured=9.0) == 0.1


@pytest.mark.parametrize("skew_s", [-0.02, 0.02])
def test_a_clock_that_is_skewed_finds_another_moment_of_the_trajectory(skew_s):
    waist = controller(clock_skew_s=skew_s)
    waist.receive(message(9.9, (0.0, 0.0), (1.0, 1.0)), 10.0)
    assert desired(waist, 10.1) == 0.2 + skew_s


def test_a_hold_of_one_point_is_rejected_by_a_clock_that_is_ahead():
    waist = controller(clock_skew_s=0.02)
    assert not waist.receive(message(10.0, (0.0, 0.0)), 10.0)
    assert waist.receive(message(10.0, (0.0, 0.0), (0.2, 0.0)), 10.0)


@pytest.mark.parametrize("lag_s", [0.0, 0.04, 0.05])
def test_the_hardware_gets_what_was_desired_a_lag_ago(lag_s):
    waist = controller(lag_s=lag_s)
    waist.receive(message(10.0, (0.0, 0.0), (1.0, 1.0)), 10.0)
    commands = [waist.command(10.0 + STEP_S * step, [0.0])[0] for step in range(20)]
    expected = np.maximum(STEP_S * np.arange(20) - lag_s, 0.0)
    assert commands == pytest.approx(expected.tolist())


def test_a_robot_that_is_put_elsewhere_has_no_trajectory_and_keeps_its_counts():
    waist = controller()
    waist.receive(message(10.0, (0.0, 0.0), (1.0, 1.0)), 10.0)
    waist.hold([0.7], 10.2)
    assert desired(waist, 10.9) == 0.7
    assert waist.accepted == 1
