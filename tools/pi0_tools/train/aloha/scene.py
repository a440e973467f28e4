"""What the scripted expert knows of the simulation, and of the cube in its grippers.

The trained policy sees pictures and joint positions alone; the expert also gets the cube's place and what touches it.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from pi0_sim.skills import ARMS, CubeContacts, cube_contacts
from pi0_tools.train.aloha.kinematics import gripper_pose

GRIPPERS = {"left": 6, "right": 13}
CUBE_SIDE_M = 0.04
# The widest that fingers around it can be; an open gripper has 0.067.
CUBE_DIAGONAL_M = sqrt(2) * CUBE_SIDE_M
# Between a finger's joint and its inside.
FINGER_INSIDE_M = 0.0225


@dataclass(frozen=True)
class Scene:
    """joint_positions: shape (14,), as the simulation publishes them. cube_position_m: shape (3,), its middle.

    finger_gap_m: between the insides of the fingers of each arm. The joint positions have only one finger of each, and
    around a cube that is not in the middle the fingers differ.
    """

    joint_positions: np.ndarray
    cube_position_m: np.ndarray
    finger_gap_m: dict[str, float]
    contacts: CubeContacts

    def gripper_pose(self, side):
        return gripper_pose(side, self.joint_positions[ARMS[side]])

    def holds(self, side):
        """Whether the cube is between the closed fingers of an arm, off the table.

        By where things are: contacts come and go from one step to the next while a cube is held.
        """
        distance_m = np.linalg.norm(np.subtract(self.gripper_pose(side).position_m, self.cube_position_m))
        closed = self.finger_gap_m[side] < CUBE_DIAGONAL_M
        return bool(closed and distance_m < CUBE_SIDE_M / 2 and not self.contacts.table)


def scene_of(environment):
    physics = environment.physics
    contacts = cube_contacts(physics)
    finger_gap_m = {
        side: float(
            physics.named.data.qpos[f"vx300s_{side}/left_finger"].item()
            - physics.named.data.qpos[f"vx300s_{side}/right_finger"].item()
            - 2 * FINGER_INSIDE_M
        )
        for side in ARMS
    }
    return Scene(
        environment.joint_positions(),
        environment.object_poses()[:3].copy(),
        finger_gap_m,
        contacts,
    )
