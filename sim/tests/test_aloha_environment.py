import numpy as np
import pytest
from gym_aloha.constants import JOINTS
from gym_aloha.env import AlohaEnv

from pi0_sim.aloha_environment import JOINT_NAMES, STEP_SECONDS, TASK_NAMES, AlohaEnvironment

ONE_SECOND = round(1 / STEP_SECONDS)


@pytest.fixture(scope="module")
def environment():
    return AlohaEnvironment("transfer_cube")


def test_joint_names_are_in_the_order_of_gym_aloha():
    assert [name.replace("_arm_", "_") for name in JOINTS] == list(JOINT_NAMES)


@pytest.mark.parametrize("task_name", TASK_NAMES)
def test_objects_start_where_gym_aloha_puts_them_for_the_seed(task_name):
    ours = AlohaEnvironment(task_name)
    ours.reset(seed=7)
    authors = AlohaEnv(task_name, obs_type="pixels")
    authors.reset(seed=7)
    assert ours.object_poses() == pytest.approx(authors._env.task.get_env_state(authors._env.physics))


def test_the_same_seed_gives_the_same_start_and_another_seed_another(environment):
    environment.reset(seed=3)
    first = environment.object_poses()
    environment.reset(seed=4)
    other = environment.object_poses()
    environment.reset(seed=3)
    assert environment.object_poses() == pytest.approx(first)
    assert np.abs(other - first).max() > 0.01


def test_an_episode_towards_a_target_moves_that_joint_there_and_no_other(environment):
    environment.reset(seed=0)
    start = environment.joint_positions()
    target = start.copy()
    target[JOINT_NAMES.index("right_waist")] += 0.4
    for _ in range(2 * ONE_SECOND):
        environment.step(target)
    moved = environment.joint_positions() - start
    assert moved[JOINT_NAMES.index("right_waist")] == pytest.approx(0.4, abs=0.05)
    others = np.delete(moved, JOINT_NAMES.index("right_waist"))
    assert np.abs(others).max() < 0.05


def test_targets_beyond_one_radian_are_reached(environment):
    environment.reset(seed=0)
    target = environment.joint_positions()
    target[JOINT_NAMES.index("left_wrist_rotate")] = 1.5
    for _ in range(2 * ONE_SECOND):
        environment.step(target)
    assert environment.joint_positions()[JOINT_NAMES.index("left_wrist_rotate")] == pytest.approx(1.5, abs=0.05)


def test_a_robot_that_holds_its_start_pose_earns_nothing(environment):
    environment.reset(seed=0)
    target = environment.joint_positions()
    assert max(environment.step(target) for _ in range(ONE_SECOND)) == 0.0
