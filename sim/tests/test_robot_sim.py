import threading
import time
from types import SimpleNamespace

import pytest
import rclpy
from rclpy.node import Node
from std_msgs.msg import Int32

from pi0_sim.robot_sim import run

STEPS = 20


class LateRobot(Node):
    """A robot with two topics of commands, to each of which one comes in every step; it is always behind its pace."""

    STEP_SECONDS = 0.02
    parameters = SimpleNamespace(real_time_factor=1e9)

    def __init__(self):
        super().__init__("late_robot")
        self.received = {"/arm": [], "/gripper": []}
        self._steps = 0
        self._commands = []
        for topic, messages in self.received.items():
            self.create_subscription(Int32, topic, messages.append, 10)
            self._commands.append(self.create_publisher(Int32, topic, 10))

    def step(self):
        self._steps += 1
        for publisher in self._commands:
            publisher.publish(Int32(data=self._steps))
        # Until the messages are there.
        time.sleep(0.02)
        return self._steps < STEPS


@pytest.fixture
def robot():
    rclpy.init()
    robot = LateRobot()
    yield robot
    robot.destroy_node()
    rclpy.shutdown()


def test_a_simulation_that_is_late_takes_a_message_of_every_topic_in_each_step(robot):
    assert run(robot, threading.Event())
    assert all(len(messages) > 0.8 * STEPS for messages in robot.received.values()), robot.received
