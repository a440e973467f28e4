"""The node with device remote: with a server that is none of ours, and while either side is killed."""

import os
import signal
import time
from contextlib import ExitStack

import numpy as np
import pytest
import rclpy

from pi0_tools.evaluation.policy_server import policy_server
from pi0_tools.evaluation.remote_robot import BEGIN, MAX_AGE_S, TIMEOUT_S, ObedientRobot, remote_node, steady_server
from pi0_tools.evaluation.steady_server import STEP_RAD

STOP_S = 0.2
# Of a message on this machine, beside other work.
DELAY_S = 0.3


@pytest.fixture
def robot():
    rclpy.init()
    try:
        yield ObedientRobot()
    finally:
        rclpy.shutdown()


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
    robot.positions = np.array(BEGIN)
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
