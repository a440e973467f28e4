"""The simulated ALOHA, as training has to know it."""

from functools import cached_property
from types import MappingProxyType

import numpy as np

from pi0_sim.aloha_environment import JOINT_NAMES, STEP_SECONDS, AlohaEnvironment
from pi0_sim.aloha_scene import DEFAULT_HEIGHT, DEFAULT_WIDTH, AlohaScene
from pi0_sim.skills import ARMS, SKILLS, EpisodeJudge, is_done
from pi0_tools.reference.architecture import Architecture, GemmaSizes, VisionSizes
from pi0_tools.train.aloha.kinematics import gripper_pose
from pi0_tools.train.aloha.mishaps import cause_mishap
from pi0_tools.train.aloha.scene import GRIPPERS, scene_of
from pi0_tools.train.aloha.scripted_expert import ScriptedExpert
from pi0_tools.train.robot import Picture, Robot
from pi0_tools.train.smooth_noise import SmoothNoise

TASK = "transfer_cube"
NOISE_RAD = 0.006
# The arm that goes for the cube first.
FIRST_ARM = {"right_pick": "right", "left_pick": "left", "hand_over": "right"}


class Aloha(Robot):
    name = "aloha"
    robot_type = "aloha_sim"
    skills = SKILLS
    step_seconds = STEP_SECONDS
    state_names = target_names = action_names = JOINT_NAMES
    horizon = 50
    steps_an_action = 1
    smallest_std = (0.02, 0.02)
    colours = ("red",)
    vocab_sizes = MappingProxyType({"pi0": 384, "pi05": 576})
    # In π0.5's a prompt has 33 tokens; words of others are as long as their letters.
    prompt_tokens = MappingProxyType({"pi0": 48, "pi05": 96})

    @cached_property
    def cameras(self):
        crop = tuple(self.node_parameters()["cameras"]["top"]["crop"])
        return {"top": Picture((DEFAULT_WIDTH, DEFAULT_HEIGHT), crop, crop[2])}

    def architecture(self, vocab_size):
        # LeRobot's training forward pass assumes 8 attention heads.
        return Architecture(
            vision=VisionSizes(image_size=120, patch_size=20, width=64, depth=3, mlp_dim=160, num_heads=4),
            vlm=GemmaSizes(width=64, depth=4, mlp_dim=160, num_heads=8, num_kv_heads=1, head_dim=16),
            expert=GemmaSizes(width=96, depth=4, mlp_dim=256, num_heads=8, num_kv_heads=1, head_dim=16),
            vocab_size=vocab_size,
        )

    @cached_property
    def _environment(self):
        return AlohaEnvironment(TASK)

    @cached_property
    def _scene(self):
        return AlohaScene(TASK, DEFAULT_WIDTH, DEFAULT_HEIGHT)

    def environment(self, skill, seed):
        self._environment.reset_at_rest(seed)
        return self._environment

    def scene_of(self, environment):
        return scene_of(environment)

    def expert(self, skill, scene):
        return ScriptedExpert(SKILLS[skill].prompt, scene)

    def cause_mishap(self, environment, skill, random):
        cause_mishap(environment, SKILLS[skill].prompt, random)

    def noise(self, random):
        deviations = np.full(len(JOINT_NAMES), NOISE_RAD)
        deviations[list(GRIPPERS.values())] = 0.0
        return SmoothNoise(random, deviations, STEP_SECONDS)

    def execute(self, environment, target, noise):
        return environment.step(target if noise is None else target + noise)

    def is_done(self, skill, environment):
        scene = scene_of(environment)
        return is_done(SKILLS[skill], scene.contacts, scene.cube_position_m)

    def state_row(self, scene):
        return scene.joint_positions

    def target_row(self, target):
        return target

    def frames(self, environment, physics_state):
        del environment
        return {camera: self._scene.draw(physics_state, camera) for camera in self.cameras}

    def target_of(self, state, action):
        del state
        return action

    def judge(self, environment, seed):
        return EpisodeJudge(seed, environment.joint_positions())

    def tool_position_m(self, skill, state, actions):
        del state
        side = FIRST_ARM[skill]
        return np.array(gripper_pose(side, actions[-1, ARMS[side]]).position_m)


ROBOT = Aloha()
