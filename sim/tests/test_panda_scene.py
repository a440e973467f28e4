from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from copy import copy

import mujoco
import numpy as np
import pytest

from pi0_sim.aloha_scene import AlohaScene
from pi0_sim.panda_environment import TASK_NAMES, PandaEnvironment
from pi0_sim.panda_scene import CAMERAS, PandaScene

SIZE = 112


@pytest.fixture(scope="module", params=TASK_NAMES)
def environment(request):
    environment = PandaEnvironment(request.param)
    environment.reset_at_rest(seed=2)
    return environment


def everything_drawn(environment, camera):
    """What MuJoCo draws when nothing is left out, but for shapes for collisions and the floor's mirror image."""

    def draw():
        model = copy(environment.model)
        model.vis.quality.offsamples = 0
        options = mujoco.MjvOption()
        options.geomgroup[0] = 0
        with mujoco.Renderer(model, SIZE, SIZE) as renderer:
            renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
            renderer.update_scene(environment.data, CAMERAS[camera], options)
            return renderer.render().copy()

    # MuJoCo's renderer changes the thread's context of OpenGL, and dm_control does not see it.
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(draw).result()


@pytest.mark.parametrize("camera", CAMERAS)
def test_leaving_out_what_is_not_in_the_picture_changes_no_picture(environment, camera):
    with closing(PandaScene(environment.model, SIZE, SIZE)) as scene:
        picture = scene.draw(environment.physics_state(), camera)
    assert picture.shape == (SIZE, SIZE, 3) and picture.dtype == np.uint8
    assert np.abs(picture.astype(int) - everything_drawn(environment, camera)).mean() < 0.001


def test_drawing_leaves_the_simulation_as_it_is(environment):
    groups, state = environment.model.geom_group.copy(), environment.physics_state()
    with closing(PandaScene(environment.model, SIZE, SIZE)) as scene:
        scene.draw(state, "wrist")
    np.testing.assert_array_equal(environment.model.geom_group, groups)
    np.testing.assert_array_equal(environment.physics_state(), state)


def test_scenes_of_both_robots_draw_in_one_thread(environment):
    state = environment.physics_state()
    with (
        closing(AlohaScene("transfer_cube", SIZE, SIZE)) as aloha,
        closing(PandaScene(environment.model, SIZE, SIZE)) as panda,
    ):
        pictures = [
            (aloha.draw(aloha.initial_state(), "top"), panda.draw(state, "front"), panda.draw(state, "wrist"))
            for _ in range(2)
        ]
    for first, second in zip(*pictures, strict=True):
        np.testing.assert_array_equal(first, second)
