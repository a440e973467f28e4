"""A node to test, a robot for it to move, and clients of its action in processes of their own."""

import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, Queue

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import SetParameters
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from pi0_tools.evaluation.processes import started

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
NODE = CHECKOUT / "target" / "release" / "pi0_node"
CONFIGURATION = CHECKOUT / "config" / "aloha_sim.yaml"
CHECKPOINT = CHECKOUT / "checkpoints" / "aloha_sim"
TIMEOUT_S = 60
ARM = [0.0, -0.96, 1.16, 0.0, -0.3, 0.0, 0.5]


def wait_until(condition, what, timeout_s=TIMEOUT_S):
    """The first value of condition() that is true."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not in {timeout_s} s: {what}"
        time.sleep(0.02)
    return value


class FollowingRobot:
    """A robot that is where its trajectory says, and a person who calls the node's services."""

    def __init__(self, joint_names):
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("robot", context=self.context)
        self.joint_names = joint_names
        self.positions = np.array(ARM + ARM)[: len(joint_names)]
        self.trajectory = None
        self.statuses = {}
        self.follows = True
        self.sees = True
        self.reports = True
        self._images = self.node.create_publisher(Image, "/camera/top/image_raw", qos_profile_sensor_data)
        self._joint_states = self.node.create_publisher(JointState, "/joint_states", 10)
        self.prompts = self.node.create_publisher(String, "/prompt", 10)
        self.node.create_subscription(JointTrajectory, "/joint_trajectory", self._command, 1)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._look, 10)
        self.node.create_timer(0.02, self._publish_joints)
        self.node.create_timer(0.1, self._publish_image)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def close(self):
        self.context.try_shutdown()
        self._thread.join()

    def _spin(self):
        with suppress(ExternalShutdownException):
            while self.context.ok():
                self._executor.spin_once(timeout_sec=0.1)

    def _now(self):
        return self.node.get_clock().now()

    def _command(self, trajectory):
        self.trajectory = trajectory

    def _look(self, message):
        for status in message.status:
            self.statuses[status.name] = {pair.key: pair.value for pair in status.values}

    def _publish_joints(self):
        if self.follows and self.trajectory is not None:
            stamp = self.trajectory.header.stamp
            since_s = self._now().nanoseconds * 1e-9 - (stamp.sec + stamp.nanosec * 1e-9)
            points = self.trajectory.points
            times = [point.time_from_start.sec + point.time_from_start.nanosec * 1e-9 for point in points]
            positions = np.array([point.positions for point in points])
            self.positions = np.array([np.interp(since_s, times, joint) for joint in positions.T])
        if self.reports:
            message = JointState(name=self.joint_names, position=self.positions.tolist())
            message.header.stamp = self._now().to_msg()
            self._joint_states.publish(message)

    def _publish_image(self):
        if self.sees:
            message = Image(width=320, height=240, step=960, encoding="rgb8", data=bytes(320 * 240 * 3))
            message.header.stamp = self._now().to_msg()
            self._images.publish(message)

    def wait_until(self, condition, what):
        return wait_until(condition, what)

    def wait_for_hold(self, code, timeout_s=TIMEOUT_S):
        wait_until(lambda: self.hold() == code, f"the hold {code!r}", timeout_s)

    def hold(self):
        """Code of the hold reason; empty while the robot moves, None before the first report."""
        return self.statuses.get("pi0_node: control", {}).get("hold")

    def is_commanded_to_rest(self):
        points = [point.positions.tolist() for point in self.trajectory.points]
        return all(point == points[0] for point in points)

    def call(self, service_type, service, request):
        client = self.node.create_client(service_type, f"/pi0_node/{service}")
        try:
            assert client.wait_for_service(TIMEOUT_S), f"the node has no {service}"
            return self.answer(client, request)
        finally:
            self.node.destroy_client(client)

    def answer(self, client, request):
        """The answer to one request of a client that stays."""
        answered = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: answered.set())
        assert answered.wait(TIMEOUT_S), f"no answer of {client.srv_name}"
        return future.result()

    def trigger(self, service):
        return self.call(Trigger, service, Trigger.Request())

    def enable(self, enabled):
        return self.call(SetBool, "enable", SetBool.Request(data=enabled))

    def set(self, **values):
        parameters = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        answer = self.call(SetParameters, "set_parameters", SetParameters.Request(parameters=parameters))
        assert all(result.successful for result in answer.results), answer.results


class ActionClientProcess:
    """A client of ~/run_policy in a process of its own; what happens to its goal comes as a line each."""

    def __init__(self, **goal):
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "run_policy_client.py"), json.dumps(goal)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.feedback = []
        self._events = Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            event = json.loads(line)
            if "feedback" in event:
                self.feedback.append(event["feedback"])
            else:
                self._events.put(event)

    def _next(self, key):
        try:
            event = self._events.get(timeout=TIMEOUT_S)
        except Empty:
            raise AssertionError(f"no {key} in {TIMEOUT_S} s") from None
        assert key in event, event
        return event[key]

    def accepted(self):
        return self._next("accepted")

    def until_playing(self):
        """Feedback of a run that has played something."""
        plays = ("playing", True)
        return wait_until(
            lambda: [one for one in self.feedback if (one["status"], one["published_actions"] > 0) == plays],
            "feedback of a run that plays",
        )[-1]

    def result(self):
        """Status of the goal (action_msgs/GoalStatus) and the fields of its result."""
        result = self._next("result")
        return result.pop("status"), result

    def cancel(self):
        """Return code of action_msgs/srv/CancelGoal."""
        self._ask("cancel")
        return self._next("cancelled")

    def leave(self):
        """Ends without a word about its goal, but leaves the network in order."""
        self._ask("leave")
        self.process.wait(TIMEOUT_S)

    def _ask(self, word):
        print(word, file=self.process.stdin, flush=True)

    def close(self):
        self.process.kill()
        self.process.wait()
        self._reader.join()


@pytest.fixture(scope="session")
def node_command():
    """The node with the simulated robot's configuration on the system's clock."""
    assert NODE.exists(), "build the node first: make build"
    own = ["-p", f"checkpoint:={CHECKPOINT}", "-p", "use_sim_time:=false"]
    return [NODE, "--ros-args", "--params-file", CONFIGURATION, *own]


@pytest.fixture(scope="session")
def start_node(node_command):
    """Starts the node with more arguments."""

    @contextmanager
    def start(log, *arguments):
        with started("the node", [*node_command, *arguments], log) as process:
            yield process

    return start


@pytest.fixture(scope="session")
def robot_beside():
    """A robot that moves while the block runs."""

    @contextmanager
    def beside(joint_names):
        robot = FollowingRobot(joint_names)
        try:
            yield robot
        finally:
            robot.close()

    return beside


@pytest.fixture
def send_goal():
    """Sends a goal of ~/run_policy from a process of its own, which ends with the test."""
    clients = []

    def send(**goal):
        clients.append(ActionClientProcess(**goal))
        return clients[-1]

    yield send
    for client in clients:
        client.close()
