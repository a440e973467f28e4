from copy import copy

import mujoco
import numpy as np
import pytest

from pi0_sim.panda_environment import TASK_NAMES, PandaEnvironment
from pi0_sim.panda_scene import CAMERAS, PandaScene

SIZE = 112


@pytest.fixture(scope="module", params=TASK_NAMES)
def environment(request):
    environment = PandaEnvironment(request.param)
    environment.reset_at_rest(seed=2)
    return environment


def everything_drawn(environment, camera):
    """What MuJoCo draws when nothing is left out, without the shapes for collisions."""
    model = copy(environment.model)
    model.vis.quality.offsamples = 0
    renderer = mujoco.Renderer(model, SIZE, SIZE)
    options = mujoco.MjvOption()
    options.geomgroup[0] = 0
    try:
        renderer.update_scene(environment.data, CAMERAS[camera], options)
        return renderer.render().copy()
    finally:
        renderer.close()


@pytest.mark.parametrize("camera", CAMERAS)
def test_leaving_out_what_is_not_in_the_picture_changes_no_picture(environment, camera):
    scene = PandaScene(environment.model, SIZE, SIZE)
    try:
        picture = scene.draw(environment.physics_state(), camera)
    finally:
        scene.close()
    assert picture.shape == (SIZE, SIZE, 3) and picture.dtype == np.uint8
    # Both draw the same triangles; what is transparent may be sorted otherwise.
    assert np.abs(picture.astype(int) - everything_drawn(environment, camera)).mean() < 0.1


def test_drawing_leaves_the_simulation_as_it_is(environment):
    groups, state = environment.model.geom_group.copy(), environment.physics_state()
    scene = PandaScene(environment.model, SIZE, SIZE)
    try:
        scene.draw(state, "wrist")
    finally:
        scene.close()
    np.testing.assert_array_equal(environment.model.geom_group, groups)
    np.testing.assert_array_equal(environment.physics_state(), state)
