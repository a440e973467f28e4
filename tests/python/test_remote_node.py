"""The node with device remote: with a server that is none of ours, and while either side is killed."""

import json
import os
import signal
import sys
import time
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory

from pi0_sim.aloha_environment import JOINT_NAMES
from pi0_tools import CHECKOUT
from pi0_tools.evaluation.policy_server import policy_server
from pi0_tools.evaluation.processes import started
from pi0_tools.evaluation.steady_server import STEP_RAD

NODE = CHECKOUT / "target/release/pi0_node"
CONFIGURATION = CHECKOUT / "config/aloha_sim.yaml"
ARM = [0.0, -0.96, 1.16, 0.0, -0.3, 0.0, 1.0]
TIMEOUT_S = 30.0
MAX_AGE_S = 0.5
STOP_S = 0.2
# Of a message on this machine, beside other work.
DELAY_S = 0.3


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
            if status.name == "pi0_node: control":
                values = {pair.key: pair.value for pair in status.values}
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


@pytest.fixture
def robot():
    rclpy.init()
    try:
        yield ObedientRobot()
    finally:
        rclpy.shutdown()


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


@contextmanager
def steady_server(log_path, port=0):
    command = [sys.executable, "-m", "pi0_tools.evaluation.steady_server", "--port", port]
    with started("the server", command, log_path) as server:
        deadline = time.monotonic() + TIMEOUT_S
        while not (text := log_path.read_text()).endswith("\n"):
            if time.monotonic() > deadline or server.exit_status() is not None:
                raise server.failure("the server did not start")
            time.sleep(0.02)
        yield server, json.loads(text.splitlines()[0])["address"]


def kill(process):
    os.killpg(process.process.pid, signal.SIGKILL)
    process.process.wait()


def test_a_server_that_is_none_of_ours_moves_the_robot_as_it_says(robot, tmp_path):
    with (
        steady_server(tmp_path / "server") as (_, address),
        remote_node(tmp_path / "node", address) as node,
    ):
        robot.until(robot.moves_after(time.monotonic() + 1.0), node)
        assert robot.speed == pytest.approx(50 * STEP_RAD, rel=0.3)
        assert robot.positions[0] > 10 * STEP_RAD
        assert np.abs(robot.positions[1:]).max() < 1e-3


def test_a_killed_server_holds_the_robot_and_the_next_one_moves_it_again(robot, tmp_path):
    with ExitStack() as servers, ExitStack() as programs:
        server, address = servers.enter_context(steady_server(tmp_path / "server"))
        node = programs.enter_context(remote_node(tmp_path / "node", address))
        robot.until(robot.moves_after(time.monotonic() + 0.5), node)
        killed_at = time.monotonic()
        kill(server)
        robot.listen(MAX_AGE_S + STOP_S + DELAY_S)
        held_from = time.monotonic()
        robot.until(lambda: robot.hold == "SERVER_LOST", node)
        assert address in robot.hold_detail
        assert robot.moved_at - killed_at < MAX_AGE_S + STOP_S + DELAY_S
        before = robot.trajectories
        robot.listen(1.0)
        assert robot.moved_at < held_from, "it moves though there is no server"
        assert robot.trajectories > before, "it holds"
        servers.enter_context(steady_server(tmp_path / "again", address.rsplit(":", 1)[1]))
        robot.until(robot.moves_after(time.monotonic()), node)
        robot.until(lambda: robot.hold == "", node)


def test_a_server_that_hangs_is_given_up_and_found_again_when_it_goes_on(robot, tmp_path):
    with (
        steady_server(tmp_path / "server") as (server, address),
        remote_node(tmp_path / "node", address) as node,
    ):
        robot.until(robot.moves_after(time.monotonic() + 0.5), node)
        stopped_at = time.monotonic()
        os.killpg(server.process.pid, signal.SIGSTOP)
        robot.listen(2 * MAX_AGE_S + STOP_S + DELAY_S)
        assert robot.moved_at - stopped_at < MAX_AGE_S + STOP_S + DELAY_S
        robot.until(lambda: robot.hold == "SERVER_LOST", node)
        os.killpg(server.process.pid, signal.SIGCONT)
        robot.until(robot.moves_after(time.monotonic()), node)


def test_a_killed_node_leaves_the_server_to_the_next_one(robot, tmp_path):
    # Where the shipped policy begins.
    robot.positions = np.array(ARM + ARM)
    with policy_server(tmp_path / "server") as (server, address):
        for attempt in range(2):
            with remote_node(tmp_path / f"node_{attempt}", address) as node:
                begin = robot.trajectories
                robot.until(lambda begin=begin: robot.trajectories > begin + 20, node)
                robot.until(lambda: robot.hold == "", node)
                kill(node)
            robot.hold = None
        assert server.exit_status() is None


@pytest.mark.parametrize(
    ("server", "words"),
    [("ws://127.0.0.1:9", "no policy from the server ws://127.0.0.1:9"), ("gpu:8000", "expected ws://host:port")],
)
def test_a_node_without_its_server_does_not_start_and_says_why(robot, tmp_path, server, words):
    with remote_node(tmp_path / "node", server) as node:
        assert node.process.wait(timeout=TIMEOUT_S) == 1
    assert words in (tmp_path / "node").read_text()
