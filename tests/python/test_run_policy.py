"""The action ~/run_policy: rclpy clients in processes of their own, and a robot that follows."""

import signal
import time
from pathlib import Path

import pytest
import yaml
from action_msgs.msg import GoalStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from pi0_interfaces.action import RunPolicy
from std_msgs.msg import String

CHECKOUT = Path(__file__).resolve().parents[2]
CONFIGURATION = yaml.safe_load((CHECKOUT / "config" / "aloha_sim.yaml").read_text())
JOINTS = CONFIGURATION["/**"]["ros__parameters"]["joint_names"]
PROMPT = "pick up the cube with the right arm"
# The policy sees a black picture, and may begin anywhere.
ANYWHERE = ["-p", "joint_defaults.max_start_jump:=10.0", "-p", "joint_defaults.max_following_error:=10.0"]
ARGUMENTS = ["-p", "prompt:=''", *ANYWHERE]
# Fast DDS removes a participant that says nothing after its lease.
LEASE_S = 20


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("node") / "log"


@pytest.fixture(scope="module")
def module_robot(start_node, robot_beside, log):
    with start_node(log, *ARGUMENTS), robot_beside(JOINTS) as robot:
        robot.wait_for_hold("NO_CHUNK_YET")
        yield robot


@pytest.fixture
def robot(module_robot):
    """A robot that no goal moves and that nothing forbids to move, with the node's default settings."""
    robot = module_robot
    robot.follows = robot.sees = True
    robot.enable(True)
    robot.set(second_goal="refuse", goal_needs_client=False, goal_hold_limit_s=30.0, prompt="")
    robot.wait_until(lambda: robot.hold() != "", "the robot is held")
    return robot


def test_a_goal_plays_with_feedback_until_its_time_is_over_and_holds_the_robot_then(robot, send_goal):
    client = send_goal(prompt=PROMPT, max_duration_s=3.0)
    assert client.accepted()
    playing = client.until_playing()
    assert (playing["hold"], playing["input_names"]) == ("", ["camera top", "joint states"])
    assert all(0.0 <= age < 1.0 for age in playing["input_ages_s"])
    assert 0.0 <= playing["chunk_age_s"] < 3.0
    assert playing["queue_depth"] > 0
    status, result = client.result()
    assert (status, result["termination_reason"]) == (GoalStatus.STATUS_SUCCEEDED, RunPolicy.Result.TERMINATION_TIMEOUT)
    assert not result["success"]
    assert result["elapsed_s"] >= 3.0
    assert result["chunks"] > 0
    # 50 actions a second, less those before the first chunk.
    assert playing["published_actions"] <= result["published_actions"] <= 50 * result["elapsed_s"] + 1
    assert len(client.feedback) >= 4
    assert client.feedback[-1]["status"] == RunPolicy.Feedback.STATUS_STOPPING
    # A trajectory begins in the past, while the robot still moved.
    robot.wait_until(robot.is_commanded_to_rest, "a trajectory at rest")
    robot.wait_for_hold("GOAL_OVER")


def test_a_goal_that_is_cancelled_ends_with_the_robot_at_rest(robot, send_goal):
    client = send_goal(prompt=PROMPT)
    assert client.accepted()
    client.until_playing()
    assert client.cancel() == 0
    status, result = client.result()
    assert (status, result["termination_reason"]) == (GoalStatus.STATUS_CANCELED, "cancelled")
    # A trajectory begins in the past, while the robot still moved.
    robot.wait_until(robot.is_commanded_to_rest, "a trajectory at rest")


@pytest.mark.parametrize(
    ("goal", "reason"),
    [
        ({"prompt": " "}, "the prompt is empty"),
        ({"prompt": PROMPT, "max_duration_s": -1.0}, "max_duration_s is -1"),
        ({"prompt": PROMPT, "success_rest_tolerance": float("nan")}, "success_rest_tolerance is NaN"),
    ],
)
def test_a_goal_that_says_nothing_or_makes_no_sense_is_rejected_with_the_reason_in_the_log(
    robot, log, send_goal, goal, reason
):
    assert not send_goal(**goal).accepted()
    assert f"a goal of ~/run_policy is rejected: {reason}" in log.read_text()


def test_a_goal_is_rejected_while_the_node_must_not_move_the_robot(robot, log, send_goal):
    def change(transition):
        request = ChangeState.Request(transition=Transition(id=transition))
        assert robot.call(ChangeState, "change_state", request).success

    change(Transition.TRANSITION_DEACTIVATE)
    try:
        assert not send_goal(prompt=PROMPT).accepted()
    finally:
        change(Transition.TRANSITION_ACTIVATE)
    assert "rejected: the node is not active" in log.read_text()
    robot.enable(False)
    assert not send_goal(prompt=PROMPT).accepted()
    assert "rejected: the node is disabled" in log.read_text()


