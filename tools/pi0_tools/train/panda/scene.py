"""What the scripted expert knows of the simulated Panda, and the geometry of its objects."""

from dataclasses import dataclass
from math import atan2, pi

import numpy as np
from scipy.spatial.transform import Rotation

from pi0_sim.panda_environment import OPEN_FINGER_M
from pi0_sim.pose import Pose

# The grip site's axes in the base frame when the gripper points straight down and the fingers open along y.
DOWN = Rotation.from_matrix([[0, 1, 0], [1, 0, 0], [0, 0, -1]])
# From an object's middle to where its middle between the fingers is best held.
GRASP_ABOVE_M = {"red_cube": 0.0, "can": 0.025}
# An object that is held is this near to where it should be between the fingers.
HELD_WITHIN_M = 0.03
# Fingers around an object are not closed farther than the smaller of the two sizes, and not open.
HELD_OPENING = {"red_cube": (0.35, 0.75), "can": (0.45, 0.9)}


@dataclass(frozen=True)
class Scene:
    """tool: the grip site. fingers_m: shape (2,), 0.04 and -0.04 when open. objects: by name.

    All poses are in the base frame.
    """

    tool: Pose
    fingers_m: np.ndarray
    objects: dict[str, Pose]

    @property
    def opening(self):
        """Of the gripper as it is, from 0 (closed) to 1 (open)."""
        return float(self.fingers_m[0] - self.fingers_m[1]) / (2 * OPEN_FINGER_M)

    def grasp_position_m(self, name):
        """Where the tool is to be when it grasps an object, shape (3,)."""
        return self.objects[name].position_m + np.array([0.0, 0.0, GRASP_ABOVE_M[name]])

    def distance_from_grasp_m(self, name):
        """Seen from above."""
        return float(np.linalg.norm((self.grasp_position_m(name) - self.tool.position_m)[:2]))

    def holds(self, name):
        """Whether an object is between fingers that are closed on it, judged by where they are."""
        least, most = HELD_OPENING[name]
        near = np.linalg.norm(self.grasp_position_m(name) - self.tool.position_m) < HELD_WITHIN_M
        return bool(near and least < self.opening < most)

    def grasp_yaw_rad(self, name):
        """How the gripper turns from DOWN, about the vertical, so that its fingers are square to an object."""
        if name == "can":
            return 0.0
        axes = self.objects[name].rotation.as_matrix()
        # Of a cube that was tumbled, another axis is level.
        level = axes[:, int(np.argmin(np.abs(axes[2])))]
        yaw = atan2(level[1], level[0])
        # A cube looks the same after a quarter of a turn.
        return (yaw + pi / 4) % (pi / 2) - pi / 4


def scene_of(environment):
    return Scene(environment.tool_pose(), environment.finger_positions(), environment.object_poses())


def downward(yaw_rad):
    return Rotation.from_rotvec([0.0, 0.0, yaw_rad]) * DOWN
