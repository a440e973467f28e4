"""Pictures of the simulated ALOHA's scene, from states of its physics."""

from pathlib import Path

from dm_control import mujoco
from gym_aloha.constants import ASSETS_DIR

CAMERAS = ("top",)
# The shape of the camera, 4:3.
DEFAULT_WIDTH, DEFAULT_HEIGHT = 320, 240
SHADOW_MAP_SIZE = 1024


class AlohaScene:
    """Draws with a context of OpenGL that belongs to the thread that made it. close() frees it, on that thread."""

    def __init__(self, task_name, width, height):
        self._physics = load_physics(task_name)
        self._width, self._height = width, height

    def initial_state(self):
        return self._physics.get_state()

    def draw(self, physics_state, camera):
        """What a camera sees in a state of AlohaEnvironment: shape (height, width, 3), uint8 RGB."""
        with self._physics.reset_context():
            self._physics.set_state(physics_state)
        return self._physics.render(height=self._height, width=self._width, camera_id=camera)

    def close(self):
        self._physics.free()


def load_physics(task_name):
    """The task's scene, in a state of its own."""
    physics = mujoco.Physics.from_xml_path(str(Path(ASSETS_DIR) / f"bimanual_viperx_{task_name}.xml"))
    # The authors' 4096 takes half as long again to draw without a GPU, for pictures that differ by 0.06 of 255.
    physics.model.vis.quality.shadowsize = SHADOW_MAP_SIZE
    return physics
