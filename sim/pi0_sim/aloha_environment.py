"""gym-aloha's bimanual tasks without the three 480x640 pictures that they draw at every step."""

import numpy as np
from dm_control.rl import control
from gym_aloha.constants import DT
from gym_aloha.tasks import sim as tasks
from gym_aloha.utils import sample_box_pose, sample_insertion_pose

from pi0_sim.aloha_scene import load_physics

STEP_SECONDS = DT
# Until a cube that fell 3 cm lies still.
REST_STEPS = 25
TASK_NAMES = ("transfer_cube", "insertion")
# The order of gym-aloha's states and actions.
JOINT_NAMES = tuple(
    f"{side}_{joint}"
    for side in ("left", "right")
    for joint in ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate", "gripper")
)


class TransferCube(tasks.TransferCubeTask):
    def get_observation(self, physics):
        # The inherited observation draws every camera; what is published is drawn when it is published.
        return {}


class Insertion(tasks.InsertionTask):
    def get_observation(self, physics):
        # The inherited observation draws every camera; what is published is drawn when it is published.
        return {}


class AlohaEnvironment:
    """One of the authors' tasks, with their start poses and their reward, in steps of STEP_SECONDS.

    Joint positions are in the order of JOINT_NAMES, absolute radians; grippers from 0 (closed) to 1 (open).
    """

    def __init__(self, task_name):
        self._task_name = task_name
        self._task = {"transfer_cube": TransferCube, "insertion": Insertion}[task_name]()
        self.physics = load_physics(task_name)
        self._control = control.Environment(
            self.physics, self._task, time_limit=float("inf"), control_timestep=STEP_SECONDS
        )
        self.max_reward = self._task.max_reward

    def reset(self, seed):
        """Puts robot and objects to the start pose that gym-aloha gives for this seed."""
        if self._task_name == "transfer_cube":
            objects = sample_box_pose(seed)
        else:
            objects = np.concatenate(sample_insertion_pose(seed))
        # gym-aloha's tasks read the objects' start pose from this global of their module.
        tasks.BOX_POSE[0] = objects
        self._control.reset()

    def reset_at_rest(self, seed):
        """Does the same, and waits until the objects rest: the simulation drops the cube from 3 cm."""
        self.reset(seed)
        at_rest = self.joint_positions()
        for _ in range(REST_STEPS):
            self.step(at_rest)

    def step(self, joint_targets):
        """Moves the joints towards the targets, shape (14,), for one step; returns the task's reward, 0 to 4.

        The targets are not clipped: gym-aloha's action space says [-1, 1], but they are radians.
        """
        return float(self._control.step(np.asarray(joint_targets)).reward)

    def joint_positions(self):
        """Shape (14,)."""
        return self._task.get_qpos(self.physics)

    def object_poses(self):
        """Position (3) and quaternion (4) of each object, flat."""
        return self._task.get_env_state(self.physics)

    def physics_state(self):
        """What AlohaScene draws."""
        return self.physics.get_state()
