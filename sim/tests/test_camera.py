import queue

import numpy as np
import pytest
from dm_control import mujoco
from gym_aloha.constants import ASSETS_DIR

from pi0_sim.aloha_environment import AlohaEnvironment
from pi0_sim.camera import Camera

WIDTH, HEIGHT = 112, 84


@pytest.fixture
def frames():
    return queue.Queue()


@pytest.fixture
def environment():
    environment = AlohaEnvironment("transfer_cube")
    environment.reset(seed=5)
    return environment


def drawn(frames, state, stamp):
    camera = Camera("transfer_cube", "top", WIDTH, HEIGHT, lambda *frame: frames.put(frame))
    try:
        camera.request(state, stamp)
        return frames.get(timeout=30)
    finally:
        camera.close()


def test_a_frame_has_the_size_and_the_stamp_that_were_asked_for(frames, environment):
    frame, stamp = drawn(frames, environment.physics.get_state(), "the stamp")
    assert (frame.shape, frame.dtype, stamp) == ((HEIGHT, WIDTH, 3), np.uint8, "the stamp")


def test_a_frame_equals_the_authors_picture_of_that_state(frames, environment):
    state = environment.physics.get_state()
    frame, _ = drawn(frames, state, None)
    authors = mujoco.Physics.from_xml_path(str(ASSETS_DIR / "bimanual_viperx_transfer_cube.xml"))
    with authors.reset_context():
        authors.set_state(state)
    expected = authors.render(height=HEIGHT, width=WIDTH, camera_id="top")
    authors.free()
    # Only the edges of shadows may differ.
    assert np.abs(frame.astype(int) - expected).mean() < 0.2


def test_a_camera_that_the_scene_lacks_fails_at_once():
    with pytest.raises(mujoco.wrapper.core.Error, match="sideways"):
        Camera("transfer_cube", "sideways", WIDTH, HEIGHT, lambda *_: None)
