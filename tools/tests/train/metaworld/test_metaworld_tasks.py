import threading

import metaworld
import numpy as np
import pytest

from pi0_tools.train.metaworld.environment import CAMERA_POSITION_M, MetaWorldEnvironment
from pi0_tools.train.metaworld.robot import CAMERA, ROBOT, TASKS
from pi0_tools.train.recorded_episode import record_episode

SEED = 1000


def metaworld_s_own(task, seed):
    """Meta-World's environment as LeRobot's MetaworldEnv makes it, after its reset."""
    benchmark = metaworld.MT1(task, seed=42)
    environment = benchmark.train_classes[task](render_mode="rgb_array", camera_name="corner2")
    environment.set_task(benchmark.train_tasks[0])
    environment.model.cam_pos[2] = CAMERA_POSITION_M
    environment.reset()
    environment._freeze_rand_vec = False
    environment.seeded_rand_vec = True
    environment.seed(seed)
    environment.reset(seed=seed)
    return environment


def test_the_tasks_are_those_of_mt10():
    assert set(TASKS) == set(metaworld.MT10(seed=0).train_classes)


@pytest.mark.parametrize("task", ["drawer-open-v3", "peg-insert-side-v3", "reach-v3"])
def test_a_seed_has_the_places_and_the_pictures_that_it_has_in_lerobot(task):
    action = np.array([0.5, -0.5, 0.2, 0.0], np.float32)
    theirs = []

    def draw_theirs():
        environment = metaworld_s_own(task, SEED)
        for _ in range(10):
            observation, *_ = environment.step(action)
        theirs.extend([observation, np.flip(environment.render(), (0, 1))])
        environment.close()

    # In a thread of its own: gymnasium's context of OpenGL would take the place of dm_control's unseen.
    thread = threading.Thread(target=draw_theirs)
    thread.start()
    thread.join()
    environment = ROBOT.environment(task, SEED)
    for _ in range(10):
        ROBOT.execute(environment, action)
    picture = ROBOT.frames(environment, environment.physics_state())[CAMERA]
    np.testing.assert_array_equal(environment.observation, theirs[0])
    assert np.abs(picture.astype(int) - theirs[1]).mean() < 0.1


@pytest.mark.parametrize("task", TASKS)
def test_meta_world_s_expert_does_each_task(task):
    episode = record_episode(ROBOT, task, SEED, perturbed=False)
    assert episode is not None
    assert np.abs(episode.target).max() <= 1
    assert episode.object_places.shape == (len(episode.state), 9)


def test_a_task_stays_done_once_it_was():
    environment = MetaWorldEnvironment("reach-v3")
    environment.reset(SEED)
    scene = ROBOT.scene_of(environment)
    expert = ROBOT.expert("reach-v3", scene)
    while not environment.is_solved:
        environment.step(expert.act(ROBOT.scene_of(environment)))
    for _ in range(60):
        environment.step([0.0, -1.0, 0.0, 0.0])
    assert environment.is_solved
    environment.reset(SEED)
    assert not environment.is_solved


def test_where_a_chunk_leads_is_the_sum_of_its_parts():
    state = np.array([0.1, 0.6, 0.2, 1.0])
    chunk = np.array([[1.0, 0.0, -0.5, 1.0], [2.0, 0.5, 0.0, 1.0]])
    np.testing.assert_allclose(ROBOT.tool_position_m("reach-v3", state, chunk), [0.12, 0.605, 0.195])
