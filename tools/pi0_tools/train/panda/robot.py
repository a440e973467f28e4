"""The simulated Panda, as training has to know it."""

from types import MappingProxyType

import numpy as np
from scipy.spatial.transform import Rotation

from pi0_sim.panda_environment import STEP_SECONDS, PandaEnvironment
from pi0_sim.panda_scene import CAMERAS, DEFAULT_SIZE, PandaScene
from pi0_sim.panda_skills import SKILLS, PandaEpisodeJudge, is_done
from pi0_sim.pose import Pose
from pi0_tools.reference.architecture import Architecture, GemmaSizes, VisionSizes
from pi0_tools.train.panda.mishaps import cause_mishap
from pi0_tools.train.panda.pose_actions import (
    ACTION_NAMES,
    STATE_NAMES,
    TARGET_NAMES,
    axis_angle,
    gripper_action,
    relative_actions,
    target_of,
)
from pi0_tools.train.panda.scene import scene_of
from pi0_tools.train.panda.scripted_expert import ScriptedExpert, Target
from pi0_tools.train.robot import Picture, Robot
from pi0_tools.train.smooth_noise import SmoothNoise

PICTURE_SIZE = 112
NOISE_M, NOISE_RAD = 0.004, 0.02


class Panda(Robot):
    name = "panda"
    robot_type = "panda_sim"
    skills = SKILLS
    cameras = MappingProxyType(
        {
            camera: Picture((DEFAULT_SIZE, DEFAULT_SIZE), (0, 0, DEFAULT_SIZE, DEFAULT_SIZE), PICTURE_SIZE)
            for camera in CAMERAS
        }
    )
    step_seconds = STEP_SECONDS
    state_names, target_names, action_names = STATE_NAMES, TARGET_NAMES, ACTION_NAMES
    # A second, at 25 Hz.
    horizon = 25
    steps_an_action = 2
    smallest_std = (0.005, 0.01)
    colours = ("red", "green")
    vocab_sizes = MappingProxyType({"pi0": 384, "pi05": 576})
    prompt_tokens = MappingProxyType({"pi0": 48, "pi05": 96})

    def __init__(self):
        # Making one takes seconds.
        self._environments, self._scenes = {}, {}

    def architecture(self, vocab_size):
        # LeRobot's training forward pass assumes 8 attention heads.
        return Architecture(
            vision=VisionSizes(image_size=PICTURE_SIZE, patch_size=16, width=64, depth=3, mlp_dim=192, num_heads=4),
            vlm=GemmaSizes(width=64, depth=4, mlp_dim=192, num_heads=8, num_kv_heads=1, head_dim=16),
            expert=GemmaSizes(width=96, depth=4, mlp_dim=256, num_heads=8, num_kv_heads=1, head_dim=16),
            vocab_size=vocab_size,
        )

    def environment(self, skill, seed):
        # A skill of two tasks is shown in both, so that the prompt alone says what is to be done with two cubes.
        tasks = SKILLS[skill].tasks
        return self.environment_of(tasks[seed % len(tasks)], seed)

    def environment_of(self, task, seed):
        if task not in self._environments:
            self._environments[task] = PandaEnvironment(task)
        environment = self._environments[task]
        environment.reset_at_rest(seed)
        return environment

    def scene_of(self, environment):
        return scene_of(environment)

    def expert(self, skill, scene):
        return ScriptedExpert(skill, scene)

    def cause_mishap(self, environment, skill, random):
        cause_mishap(environment, self.execute, skill, random)

    def noise(self, random):
        return SmoothNoise(random, [NOISE_M] * 3 + [NOISE_RAD] * 3, STEP_SECONDS)

    def execute(self, environment, target, noise=None):
        pose = target.pose
        if noise is not None:
            turned = Rotation.from_rotvec(noise[3:]) * pose.rotation
            pose = Pose(pose.position_m + noise[:3], turned.as_quat())
        environment.command_pose(pose)
        environment.command_opening(target.opening)
        return environment.step()

    def is_done(self, skill, environment):
        return is_done(skill, environment)

    def state_row(self, scene):
        return np.concatenate([scene.tool.position_m, axis_angle(scene.tool.quaternion), scene.fingers_m])

    def target_row(self, target):
        return np.concatenate([target.pose.position_m, target.pose.quaternion, [gripper_action(target.opening)]])

    def frames(self, environment, physics_state):
        if environment not in self._scenes:
            self._scenes[environment] = PandaScene(environment.model, DEFAULT_SIZE, DEFAULT_SIZE)
        scene = self._scenes[environment]
        return {camera: scene.draw(physics_state, camera) for camera in self.cameras}

    def actions(self, state, targets):
        return relative_actions(state, targets)

    def target_of(self, state, action):
        position_m, rotation, opening = target_of(state, action)
        return Target(Pose(position_m, rotation.as_quat()), opening)

    def judge(self, environment, seed):
        return PandaEpisodeJudge(seed, environment.task_name)

    def tool_position_m(self, skill, state, actions):
        del skill
        return state[:3] + actions[-1, :3]


ROBOT = Panda()