def test_a_second_goal_is_rejected_and_the_first_goes_on(robot, log, send_goal):
    first = send_goal(prompt=PROMPT)
    assert first.accepted()
    assert not send_goal(prompt=PROMPT).accepted()
    assert "rejected: another goal runs" in log.read_text()
    first.until_playing()


def test_a_second_goal_replaces_the_first_where_the_parameter_says_so(robot, send_goal):
    robot.set(second_goal="replace")
    first = send_goal(prompt=PROMPT)
    assert first.accepted()
    first.until_playing()
    second = send_goal(prompt="pick up the cube with the left arm", max_duration_s=2.0)
    assert second.accepted()
    status, result = first.result()
    assert (status, result["termination_reason"]) == (GoalStatus.STATUS_ABORTED, "replaced")
    status, result = second.result()
    assert (status, result["termination_reason"]) == (GoalStatus.STATUS_SUCCEEDED, "timeout")


def test_the_service_success_ends_a_run_as_a_success(robot, send_goal):
    assert not robot.trigger("success").success
    client = send_goal(prompt=PROMPT)
    assert client.accepted()
    client.until_playing()
    assert robot.trigger("success").success
    status, result = client.result()
    assert (status, result["termination_reason"]) == (GoalStatus.STATUS_SUCCEEDED, "completed")
    assert result["success"]


def test_joints_that_come_to_rest_are_a_success(robot, send_goal):
    client = send_goal(prompt=PROMPT, success_rest_s=0.4)
    assert client.accepted()
    began = robot.positions
    robot.wait_until(lambda: abs(robot.positions - began).max() > 0.05, "a joint moves")
    # Whatever is commanded, the joints rest from here on.
    robot.follows = False
    status, result = client.result()
    assert (status, result["termination_reason"]) == (GoalStatus.STATUS_SUCCEEDED, "completed")
    assert "at rest for 0.4 s" in result["message"]


def test_stop_aborts_a_run_and_enable_does_not_resume_it(robot, send_goal):
    client = send_goal(prompt=PROMPT)
    assert client.accepted()
    client.until_playing()
    assert robot.trigger("stop").success
    status, result = client.result()
    assert (status, result["termination_reason"]) == (GoalStatus.STATUS_ABORTED, "stopped")
    robot.enable(True)
    robot.wait_for_hold("GOAL_OVER")


def test_a_prompt_on_the_topic_aborts_a_run_and_is_played(robot, send_goal):
    client = send_goal(prompt=PROMPT)
    assert client.accepted()
    client.until_playing()
    robot.prompts.publish(String(data="pick up the cube with the left arm"))
    status, result = client.result()
    assert (status, result["termination_reason"]) == (GoalStatus.STATUS_ABORTED, "prompt_changed")
    robot.wait_for_hold("")


def test_a_hold_that_lasts_aborts_a_run_with_the_hold_reason(robot, send_goal):
    robot.set(goal_hold_limit_s=1.0)
    client = send_goal(prompt=PROMPT)
    assert client.accepted()
    client.until_playing()
    robot.sees = False
    status, result = client.result()
    assert (status, result["termination_reason"]) == (GoalStatus.STATUS_ABORTED, "held")
    assert "STALE_CAMERA" in result["message"]
    assert any(one["hold"] == "STALE_CAMERA" for one in client.feedback)


def test_a_client_that_ends_leaves_its_run_alone_unless_the_node_is_told_to_end_it(robot, log, send_goal):
    client = send_goal(prompt=PROMPT)
    assert client.accepted()
    client.until_playing()
    client.leave()
    time.sleep(4.0)
    assert robot.hold() == "", "the run goes on without its client"
    robot.set(goal_needs_client=True)
    # The clients of the tests before were killed, and are known to the node until their lease ends.
    robot.wait_for_hold("GOAL_OVER", timeout_s=LEASE_S + 20)
    assert "client_gone" in log.read_text()


def test_a_killed_client_ends_its_run_where_the_node_is_told_so(robot, send_goal):
    robot.set(goal_needs_client=True)
    client = send_goal(prompt=PROMPT)
    assert client.accepted()
    client.until_playing()
    client.process.send_signal(signal.SIGKILL)
    robot.wait_for_hold("GOAL_OVER", timeout_s=LEASE_S + 20)


def test_the_result_of_a_run_comes_before_the_node_ends(start_node, tmp_path, send_goal):
    with start_node(tmp_path / "log", *ARGUMENTS, "-r", "__ns:=/other") as node:
        client = send_goal(prompt=PROMPT, action="/other/pi0_node/run_policy")
        assert client.accepted()
        node.process.send_signal(signal.SIGINT)
        status, result = client.result()
        assert (status, result["termination_reason"]) == (GoalStatus.STATUS_ABORTED, "node_deactivated")
        assert node.process.wait(10) == 0
