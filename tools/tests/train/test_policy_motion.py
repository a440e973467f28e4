from itertools import count, islice
from types import SimpleNamespace

import numpy as np
import pytest

from pi0_tools.train.policy_motion import played_actions, policy_motion
from pi0_tools.train.robot import robot_named

HORIZON = 5


class CountingRobot:
    """One whose picture is the step at which it was taken, and whose reward is what it executes."""

    steps_a_picture = 5
    steps_an_action = 2

    def draw(self, environment, physics_state):
        return {"front": np.full((2, 2, 3), physics_state), "wrist": np.full((2, 2, 3), physics_state)}

    def scene_of(self, environment):
        return environment.step

    def state_row(self, scene):
        return np.array([scene])

    def target_of(self, state, action):
        return (int(state[0]), float(action))

    def execute(self, environment, target, noise):
        assert noise is None
        environment.step += 1
        return target


class RecordingPolicy:
    """Its actions are numbered."""

    def __init__(self):
        self.seen = []

    def noise(self, seed):
        return count(seed)

    def actions(self, pictures, state, prompt, noise):
        self.seen.append((int(pictures["front"].max()), int(pictures["wrist"].max()), int(state[0]), prompt, noise))
        return np.arange(HORIZON)


@pytest.fixture
def policy():
    return RecordingPolicy()


def moved(policy, steps, black_cameras=()):
    environment = SimpleNamespace(step=0, physics_state=lambda: environment.step)
    motion = policy_motion(CountingRobot(), environment, policy, "lift", 7, 3, black_cameras)
    return list(islice(motion, steps))


def test_so_many_actions_of_a_chunk_are_played_each_for_its_steps(policy):
    played = moved(policy, 12)
    assert played == [(first, action) for first in (0, 6) for action in (0, 0, 1, 1, 2, 2)]


@pytest.mark.parametrize(("name", "steps"), [("aloha", 5), ("panda", 5), ("metaworld", 12)])
def test_a_robot_has_ten_pictures_a_second_and_meta_world_one_for_each_chunk(name, steps):
    assert robot_named(name).steps_a_picture == steps


def test_the_policy_sees_the_newest_picture_and_new_noise(policy):
    moved(policy, 13)
    assert policy.seen == [(0, 0, 0, "lift", 7), (5, 5, 6, "lift", 8), (10, 10, 12, "lift", 9)]


def test_a_camera_that_is_black_shows_nothing(policy):
    moved(policy, 13, black_cameras=["wrist"])
    assert [wrist for _, wrist, *_ in policy.seen] == [0, 0, 0]
    assert [front for front, *_ in policy.seen] == [0, 5, 10]


@pytest.mark.parametrize(("name", "played"), [("panda", 9), ("aloha", 26)])
def test_as_many_actions_are_played_as_the_node_plays_and_infers_meanwhile(name, played):
    assert played_actions(robot_named(name)) == played
