"""robosuite's Franka Panda and three of its tasks, in steps of STEP_SECONDS, with its controllers and success checks.

The base frame is the robot's first link, at the foot of the arm; the tool frame is robosuite's grip site between the
fingers, whose z axis points out of the gripper.
"""

import mujoco
import numpy as np

from pi0_sim.panda_scene import state_of
from pi0_sim.pose import Pose
from pi0_sim.robosuite_import import import_robosuite

STEP_SECONDS = 0.02
# Until an object that fell 1 cm lies still.
REST_STEPS = 20
ROBOSUITE_TASKS = {"lift": "Lift", "stack": "Stack", "pick_place_can": "PickPlaceCan"}
TASK_NAMES = tuple(ROBOSUITE_TASKS)
# The bodies of the objects of each task, by the name that they have here.
OBJECT_BODIES = {
    "lift": {"red_cube": "cube_main"},
    "stack": {"red_cube": "cubeA_main", "green_cube": "cubeB_main"},
    "pick_place_can": {"can": "Can_main"},
}
ARM_JOINT_NAMES = tuple(f"robot0_joint{number}" for number in range(1, 8))
FINGER_JOINT_NAMES = ("gripper0_right_finger_joint1", "gripper0_right_finger_joint2")
# The gripper as it is commanded, by one number; a driver of the real one has such a joint too.
GRIPPER_JOINT = "gripper"
JOINT_NAMES = (*ARM_JOINT_NAMES, *FINGER_JOINT_NAMES, GRIPPER_JOINT)
TOOL_SITE = "gripper0_right_grip_site"
BASE_BODY = "robot0_base"
# How far each finger is from the middle when the gripper is open.
OPEN_FINGER_M = 0.04
# Of robosuite's joint controller, per second squared: as stiff as its controller of poses.
JOINT_STIFFNESS = 150
# Lift's criterion, which also says whether the cube of Stack is lifted.
LIFTED_M = 0.04


