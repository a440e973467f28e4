from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from pi0_sim.panda_skills import SKILLS
from pi0_tools.train.panda.robot import ROBOT
from pi0_tools.train.panda.scene import scene_of
from pi0_tools.train.panda.scripted_expert import FASTEST_TOOL_M_S, ScriptedExpert
from pi0_tools.train.recorded_episode import record_episode

STEPS_PER_SECOND = 50
# Of the motions of each skill, without perturbation.
LONGEST_S = {"lift": 4.0, "stack": 7.0, "pick_place_can": 11.0}


@cache
def episode_of(skill, seed):
    """Without perturbation. Simulating one takes seconds."""
    return record_episode(ROBOT, skill, seed, perturbed=False)


@pytest.mark.parametrize(("skill", "seed"), [("lift", 0), ("lift", 1), ("stack", 0), ("pick_place_can", 0)])
def test_each_skill_is_done_in_its_time(skill, seed):
    episode = episode_of(skill, seed)
    assert episode is not None
    assert episode.reward_max == (0.0 if episode.environment.task_name != skill else 1.0)
    assert len(episode.state) < LONGEST_S[skill] * STEPS_PER_SECOND


@pytest.mark.parametrize("skill", SKILLS)
def test_no_target_jumps(skill):
    target = episode_of(skill, 0).target
    fastest = np.linalg.norm(np.diff(target[:, :3], axis=0), axis=1).max() * STEPS_PER_SECOND
    assert fastest < 1.1 * FASTEST_TOOL_M_S


def test_lifting_is_shown_beside_a_cube_to_stack_on_as_well():
    tasks = {ROBOT.environment("lift", seed).task_name for seed in range(4)}
    assert tasks == {"lift", "stack"}


def test_after_closing_on_nothing_the_expert_tries_again():
    """One expert, which is told a wrong place of the cube until its first grasp is over."""
    environment = ROBOT.environment("lift", 6)
    beside_m = np.array([0.0, -0.08, 0.0])

    def mistaken(scene):
        cube = scene.objects["red_cube"]
        return replace(
            scene, objects={**scene.objects, "red_cube": replace(cube, position_m=cube.position_m + beside_m)}
        )

    scene = scene_of(environment)
    expert = ScriptedExpert("lift", mistaken(scene))
    missed = False
    for _ in range(12 * STEPS_PER_SECOND):
        ROBOT.execute(environment, expert.act(scene if missed else mistaken(scene)))
        scene = scene_of(environment)
        missed |= scene.opening < 0.1
        if expert.finished:
            break
    assert missed and expert.finished
    assert ROBOT.is_done("lift", environment)


def test_an_expert_that_starts_with_the_cube_between_its_fingers_does_not_put_it_down():
    environment = record_episode(ROBOT, "lift", 1, perturbed=False).environment
    assert environment.task_name == "stack"
    scene = scene_of(environment)
    expert = ScriptedExpert("stack", scene)
    while np.linalg.norm((scene.objects["red_cube"].position_m - scene.objects["green_cube"].position_m)[:2]) > 0.03:
        ROBOT.execute(environment, expert.act(scene))
        scene = scene_of(environment)
        assert scene.holds("red_cube") and environment.is_lifted()
