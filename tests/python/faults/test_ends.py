"""Nodes that are killed at any moment, and nodes that are started and stopped, one after the other."""

import random
import time

import pytest

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
