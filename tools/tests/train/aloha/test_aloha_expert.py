from dataclasses import replace

import numpy as np
import pytest

from pi0_sim.skills import ARMS, SKILLS
from pi0_tools.train.aloha.robot import ROBOT
from pi0_tools.train.aloha.scene import scene_of
from pi0_tools.train.aloha.scripted_expert import (
    AT_START,
    FASTEST_JOINT_RAD_S,
    HAND_OVER,
    LEFT_PICK,
    RIGHT_PICK,
    ScriptedExpert,
)
from pi0_tools.train.recorded_episode import record_episode

STEPS_PER_SECOND = 50


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    ("skill", "reward", "seconds"), [("right_pick", 2, 4.5), ("left_pick", 4, 4.5), ("hand_over", 4, 8)]
)
def test_each_skill_is_done_with_its_reward_and_in_its_time(skill, reward, seconds, seed):
    episode = record_episode(ROBOT, skill, seed, perturbed=False)
    assert episode is not None
    assert episode.reward_max == reward
    assert len(episode.state) < seconds * STEPS_PER_SECOND


@pytest.mark.parametrize(("skill", "idle"), [("right_pick", "left"), ("left_pick", "right")])
def test_the_arm_that_is_not_needed_stays(skill, idle):
    episode = record_episode(ROBOT, skill, 3, perturbed=False)
    assert np.abs(episode.target[:, ARMS[idle]] - AT_START.joints).max() < 0.02


@pytest.mark.parametrize("skill", SKILLS)
def test_no_target_jumps(skill):
    episode = record_episode(ROBOT, skill, 4, perturbed=False)
    arms = np.r_[ARMS["left"], ARMS["right"]]
    fastest = np.abs(np.diff(episode.target[:, arms], axis=0)).max() * STEPS_PER_SECOND
    assert fastest < 1.1 * FASTEST_JOINT_RAD_S


@pytest.mark.parametrize(("prompt", "side"), [(RIGHT_PICK, "right"), (LEFT_PICK, "left")])
def test_after_closing_on_nothing_the_expert_tries_again(prompt, side):
    """One expert, which is told a wrong place of the cube until its first grasp is over."""
    environment = ROBOT.environment("right_pick", 5)
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


def test_an_expert_that_starts_with_the_cube_in_its_hand_does_not_put_it_down():
    environment = record_episode(ROBOT, "right_pick", 6, perturbed=False).environment
    scene = scene_of(environment)
    expert = ScriptedExpert(HAND_OVER, scene)
    while not scene.holds("left"):
        environment.step(expert.act(scene))
        scene = scene_of(environment)
        assert not scene.contacts.table
