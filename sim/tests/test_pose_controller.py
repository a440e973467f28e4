import re

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, TwistStamped
from scipy.spatial.transform import Rotation

from pi0_sim.pose import Pose
from pi0_sim.pose_controller import BASE_FRAME, TWIST_TIMEOUT_S, PoseController, TwistController

DOWN = np.array([1.0, 0.0, 0.0, 0.0])


def pose_message(position, quaternion=DOWN, frame=BASE_FRAME):
    message = PoseStamped()
    message.header.frame_id = frame
    message.pose.position.x, message.pose.position.y, message.pose.position.z = map(float, position)
    orientation = message.pose.orientation
    orientation.x, orientation.y, orientation.z, orientation.w = map(float, quaternion)
    return message


def twist_message(linear, angular=(0, 0, 0), frame=BASE_FRAME):
    message = TwistStamped()
    message.header.frame_id = frame
    message.twist.linear.x, message.twist.linear.y, message.twist.linear.z = map(float, linear)
    message.twist.angular.x, message.twist.angular.y, message.twist.angular.z = map(float, angular)
    return message


def twists_from(position):
    return TwistController(lambda: Pose(np.array(position, dtype=float), DOWN))


def test_a_pose_that_stops_coming_stays_the_target():
    controller = PoseController()
    assert controller.receive(pose_message([0.5, 0.1, 0.2]), 1.0)
    assert controller.target(100.0).position_m == pytest.approx([0.5, 0.1, 0.2])


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (pose_message([0.5, np.nan, 0.2]), "its position is .* must be finite"),
        (pose_message([0.5, 0.1, 0.2], [0, 0, 0, 0]), "its quaternion has the length 0.000, and must have 1"),
        (pose_message([0.5, 0.1, 0.2], [np.inf, 0, 0, 0]), "its orientation is .* must be finite"),
        (pose_message([0.5, 0.1, 0.2], frame="world"), "its frame is 'world', and must be 'panda_link0' or empty"),
    ],
)
def test_a_pose_that_makes_no_sense_is_rejected_with_its_reason_and_the_one_before_stays(message, reason):
    controller = PoseController()
    controller.receive(pose_message([0.4, 0.0, 0.3]), 1.0)
    assert not controller.receive(message, 1.1)
    assert (controller.accepted, controller.rejected) == (1, 1)
    assert re.search(reason, controller.last_rejection)
    assert controller.target(1.1).position_m == pytest.approx([0.4, 0.0, 0.3])


def test_a_twist_moves_the_target_from_where_the_tool_is_by_its_velocity():
    controller = twists_from([0.5, 0.0, 0.2])
    controller.receive(twist_message([0.1, 0.0, -0.2], [0, 0, 0.5]), 1.0)
    target = controller.target(1.05)
    assert target.position_m == pytest.approx([0.505, 0.0, 0.19])
    turned = target.rotation * Rotation.from_quat(DOWN).inv()
    assert turned.as_rotvec() == pytest.approx([0, 0, 0.025])


def test_a_twist_that_stops_coming_stops_the_target():
    controller = twists_from([0.5, 0.0, 0.2])
    controller.receive(twist_message([0.1, 0.0, 0.0]), 1.0)
    assert controller.target(9.0).position_m == pytest.approx([0.5 + 0.1 * TWIST_TIMEOUT_S, 0.0, 0.2])


def test_twists_that_follow_each_other_are_integrated_without_a_gap():
    controller = twists_from([0.5, 0.0, 0.2])
    for step in range(50):
        controller.receive(twist_message([0.1, 0.0, 0.0]), step * 0.02)
    assert controller.target(1.0).position_m == pytest.approx([0.6, 0.0, 0.2])


def test_after_another_kind_of_command_a_twist_starts_where_the_tool_then_is():
    places = iter([np.array([0.5, 0.0, 0.2]), np.array([0.3, 0.0, 0.2])])
    controller = TwistController(lambda: Pose(next(places), DOWN))
    controller.receive(twist_message([0.1, 0.0, 0.0]), 1.0)
    controller.forget()
    controller.receive(twist_message([0.0, 0.0, 0.0]), 2.0)
    assert controller.target(2.0).position_m == pytest.approx([0.3, 0.0, 0.2])


def test_a_twist_in_another_frame_or_not_finite_is_rejected():
    controller = twists_from([0.5, 0.0, 0.2])
    assert not controller.receive(twist_message([0.1, 0.0, 0.0], frame="grip_site"), 1.0)
    assert "its frame is 'grip_site'" in controller.last_rejection
    assert not controller.receive(twist_message([0.1, 0.0, 0.0], [0, np.nan, 0]), 1.0)
    assert "its angular velocity is" in controller.last_rejection
