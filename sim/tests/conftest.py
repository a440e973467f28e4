"""A simulated robot as a process, seen over ROS 2."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, Int32

TIMEOUT_S = 60


def command(module, parameters):
    settings = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
    return [sys.executable, "-m", module, "--ros-args", *settings]


class RobotProcess:
    """A running simulation, and all that it has published since."""

    def __init__(self, log_path, module, parameters):
        self.node = rclpy.create_node("robot_test")
        self.log_path = log_path
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.joint_states = self.received(JointState, "/joint_states", 10)
        self.clocks = self.received(Clock, "/clock", 10)
        self.episodes = self.received(Int32, "/episode", latched)
        self.reward_max = self.received(Float64MultiArray, "/reward_max", latched)
        with open(log_path, "w") as log:
            self.process = subprocess.Popen(command(module, parameters), stdout=log, stderr=subprocess.STDOUT)
        self.wait_until(lambda: self.joint_states)

    def received(self, message_type, topic, qos=10):
        """A list to which every message of a topic is added from now on."""
        messages = []
        self.node.create_subscription(message_type, topic, messages.append, qos)
        return messages

    def publisher(self, message_type, topic):
        """One that the robot listens to already."""
        publisher = self.node.create_publisher(message_type, topic, 10)
        self.wait_until(lambda: publisher.get_subscription_count() > 0)
        return publisher

    def wait_until(self, condition):
        deadline = time.monotonic() + TIMEOUT_S
        while not condition():
            rclpy.spin_once(self.node, timeout_sec=0.05)
            assert time.monotonic() < deadline, self.log_path.read_text()

    def position(self):
        return np.array(self.joint_states[-1].position)

    def simulated_s(self):
        return self.joint_states[-1].header.stamp.sec + self.joint_states[-1].header.stamp.nanosec * 1e-9

    def wait_simulated_seconds(self, seconds):
        end_s = self.simulated_s() + seconds
        self.wait_until(lambda: self.simulated_s() >= end_s)

    def close(self):
        # One that is killed leaves what it shares with this process as it was in the middle of a message.
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.node.destroy_node()


@pytest.fixture
def start_process(tmp_path):
    """start_process(module, **parameters) starts a simulated robot."""
    rclpy.init()
    robots = []

    def start(module, **parameters):
        robots.append(RobotProcess(tmp_path / "robot.log", module, parameters))
        return robots[-1]

    yield start
    for robot in robots:
        robot.close()
    rclpy.shutdown()


@pytest.fixture
def refused():
    """refused(module, **parameters) is what a simulated robot says that ends at once with a status other than 0."""

    def run(module, **parameters):
        finished = subprocess.run(command(module, parameters), capture_output=True, text=True, timeout=TIMEOUT_S)
        assert finished.returncode != 0
        return finished.stderr

    return run
