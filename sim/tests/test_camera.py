import queue

import numpy as np
import pytest
from dm_control import mujoco
from gym_aloha.constants import ASSETS_DIR

from pi0_sim.aloha_environment import AlohaEnvironment
from pi0_sim.aloha_scene import AlohaScene
from pi0_sim.camera import Cameras

WIDTH, HEIGHT = 112, 84


@pytest.fixture
def frames():
    return queue.Queue()


@pytest.fixture
def environment():
    environment = AlohaEnvironment("transfer_cube")
    environment.reset(seed=5)
    return environment


def open_scene():
    return AlohaScene("transfer_cube", WIDTH, HEIGHT)


def drawn(frames, state, stamp):
    camera = Cameras(open_scene, ["top"], lambda _, *frame: frames.put(frame))
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
        Cameras(open_scene, ["sideways"], lambda *_: None)


def test_every_camera_draws_the_state_that_was_asked_for(frames, environment):
    cameras = Cameras(open_scene, ["top", "angle"], lambda *frame: frames.put(frame))
    try:
        cameras.request(environment.physics.get_state(), "the stamp")
        (first, one, _), (second, other, stamp) = frames.get(timeout=30), frames.get(timeout=30)
    finally:
        cameras.close()
    assert (first, second, stamp) == ("top", "angle", "the stamp")
    assert np.abs(one.astype(int) - other).mean() > 10