class PandaEnvironment:
    """One of robosuite's tasks. Positions in metres, joints in radians; opening from 0 (closed) to 1 (open)."""

    def __init__(self, task_name):
        self.task_name = task_name
        self._robosuite = robosuite = import_robosuite()
        self._environment = robosuite.make(
            ROBOSUITE_TASKS[task_name],
            robots="Panda",
            controller_configs=_controllers(robosuite),
            has_renderer=False,
            has_offscreen_renderer=False,
            use_camera_obs=False,
            use_object_obs=False,
            control_freq=round(1 / STEP_SECONDS),
            ignore_done=True,
            # The model stays the same over episodes.
            hard_reset=False,
            seed=0,
        )
        self.model, self.data = self._environment.sim.model._model, self._environment.sim.data._data
        # With the controller before every one.
        self._physics_steps = round(STEP_SECONDS / self.model.opt.timestep)
        self._arm = [self.model.joint(name).qposadr[0] for name in ARM_JOINT_NAMES]
        self._fingers = [self.model.joint(name).qposadr[0] for name in FINGER_JOINT_NAMES]
        self._arm_actuators = self._robot._ref_arm_joint_actuator_indexes
        self._finger_actuators = self._robot._ref_joint_gripper_actuator_indexes["right"]
        self._site = self.model.site(TOOL_SITE).id
        base = self.data.body(BASE_BODY)
        self._base_position_m, self._base_quaternion = base.xpos.copy(), base.xquat.copy()
        self.reset(0)

    @property
    def _robot(self):
        (robot,) = self._environment.robots
        return robot

    def reset(self, seed):
        """Puts robot and objects to the start pose that robosuite's samplers draw with a generator of this seed."""
        # Samplers and robots hold this generator itself.
        self._environment.rng.bit_generator.state = np.random.default_rng(seed).bit_generator.state
        self._environment.reset()
        self._pose_controller = self._robot.part_controllers["right"]
        self._joint_controller = self._new_joint_controller()
        self.hold()

    def reset_at_rest(self, seed):
        """Does the same, and waits until the objects rest: the simulation drops them from 1 cm."""
        self.reset(seed)
        for _ in range(REST_STEPS):
            self.step()

    def hold(self):
        """The arm is to stay where it is, and the gripper as open as it is."""
        self.command_pose(self.tool_pose())
        self.command_opening(self.opening())

    def command_pose(self, pose):
        """Where the tool frame is to go, in the base frame. It goes there at once, as an impedance controller does."""
        self._pose_controller.set_goal(np.concatenate([pose.position_m, pose.rotation.as_rotvec()]))
        self._controller = self._pose_controller

    def command_joints(self, positions):
        """Where the seven joints of the arm are to go."""
        self._joint_controller.set_goal(np.asarray(positions, dtype=float))
        self._controller = self._joint_controller

    def command_opening(self, opening):
        self._opening_command = float(np.clip(opening, 0.0, 1.0))

    def step(self):
        """Simulates one step towards what was commanded last; returns robosuite's reward for it, 0 or 1."""
        simulation = self._environment.sim
        for _ in range(self._physics_steps):
            simulation.step1()
            torques = self._controller.run_controller()
            self.data.ctrl[self._arm_actuators] = self._controller.clip_torques(torques)
            self.data.ctrl[self._finger_actuators] = self._opening_command * OPEN_FINGER_M * np.array([1, -1])
            simulation.step2()
        # The other controller also reads the new state when it is next asked.
        self._pose_controller.new_update = self._joint_controller.new_update = True
        return float(self._environment.reward(None))

    def joint_positions(self):
        """Shape (10,), in the order of JOINT_NAMES: the arm's in radians, the fingers' in metres, the opening."""
        return np.concatenate([self.arm_positions(), self.finger_positions(), [self.opening()]])

    def arm_positions(self):
        """Shape (7,), radians."""
        return self.data.qpos[self._arm]

    def finger_positions(self):
        """Shape (2,), metres: about 0.04 and -0.04 when the gripper is open."""
        return self.data.qpos[self._fingers]

    def opening(self):
        first, second = self.finger_positions()
        return float((first - second) / (2 * OPEN_FINGER_M))

    def tool_pose(self):
        """The tool frame in the base frame.

        The quaternion's sign is that of MuJoCo's product along the arm. It does not jump, not even where the gripper
        points straight down and half a turn of an axis-angle vector would.
        """
        body = self.model.site_bodyid[self._site]
        quaternion = np.zeros(4)
        mujoco.mju_mulQuat(quaternion, self.data.xquat[body], self.model.site_quat[self._site])
        return self._in_base(self.data.site_xpos[self._site], quaternion)

    def object_poses(self):
        """Where each object is in the base frame, by its name."""
        bodies = OBJECT_BODIES[self.task_name]
        return {
            name: self._in_base(self.data.body(body).xpos, self.data.body(body).xquat) for name, body in bodies.items()
        }

    def is_solved(self):
        """robosuite's own check of the task."""
        return bool(self._environment._check_success())

    def is_lifted(self):
        """Lift's check, for the red cube of either task that has one."""
        body = self.data.body(OBJECT_BODIES[self.task_name]["red_cube"])
        return bool(body.xpos[2] > self._environment.table_offset[2] + LIFTED_M)

    def physics_state(self):
        """What PandaScene draws."""
        return state_of(self.model, self.data)

    def _in_base(self, position_m, quaternion):
        """A pose from the world's frame; MuJoCo's quaternions have w first."""
        inverse, in_base, relative_m = np.zeros(4), np.zeros(4), np.zeros(3)
        mujoco.mju_negQuat(inverse, self._base_quaternion)
        mujoco.mju_mulQuat(in_base, inverse, quaternion)
        mujoco.mju_rotVecQuat(relative_m, position_m - self._base_position_m, inverse)
        return Pose(relative_m, np.roll(in_base, -1))

    def _new_joint_controller(self):
        pose_controller = self._pose_controller
        return self._robosuite.controllers.parts.generic.JointPositionController(
            sim=self._environment.sim,
            joint_indexes={
                "joints": pose_controller.joint_index,
                "qpos": pose_controller.qpos_index,
                "qvel": pose_controller.qvel_index,
            },
            actuator_range=(pose_controller.actuator_min, pose_controller.actuator_max),
            kp=JOINT_STIFFNESS,
            input_type="absolute",
        )


def _controllers(robosuite):
    """robosuite's default for the Panda, operational-space control, with absolute goals."""
    configuration = robosuite.load_composite_controller_config(robot="Panda")
    configuration["body_parts"]["right"]["input_type"] = "absolute"
    return configuration
