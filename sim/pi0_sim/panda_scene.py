"""Pictures of the simulated Panda's scene, from states of its physics."""

from copy import copy
from itertools import product

import mujoco
import numpy as np
from dm_control.mujoco import Physics
from dm_control.mujoco.wrapper import MjModel, MjvOption

# robosuite's cameras, by the names that they have on topics.
CAMERAS = {"front": "agentview", "wrist": "robot0_eye_in_hand"}
# Width and height of a picture.
DEFAULT_SIZE = 224
SHADOW_MAP_SIZE = 1024
# robosuite's shapes for collisions are in group 0, and are not drawn.
COLLISION_GROUP, HIDDEN_GROUP = 0, 5


class PandaScene:
    """Draws with a context of OpenGL that belongs to the thread that made it. close() frees it, on that thread.

    The context is dm_control's, as AlohaScene's is: dm_control remembers which one a thread draws with, and another
    library's in the same thread would take its place unseen.
    """

    def __init__(self, model, width, height):
        """model: MuJoCo's, of PandaEnvironment; it is copied."""
        self._model = copy(model)
        quality = self._model.vis.quality
        quality.shadowsize = SHADOW_MAP_SIZE
        # Without a GPU four samples a pixel take twice as long, for edges that a policy does not need.
        quality.offsamples = 0
        self._groups = self._model.geom_group.copy()
        middle_m, half_m = self._model.geom_aabb[:, None, :3], self._model.geom_aabb[:, None, 3:]
        self._corners_m = middle_m + half_m * np.array(list(product([-1, 1], repeat=3)))
        self._physics = Physics.from_model(MjModel(self._model))
        self._data = self._physics.data.ptr
        self._width, self._height = width, height
        self._options = MjvOption()
        self._options.geomgroup[COLLISION_GROUP] = self._options.geomgroup[HIDDEN_GROUP] = 0

    def initial_state(self):
        return state_of(self._model, self._data)

    def draw(self, physics_state, camera):
        """What a camera of CAMERAS sees in a state: shape (height, width, 3), uint8 RGB."""
        mujoco.mj_setState(self._model, self._data, physics_state, mujoco.mjtState.mjSTATE_FULLPHYSICS)
        mujoco.mj_forward(self._model, self._data)
        name = CAMERAS[camera]
        # MuJoCo draws what is behind the camera too, and the arm has 170,000 triangles.
        self._model.geom_group[:] = np.where(self._is_outside(name), HIDDEN_GROUP, self._groups)
        return self._physics.render(
            self._height,
            self._width,
            name,
            scene_option=self._options,
            # The floor's mirror image is drawn from the whole scene again.
            render_flag_overrides={mujoco.mjtRndFlag.mjRND_REFLECTION: False},
        )

    def close(self):
        self._physics.free()

    def _is_outside(self, name):
        """Whether the box around each shape is outside of what a camera sees, bool [shapes]."""
        camera = self._model.camera(name).id
        rotations = self._data.geom_xmat.reshape(-1, 3, 3)
        corners_m = self._data.geom_xpos[:, None] + np.einsum("gij,gcj->gci", rotations, self._corners_m)
        in_camera_m = (corners_m - self._data.cam_xpos[camera]) @ self._data.cam_xmat[camera].reshape(3, 3)
        half_height = np.tan(np.radians(self._model.cam_fovy[camera]) / 2)
        half_width = half_height * self._width / self._height
        ahead_m = -in_camera_m[..., 2]
        right_m, up_m = in_camera_m[..., 0] / half_width, in_camera_m[..., 1] / half_height
        beyond = [right_m > ahead_m, -right_m > ahead_m, up_m > ahead_m, -up_m > ahead_m, ahead_m < 0]
        # A box is outside when one plane has all of its corners beyond it. Planes have no box.
        return np.any([corners.all(axis=1) for corners in beyond], axis=0) & (self._model.geom_rbound > 0)


def state_of(model, data):
    """MuJoCo's whole state, flat."""
    state = np.zeros(mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS))
    mujoco.mj_getState(model, data, state, mujoco.mjtState.mjSTATE_FULLPHYSICS)
    return state
