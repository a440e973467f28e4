"""A robot that does what a node with device remote tells it, the node, and a server that is none of ours."""

import time
from contextlib import contextmanager

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory

from pi0_sim.aloha_environment import JOINT_NAMES
from pi0_tools import CHECKOUT
from pi0_tools.evaluation.foreign_server import foreign_server
from pi0_tools.evaluation.processes import started

NODE = CHECKOUT / "target/release/pi0_node"
CONFIGURATION = CHECKOUT / "config/aloha_sim.yaml"
# Where the shipped policy begins.
BEGIN = [0.0, -0.96, 1.16, 0.0, -0.3, 0.0, 1.0] * 2
TIMEOUT_S = 30.0
MAX_AGE_S = 0.5


class ObedientRobot(Node):
    """Is where it is told to be at once, and shows a grey picture."""

    def __init__(self):
        super().__init__("robot")
        self.positions = np.zeros(len(JOINT_NAMES))
        # When the newest trajectory came whose points are not all the same.
        self.moved_at = None
        self.trajectories = 0
        self.speed = 0.0
        self.hold = None
        self.hold_detail = ""
        # Values of the node's newest diagnostics, by their keys.
        self.diagnostics = {}
        self._joint_states = self.create_publisher(JointState, "/joint_states", 10)
        self._images = self.create_publisher(Image, "/camera/top/image_raw", 2)
        self.create_subscription(JointTrajectory, "/joint_trajectory", self._follow, 10)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._diagnose, 10)
        self.create_timer(0.02, self._publish_joints)
        self.create_timer(0.1, self._publish_image)

    def _stamp(self):
        return self.get_clock().now().to_msg()

    def _publish_joints(self):
        message = JointState(name=list(JOINT_NAMES), position=self.positions.tolist())
        message.header.stamp = self._stamp()
        self._joint_states.publish(message)

    def _publish_image(self):
        message = Image(height=240, width=320, encoding="rgb8", step=960, data=bytes([90]) * (240 * 960))
        message.header.stamp = self._stamp()
        self._images.publish(message)

    def _follow(self, message):
        points = np.array([point.positions for point in message.points])
        times = [point.time_from_start.sec + point.time_from_start.nanosec * 1e-9 for point in message.points]
        start = Time(sec=message.header.stamp.sec, nanosec=message.header.stamp.nanosec)
        elapsed = (self.get_clock().now().nanoseconds - (start.sec * 10**9 + start.nanosec)) * 1e-9
        self.trajectories += 1
        self.positions = np.array([np.interp(elapsed, times, joint) for joint in points.T])
        if np.ptp(points, axis=0).max() > 1e-6:
            self.moved_at = time.monotonic()
            self.speed = (points[-1, 0] - points[0, 0]) / (times[-1] - times[0])

    def _diagnose(self, message):
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            self.diagnostics |= values
            if status.name == "pi0_node: control":
                self.hold, self.hold_detail = values["hold"], values["hold_detail"]

    def listen(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            rclpy.spin_once(self, timeout_sec=0.01)

    def until(self, condition, node):
        deadline = time.monotonic() + TIMEOUT_S
        while not condition():
            rclpy.spin_once(self, timeout_sec=0.05)
            if time.monotonic() > deadline or node.exit_status() is not None:
                raise node.failure(f"it did not happen; hold {self.hold!r}: {self.hold_detail}")

    def moves_after(self, moment):
        return lambda: self.moved_at is not None and self.moved_at > moment


@contextmanager
def remote_node(log_path, address):
    parameters = {
        "device": "remote",
        "server": address,
        "use_sim_time": "false",
        "max_age_ms": 1e3 * MAX_AGE_S,
        "server_deadline_ms": 1e3 * MAX_AGE_S,
    }
    arguments = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
    command = [NODE, "--ros-args", "--params-file", CONFIGURATION, *arguments]
    with started("the node", command, log_path) as node:
        yield node


def steady_server(log_path, port=0, host="127.0.0.1", within=()):
    """Yields the process and its address. within: a command that runs it."""
    return foreign_server(log_path, "steady_server", "--host", host, "--port", port, within=within)
