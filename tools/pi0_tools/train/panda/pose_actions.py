"""The Panda's states and actions as its policy has them.

A state is LIBERO's: the tool's position, its orientation as an axis-angle vector, and both fingers' positions. An
action is a target for the tool relative to where it was measured at the observation: metres along, and an axis-angle
vector about, the axes of the base frame; then the gripper, from -1 (open) to 1 (closed), as LIBERO's.
"""

import numpy as np
from scipy.spatial.transform import Rotation

STATE_NAMES = ("x", "y", "z", "axis_angle_x", "axis_angle_y", "axis_angle_z", "finger_1", "finger_2")
TARGET_NAMES = ("x", "y", "z", "quaternion_x", "quaternion_y", "quaternion_z", "quaternion_w", "gripper")
ACTION_NAMES = (
    "delta_x",
    "delta_y",
    "delta_z",
    "delta_axis_angle_x",
    "delta_axis_angle_y",
    "delta_axis_angle_z",
    "gripper",
)


def axis_angle(quaternion):
    """The rotation as an axis times an angle from 0 to 2π, shape (3,). quaternion: x, y, z, w.

    As robosuite's quat2axisangle: the sign of w is kept, so that a gripper which points straight down (an angle of π)
    does not jump between two vectors.
    """
    w = np.clip(quaternion[3], -1.0, 1.0)
    sine = np.sqrt(1.0 - w * w)
    if np.isclose(sine, 0.0):
        return np.zeros(3)
    return np.asarray(quaternion[:3]) * 2.0 * np.arccos(w) / sine


def gripper_action(opening):
    """opening: from 0 (closed) to 1 (open)."""
    return 1.0 - 2.0 * opening


def gripper_opening(action):
    return (1.0 - action) / 2.0


def relative_actions(states, targets):
    """Actions [samples, horizon, 7] of targets [samples, horizon, 8], seen from states [samples, 8]."""
    samples, horizon, _ = targets.shape
    positions = targets[..., :3] - states[:, None, :3]
    measured = Rotation.from_rotvec(np.repeat(states[:, 3:6], horizon, axis=0))
    turns = Rotation.from_quat(targets[..., 3:7].reshape(-1, 4)) * measured.inv()
    return np.concatenate(
        [positions, turns.as_rotvec().reshape(samples, horizon, 3), targets[..., 7:]], axis=-1
    ).astype(np.float32)


def target_of(state, action):
    """The target (position, Rotation, opening) of an action, shape (7,), seen from a state, shape (8,)."""
    rotation = Rotation.from_rotvec(action[3:6]) * Rotation.from_rotvec(state[3:6])
    return state[:3] + action[:3], rotation, gripper_opening(action[6])
