"""Cameras and joint states that fail in every way while the robot moves."""

import math
import time

import pytest
from rclpy.duration import Duration
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState

FAULT_S = 1.5


def image(robot, behind_s=0.0, **fields):
    values = {"width": 320, "height": 240, "step": 960, "encoding": "rgb8", "data": bytes(320 * 240 * 3), **fields}
    message = Image(**values)
    message.header.stamp = (robot.node.get_clock().now() - Duration(seconds=behind_s)).to_msg()
    return message


def joints(robot, behind_s=0.0, **fields):
    values = {"name": robot.joint_names, "position": robot.positions.tolist(), **fields}
    message = JointState(**values)
    message.header.stamp = (robot.node.get_clock().now() - Duration(seconds=behind_s)).to_msg()
    return message


def positions_with(robot, value):
    return [value, *robot.positions.tolist()[1:]]


def at_once(message):
    """The same message again and again."""
    kept = []

    def same(robot):
        kept.append(message(robot)) if not kept else None
        return kept[0]

    return same


def in_turn(*messages):
    calls = iter(range(10**9))
    return lambda robot: messages[next(calls) % len(messages)](robot)


def of_any(message):
    """Faults that every input has; message: its good message, as behind as asked."""
    return {
        "nothing": lambda: None,
        "the same message again": lambda: at_once(message),
        "stamped an hour ago": lambda: lambda robot: message(robot, 3600),
        "stamped in an hour": lambda: lambda robot: message(robot, -3600),
        "out of order": lambda: in_turn(message, lambda robot: message(robot, 0.3)),
    }


# What is published in the place of the camera, or None for nothing. Each is a new generator of messages.
CAMERA = of_any(image) | {
    "empty": lambda: lambda robot: image(robot, width=0, height=0, step=0, data=b""),
    "bytes missing": lambda: lambda robot: image(robot, data=bytes(1000)),
    "larger than its bytes": lambda: lambda robot: image(robot, width=2**31, height=2**31, step=2**32 - 1),
    "unknown encoding": lambda: lambda robot: image(robot, encoding="thermal"),
    "other size and encoding": lambda: in_turn(
        image, lambda robot: image(robot, width=640, height=480, step=640, encoding="mono8", data=bytes(640 * 480))
    ),
}
JOINTS = of_any(joints) | {
    "no number": lambda: lambda robot: joints(robot, position=positions_with(robot, math.nan)),
    "infinite": lambda: lambda robot: joints(robot, position=positions_with(robot, -math.inf)),
    "subnormal": lambda: lambda robot: joints(robot, position=positions_with(robot, 5e-324)),
    "huge": lambda: lambda robot: joints(robot, position=positions_with(robot, 1e308)),
    "without positions": lambda: lambda robot: joints(robot, position=[]),
    "a joint missing": lambda: (
        lambda robot: joints(robot, name=robot.joint_names[1:], position=robot.positions.tolist()[1:])
    ),
    "a joint twice": lambda: (
        lambda robot: joints(
            robot, name=[*robot.joint_names, robot.joint_names[0]], position=[*robot.positions.tolist(), 3.0]
        )
    ),
    "jumps by a radian": lambda: in_turn(
        joints, lambda robot: joints(robot, position=positions_with(robot, float(robot.positions[0]) + 1.0))
    ),
}


@pytest.fixture(scope="module")
def moving(start_node, robot_beside, joint_names, tmp_path_factory):
    with start_node(tmp_path_factory.mktemp("node") / "log") as process, robot_beside(joint_names) as robot:
        yield process, robot


def inject(robot, topic, message_type, make, period_s):
    """Publishes on the topic for a time; returns the holds that were seen, each once, in their order."""
    publisher = robot.node.create_publisher(message_type, topic, qos_profile_sensor_data)
    holds = []
    until = time.monotonic() + FAULT_S
    try:
        while time.monotonic() < until:
            if make is not None:
                publisher.publish(make(robot))
            time.sleep(period_s)
            if (hold := robot.hold()) and hold not in holds:
                holds.append(hold)
    finally:
        robot.node.destroy_publisher(publisher)
    return holds


def suffers(moving, watch, record_property, topic, message_type, make, period_s, flag):
    process, robot = moving
    robot.wait_until(lambda: robot.hold() == "", "a robot that moves")
    commands = watch(robot)
    setattr(robot, flag, False)
    try:
        holds = inject(robot, topic, message_type, make, period_s)
    finally:
        setattr(robot, flag, True)
    began = time.monotonic()
    robot.wait_until(lambda: robot.hold() == "", "a robot that moves again")
    record_property("holds", holds)
    record_property("moves_again_s", round(time.monotonic() - began, 2))
    assert process.exit_status() is None, process.failure("the node ended")
    commands.check(record_property)


@pytest.mark.faults
@pytest.mark.parametrize("fault", CAMERA)
def test_a_camera_that_fails_never_makes_the_robot_jump_and_it_goes_on_afterwards(
    moving, watch, record_property, fault
):
    topic = "/camera/top/image_raw"
    suffers(moving, watch, record_property, topic, Image, CAMERA[fault](), 0.1, "sees")


@pytest.mark.faults
@pytest.mark.parametrize("fault", JOINTS)
def test_joint_states_that_fail_never_make_the_robot_jump_and_it_goes_on_afterwards(
    moving, watch, record_property, fault
):
    suffers(moving, watch, record_property, "/joint_states", JointState, JOINTS[fault](), 0.02, "reports")
