"""Nodes, simulators and servers that are killed at any moment, and nodes that are started and stopped in turn."""

import os
import random
import signal
import sys
import time
from contextlib import ExitStack

import pytest

from pi0_tools.evaluation.policy_server import policy_server
from pi0_tools.evaluation.processes import started

COUNT = 100


def moved_anew(robot, commands):
    """Whether a node that starts now moves the robot. A late report of the node before does not tell."""
    before = commands.count
    robot.statuses.clear()
    return lambda: commands.count > before and robot.hold() == ""


def ends_at_rest(trajectory):
    *_, before, last = trajectory.points
    return last.positions == before.positions


@pytest.mark.faults
def test_after_a_kill_at_any_moment_the_next_node_begins_where_the_robot_is(
    start_node, robot_beside, joint_names, watch, tmp_path, record_property
):
    generator = random.Random(9)
    playing = 0
    with robot_beside(joint_names) as robot:
        commands = watch(robot)
        for number in range(COUNT):
            robot.statuses.clear()
            with start_node(tmp_path / f"{number}.log") as process:
                # From loading the checkpoint to the middle of a chunk.
                if number % 2 == 0:
                    robot.wait_until(lambda: robot.hold() == "", "a robot that moves")
                time.sleep(generator.uniform(0.05, 1.0))
                assert process.exit_status() is None, process.failure("the node ended by itself")
                playing += robot.hold() == ""
                process.process.kill()
                process.process.wait()
        with start_node(tmp_path / "last.log"):
            robot.statuses.clear()
            robot.wait_until(lambda: robot.hold() == "", "a robot that moves again")
    record_property("kills", COUNT)
    record_property("while_playing", playing)
    assert playing > COUNT / 4
    commands.check(record_property)


@pytest.mark.faults
def test_a_node_ends_cleanly_each_time_it_is_told_to(
    start_node, robot_beside, joint_names, watch, tmp_path, record_property
):
    longest_s = 0.0
    with robot_beside(joint_names) as robot:
        commands = watch(robot)
        for number in range(COUNT):
            moves = moved_anew(robot, commands)
            with start_node(tmp_path / f"{number}.log") as process:
                robot.wait_until(moves, "a robot that moves")
                began = time.monotonic()
                process.stop()
                longest_s = max(longest_s, time.monotonic() - began)
                assert process.exit_status() == 0, process.failure("the node did not end cleanly")
            robot.wait_until(lambda: ends_at_rest(robot.trajectory), "a trajectory that ends at rest")
    record_property("starts", COUNT)
    record_property("longest_stop_s", round(longest_s, 2))
    commands.check(record_property)


def kill(process):
    os.killpg(process.process.pid, signal.SIGKILL)
    process.process.wait()


@pytest.mark.faults
def test_a_simulator_that_is_killed_at_any_moment_leaves_a_node_that_moves_the_next_one(
    start_node, robot_beside, joint_names, watch, tmp_path, record_property
):
    generator = random.Random(11)
    holds = set()
    command = [sys.executable, "-m", "pi0_sim.aloha_sim", "--ros-args", "-p", "episode_seconds:=1000.0"]
    with robot_beside(joint_names) as listener:
        # The robot is the simulator.
        listener.sees = listener.reports = listener.follows = False
        commands = watch(listener)
        with start_node(tmp_path / "node", "-p", "use_sim_time:=true") as node:
            for number in range(COUNT):
                with started("the simulator", command, tmp_path / f"{number}.log") as simulator:
                    # Every other one is killed before it has shown the robot, or while it does.
                    if number % 2 == 0:
                        listener.wait_until(moved_anew(listener, commands), "a robot that moves")
                    time.sleep(generator.uniform(0.05, 2.0))
                    assert simulator.exit_status() is None, simulator.failure("the simulator ended by itself")
                    kill(simulator)
                time.sleep(generator.uniform(0.0, 1.0))
                holds.add(listener.hold())
                assert node.exit_status() is None, node.failure("the node ended")
            with started("the simulator", command, tmp_path / "last.log"):
                listener.wait_until(moved_anew(listener, commands), "a robot that moves again")
    record_property("kills", COUNT)
    record_property("holds", sorted(hold for hold in holds if hold))
    commands.check(record_property)


@pytest.mark.faults
def test_a_server_that_is_killed_at_any_moment_leaves_a_robot_that_the_next_one_moves(
    start_node, robot_beside, joint_names, watch, tmp_path, record_property
):
    generator = random.Random(13)
    holds = set()
    with robot_beside(joint_names) as robot, ExitStack() as programs:
        commands = watch(robot)
        node, port = None, 0
        for number in range(COUNT + 1):
            with policy_server(tmp_path / f"{number}.log", port=port) as (server, address):
                if node is None:
                    remote = ["-p", "device:=remote", "-p", f"server:={address}"]
                    node = programs.enter_context(start_node(tmp_path / "node", *remote))
                    port = address.rsplit(":", 1)[1]
                robot.wait_until(moved_anew(robot, commands), "a robot that moves")
                time.sleep(generator.uniform(0.0, 1.0))
                kill(server)
            if number % 2 == 0:
                robot.wait_until(lambda: robot.hold(), "a hold")
                holds.add(robot.hold())
            assert node.exit_status() is None, node.failure("the node ended")
    record_property("kills", COUNT + 1)
    record_property("holds", sorted(holds))
    assert "SERVER_LOST" in holds
    commands.check(record_property)
