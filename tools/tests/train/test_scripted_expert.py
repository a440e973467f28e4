from dataclasses import replace

import numpy as np
import pytest

from pi0_sim.aloha_environment import AlohaEnvironment
from pi0_sim.skills import ARMS
from pi0_tools.train.recorded_episode import record_episode
from pi0_tools.train.scene import scene_of
from pi0_tools.train.scripted_expert import (
    AT_START,
    FASTEST_JOINT_RAD_S,
    HAND_OVER,
    LEFT_PICK,
    PROMPTS,
    RIGHT_PICK,
    ScriptedExpert,
)

STEPS_PER_SECOND = 50


@pytest.fixture(scope="module")
def environment():
    return AlohaEnvironment("transfer_cube")


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    ("prompt", "reward", "seconds"), [(RIGHT_PICK, 2, 4.5), (LEFT_PICK, 4, 4.5), (HAND_OVER, 4, 8)]
)
def test_each_skill_is_done_with_its_reward_and_in_its_time(environment, prompt, reward, seconds, seed):
    episode = record_episode(environment, prompt, seed, perturbed=False)
    assert episode is not None
    assert episode.reward_max == reward
    assert len(episode.state) < seconds * STEPS_PER_SECOND


@pytest.mark.parametrize(("prompt", "idle"), [(RIGHT_PICK, "left"), (LEFT_PICK, "right")])
def test_the_arm_that_is_not_needed_stays(environment, prompt, idle):
    episode = record_episode(environment, prompt, 3, perturbed=False)
    assert np.abs(episode.action[:, ARMS[idle]] - AT_START.joints).max() < 0.02


@pytest.mark.parametrize("prompt", PROMPTS)
def test_no_target_jumps(environment, prompt):
    episode = record_episode(environment, prompt, 4, perturbed=False)
    arms = np.r_[ARMS["left"], ARMS["right"]]
    fastest = np.abs(np.diff(episode.action[:, arms], axis=0)).max() * STEPS_PER_SECOND
    assert fastest < 1.1 * FASTEST_JOINT_RAD_S


@pytest.mark.parametrize(("prompt", "side"), [(RIGHT_PICK, "right"), (LEFT_PICK, "left")])
def test_after_closing_on_nothing_the_expert_tries_again(environment, prompt, side):
    """One expert, which is told a wrong place of the cube until its first grasp is over."""
    environment.reset(5)
    beside = np.array([0.0, -0.06, 0.0])
    scene = scene_of(environment)
    expert = ScriptedExpert(prompt, replace(scene, cube_position_m=scene.cube_position_m + beside))
    missed = False
    while not expert.finished:
        told = scene if missed else replace(scene, cube_position_m=scene.cube_position_m + beside)
        environment.step(expert.act(told))
        scene = scene_of(environment)
        missed |= scene.finger_gap_m[side] < 0.01 and scene.gripper_pose(side).position_m[2] < 0.03
    assert missed
    assert scene.holds(side)


def test_an_expert_that_starts_with_the_cube_in_its_hand_does_not_put_it_down(environment):
    record_episode(environment, RIGHT_PICK, 6, perturbed=False)
    scene = scene_of(environment)
    expert = ScriptedExpert(HAND_OVER, scene)
    while not scene.holds("left"):
        environment.step(expert.act(scene))
        scene = scene_of(environment)
        assert not scene.contacts.table
