"""vla-eval's own client and runner, with a policy server that is none of ours."""

import socket
import threading
import time
from contextlib import suppress

import numpy as np
import pytest

from pi0_tools.evaluation.foreign_server import foreign_server, serve_policy
from pi0_tools.evaluation.policy_server import policy_server
from pi0_tools.evaluation.processes import RunFailed
from pi0_tools.train.panda.pose_actions import relative_actions
from pi0_tools.train.recorded_episode import record_episode
from pi0_tools.train.robot import robot_named
from pi0_tools.vla_eval.evaluate import CHECKPOINTS, evaluate, summary
from pi0_tools.vla_eval.served_policy import ServedPolicy, absolute_poses, aloha_observation, libero_observation


def test_the_harness_counts_what_an_expert_behind_a_policy_server_does(tmp_path):
    with foreign_server(tmp_path / "server", "expert_server", "--skill", "lift", "--seed", 0) as (_, address):
        result = evaluate("panda", address, tmp_path, tasks=["lift"], episodes=1, first_seed=0)
    table = summary(result)
    assert table["harness"].startswith("vla-eval ")
    assert table["tasks"] == {"lift": {"episodes": 1, "success": 1.0}}


def served_in_a_thread(infer):
    """The address of a policy server in this process, for the rest of it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    threading.Thread(target=serve_policy, args=(infer, *address), daemon=True).start()
    while True:
        with suppress(ConnectionRefusedError), socket.create_connection(address):
            return f"ws://{address[0]}:{address[1]}"
        time.sleep(0.01)


def test_meta_world_s_expert_succeeds_in_the_harness(tmp_path):
    robot, task, seed = robot_named("metaworld"), "drawer-close-v3", 5
    targets = record_episode(robot, task, seed, perturbed=False).target
    observations = []

    def infer(observation):
        ahead = len(observations) * robot.execution_horizon + np.arange(robot.horizon)
        observations.append(observation)
        return {"actions": targets[np.minimum(ahead, len(targets) - 1)].astype(np.float64)}

    result = evaluate("metaworld", served_in_a_thread(infer), tmp_path, tasks=[task], episodes=1, first_seed=seed)
    assert summary(result)["tasks"] == {task: {"episodes": 1, "success": 1.0}}
    first = observations[0]
    assert first["images"]["image"].shape == (480, 480, 3)
    assert first["state"] == pytest.approx(robot.environment(task, seed).observation[:4], abs=1e-6)
    assert first["prompt"] == "Push and close a drawer"


def test_the_shipped_policy_closes_a_drawer_of_meta_world_in_the_harness(tmp_path):
    with policy_server(tmp_path / "pi0_server.log", checkpoint=CHECKPOINTS["metaworld"]) as (_, address):
        result = evaluate("metaworld", address, tmp_path, tasks=["drawer-close-v3"], episodes=1, first_seed=0)
    assert summary(result)["tasks"] == {"drawer-close-v3": {"episodes": 1, "success": 1.0}}


def test_an_episode_that_ended_with_an_error_is_not_taken_for_the_policy_s_failure():
    failed = {"episode_id": 3, "failure_reason": "model_act", "failure_detail": "Traceback:\nno such camera"}
    result = {"harness_version": "0", "tasks": [{"task": "lift", "episodes": [failed], "mean_success": 0.0}]}
    with pytest.raises(RunFailed, match="lift, episode 3: no such camera"):
        summary(result)


def test_targets_are_those_that_relative_actions_were_made_of():
    state = np.array([0.4, 0.1, 0.3, 3.1, 0.2, 0.0, 0.04, -0.04])
    target = np.array([0.5, 0.0, 0.2, 1.0, 0.0, 0.0, 0.0, -1.0])
    (actions,) = relative_actions(state[None], target[None, None])
    (pose,) = absolute_poses(actions, state)
    assert pose[:3] == pytest.approx(target[:3], abs=1e-6)
    assert np.linalg.norm(pose[3:6]) == pytest.approx(np.pi, abs=1e-3)
    assert pose[6] == pytest.approx(-1.0)


def test_observations_are_named_as_openpi_s_clients_name_them():
    picture, state = np.zeros((2, 2, 3), np.uint8), np.zeros(8)
    assert set(aloha_observation({"front": picture}, state, "lift")["images"]) == {"front"}
    libero = libero_observation({"image": picture, "wrist_image": picture}, state, "lift")
    assert set(libero) == {"observation/image", "observation/wrist_image", "observation/state", "prompt"}


@pytest.mark.parametrize("argument", ["keys", "actions"])
def test_a_name_that_is_not_there_is_refused_with_those_that_are(argument):
    with pytest.raises(ValueError, match=f"{argument} is 'other'; there are"):
        ServedPolicy("ws://127.0.0.1:9", **{argument: "other"})
