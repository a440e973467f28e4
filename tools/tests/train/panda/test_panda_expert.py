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


def is_over_the_green_cube(scene):
    above_m = scene.objects["red_cube"].position_m - scene.objects["green_cube"].position_m
    return scene.holds("red_cube") and np.linalg.norm(above_m[:2]) < 0.01 and above_m[2] < 0.07


def test_an_expert_that_takes_over_above_the_green_cube_puts_the_red_one_down_from_there():
    environment = ROBOT.environment("stack", 0)
    scene = scene_of(environment)
    first = ScriptedExpert("stack", scene)
    while not is_over_the_green_cube(scene):
        ROBOT.execute(environment, first.act(scene))
        scene = scene_of(environment)
    second = ScriptedExpert("stack", scene)
    highest_m = scene.tool.position_m[2] + 0.005
    while scene.holds("red_cube"):
        ROBOT.execute(environment, second.act(scene))
        scene = scene_of(environment)
        assert scene.tool.position_m[2] < highest_m
    while not second.finished:
        ROBOT.execute(environment, second.act(scene))
        scene = scene_of(environment)
    assert ROBOT.is_done("stack", environment)


def test_a_cube_that_is_held_beside_its_middle_is_brought_over_the_other_by_its_own_middle():
    environment = ROBOT.environment("stack", 0)
    scene = scene_of(environment)
    expert = ScriptedExpert("stack", scene)
    while not (scene.holds("red_cube") and environment.is_lifted()):
        ROBOT.execute(environment, expert.act(scene))
        scene = scene_of(environment)
    beside_m = np.array([0.01, -0.005, 0.0])

    def slipped(scene):
        cube = scene.objects["red_cube"]
        moved = replace(cube, position_m=cube.position_m + beside_m)
        return replace(scene, objects=scene.objects | {"red_cube": moved})

    expert = ScriptedExpert("stack", slipped(scene))
    while scene.opening < 0.9:
        held = scene
        ROBOT.execute(environment, expert.act(slipped(scene)))
        scene = scene_of(environment)
    cubes = slipped(held).objects
    between_m = cubes["red_cube"].position_m - cubes["green_cube"].position_m
    assert np.linalg.norm(between_m[:2]) < 0.007
