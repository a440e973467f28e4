"""pi0_node --check on a running graph: a robot of rclpy, and the simulated robot from nothing to a picked cube."""

import json
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import rclpy
import yaml
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.parameter import Parameter
from std_msgs.msg import String
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

from pi0_sim.aloha_environment import JOINT_NAMES
from pi0_sim.skills import SKILLS
from pi0_tools.evaluation.processes import started

CHECKOUT = Path(__file__).resolve().parents[2]
NODE = CHECKOUT / "target" / "release" / "pi0_node"
CONFIGURATION = CHECKOUT / "config" / "aloha_sim.yaml"
CHECKPOINT = CHECKOUT / "checkpoints" / "aloha_sim"
TIMEOUT_S = 60
SKILL = "right_pick"


def check(*arguments):
    """Exit status and findings, each (level, subject): text."""
    command = [NODE, "--check", "--json", "--listen", "2.5", *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert answer.stdout, answer.stderr
    findings = json.loads(answer.stdout)["findings"]
    return answer.returncode, [
        (finding["level"], finding["subject"], f"{finding['found']} {finding['advice']}") for finding in findings
    ]


def texts(findings, level, subject):
    return [text for found, about, text in findings if (found, about) == (level, subject)]


def problems(findings):
    return [finding for finding in findings if finding[0] == "problem"]


WITH_PARAMETERS = (
    *(CHECKPOINT, "--ros-args", "--params-file", CONFIGURATION),
    *("-p", "use_sim_time:=false"),
)


@contextmanager
def node_of(name, **options):
    """A node of its own context that spins while the block runs."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node(name, context=context, **options)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def spin():
        with suppress(ExternalShutdownException):
            while context.ok():
                executor.spin_once(timeout_sec=0.1)

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        yield node
    finally:
        context.try_shutdown()
        thread.join()


@pytest.fixture(scope="module", autouse=True)
def built():
    assert NODE.exists(), "build the node first: make build"


def test_a_robot_that_fits_its_parameters_has_no_problems(robot_beside):
    with robot_beside(JOINT_NAMES):
        status, findings = check(*WITH_PARAMETERS)
    assert (status, problems(findings)) == (0, [])
    (camera,) = texts(findings, "ok", "camera top")
    assert "/camera/top/image_raw: rgb8 320 × 240" in camera
    assert texts(findings, "ok", "output /joint_trajectory")
    assert "14 joints" in texts(findings, "ok", "joint states")[0]


def test_what_would_keep_the_robot_from_moving_is_named(robot_beside):
    mistyped = ("-p", "cameras.top.topic:=/camera/topp/image_raw")
    with robot_beside(JOINT_NAMES), node_of("teleop") as teleop:
        commands = teleop.create_publisher(JointTrajectory, "/joint_trajectory", 10)
        description = teleop.create_publisher(String, "/robot_description", 10)
        status, findings = check(*WITH_PARAMETERS, *mistyped)
        teleop.destroy_publisher(commands)
        teleop.destroy_publisher(description)
    assert status == 1
    assert "/teleop publishes there" in texts(findings, "problem", "output /joint_trajectory")[0]
    assert "durability to volatile" in texts(findings, "problem", "/robot_description")[0]
    assert "topics of images: /camera/top/image_raw" in texts(findings, "problem", "camera top")[0]


def test_controllers_are_asked_for_their_joints(robot_beside, tmp_path):
    """As ros2_controllers': a node with a parameter for its joints, and a topic below its name."""
    file = tmp_path / "robot.yaml"

    @contextmanager
    def controller(name, joints):
        overrides = [Parameter("joints", value=joints)]
        with node_of(name, parameter_overrides=overrides, automatically_declare_parameters_from_overrides=True) as node:
            node.create_subscription(JointTrajectory, f"/{name}/joint_trajectory", lambda _: None, 1)
            yield

    left, right = list(JOINT_NAMES[:7]), list(JOINT_NAMES[7:])
    with (
        robot_beside(JOINT_NAMES),
        controller("left_controller", left),
        controller("right_controller", right[::-1]),
    ):
        check(CHECKPOINT, "--write", file)
    parameters = yaml.safe_load(file.read_text())["/**"]["ros__parameters"]
    assert parameters["outputs.left_controller.joints"] == left
    assert parameters["outputs.right_controller.joints"] == right[::-1]
    assert parameters["outputs.left_controller.topic"] == "/left_controller/joint_trajectory"


def enable():
    with node_of("person") as person:
        client = person.create_client(SetBool, "/pi0_node/enable")
        assert client.wait_for_service(TIMEOUT_S), "the node has no ~/enable"
        done = threading.Event()
        future = client.call_async(SetBool.Request(data=True))
        future.add_done_callback(lambda _: done.set())
        assert done.wait(TIMEOUT_S), "no answer of ~/enable"
        assert future.result().success, future.result().message


def test_from_nothing_to_a_picked_cube_without_a_change_of_the_file(tmp_path):
    """The first robot that a person connects: the file that was worked out, the prompt, and ~/enable."""
    file, outcomes = tmp_path / "robot.yaml", tmp_path / "outcomes.json"
    skill = SKILLS[SKILL]
    parameters = {"skill": SKILL, "episodes": 2, "episode_seconds": skill.seconds, "outcomes": outcomes}
    simulation = [sys.executable, "-m", "pi0_sim.aloha_sim", "--ros-args"]
    simulation += [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
    node = [NODE, "--ros-args", "--params-file", file, "-p", f"prompt:={json.dumps(skill.prompt)}"]
    with started("the simulation", simulation, tmp_path / "simulation.log") as robot:
        status, findings = check(CHECKPOINT, "--listen", "8", "--write", file)
        assert (status, problems(findings)) == (0, []), file.read_text()
        with started("the node", node, tmp_path / "node.log"):
            enable()
            robot.process.wait(TIMEOUT_S)
    kept = [outcome["kept"] for outcome in json.loads(outcomes.read_text())]
    assert any(SKILL in skills for skills in kept), (kept, file.read_text())
