"""Meta-World's MT10, the ten tasks of one arm, as training has to know them."""

import warnings
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from metaworld import policies

from pi0_tools.reference.architecture import Architecture, GemmaSizes, VisionSizes
from pi0_tools.train.metaworld.environment import (
    PICTURE_SIZE,
    STATE_VALUES,
    STEP_SECONDS,
    MetaWorldEnvironment,
    MetaWorldScene,
)
from pi0_tools.train.robot import Picture, Robot
from pi0_tools.train.smooth_noise import SmoothNoise

# Some experts ask for more than 1, and are meant to be clipped.
warnings.filterwarnings("ignore", r"Constant\(s\) may be too high", module="metaworld")
# LeRobot's name of the camera, in its data sets and policies.
CAMERA = "image"
# Of LeRobot's and Meta-World's own episodes.
LONGEST_STEPS = 500
SEEN_SIZE = 120
# The hand moves so far in a step for an action of 1.
ACTION_M = 0.01
# Of each action of the hand, and of the fingers'.
NOISE = (0.08, 0.08, 0.08, 0.0)
MISHAP_STEPS = (10, 60)


@dataclass(frozen=True)
class Task:
    """prompt: as LeRobot has it. expert: the class of Meta-World's own policy for it."""

    prompt: str
    expert: type
    seconds: float = LONGEST_STEPS * STEP_SECONDS


TASKS = MappingProxyType(
    {
        "reach-v3": Task("Reach a goal position", policies.SawyerReachV3Policy),
        "push-v3": Task("Push the puck to a goal", policies.SawyerPushV3Policy),
        "pick-place-v3": Task("Pick and place a puck to a goal", policies.SawyerPickPlaceV3Policy),
        "door-open-v3": Task("Open a door with a revolving joint", policies.SawyerDoorOpenV3Policy),
        "drawer-open-v3": Task("Open a drawer", policies.SawyerDrawerOpenV3Policy),
        "drawer-close-v3": Task("Push and close a drawer", policies.SawyerDrawerCloseV3Policy),
        "button-press-topdown-v3": Task("Press a button from the top", policies.SawyerButtonPressTopdownV3Policy),
        "peg-insert-side-v3": Task("Insert a peg sideways", policies.SawyerPegInsertionSideV3Policy),
        "window-open-v3": Task("Push and open a window", policies.SawyerWindowOpenV3Policy),
        "window-close-v3": Task("Push and close a window", policies.SawyerWindowCloseV3Policy),
    }
)


@dataclass(frozen=True)
class Scene:
    """observation: Meta-World's, shape (39,), with the goal, which MT10's policies are not told."""

    observation: np.ndarray
    is_solved: bool


class Expert:
    """Meta-World's scripted policy. It goes on when the task is solved, which holds what it holds."""

    def __init__(self, policy):
        self._policy = policy
        self.finished = False

    def act(self, scene):
        self.finished = scene.is_solved
        return np.clip(self._policy.get_action(scene.observation), -1, 1)


@dataclass
class Outcome:
    """kept: the task's name, once it has succeeded in any step, as Meta-World counts. seconds: simulated."""

    seed: int
    reward_max: float
    kept: list[str]
    seconds: float


class Judge:
    """Watches an episode, one step after the other."""

    def __init__(self, seed, task):
        self._task = task
        self.outcome = Outcome(seed, 0.0, [], 0.0)

    def stepped(self, environment, reward, seconds):
        self.outcome.seconds = round(seconds, 4)
        self.outcome.reward_max = max(self.outcome.reward_max, reward)
        self.outcome.kept = [self._task] if environment.is_solved else []


class MetaWorld(Robot):
    name = "metaworld"
    robot_type = "sawyer"
    skills = TASKS
    cameras = MappingProxyType(
        {CAMERA: Picture((PICTURE_SIZE, PICTURE_SIZE), (0, 0, PICTURE_SIZE, PICTURE_SIZE), SEEN_SIZE)}
    )
    step_seconds = STEP_SECONDS
    state_names = ("x", "y", "z", "gripper")
    target_names = action_names = ("move_x", "move_y", "move_z", "grip")
    horizon = 24
    execution_horizon = 12
    steps_an_action = 1
    # One for every chunk; LeRobot's environment draws in every step, also those that nobody looks at.
    picture_seconds = execution_horizon * STEP_SECONDS
    # The simulation of a benchmark stands still while the policy thinks.
    oldest_picture_steps = 0
    smallest_std = (0.005, 0.02)
    colours = ()
    vocab_sizes = MappingProxyType({"pi0": 512, "pi05": 768})
    prompt_tokens = MappingProxyType({"pi0": 48, "pi05": 96})

    def __init__(self):
        # Making one takes a second.
        self._environments, self._scenes = {}, {}

    def architecture(self, vocab_size):
        # LeRobot's training forward pass assumes 8 attention heads.
        return Architecture(
            vision=VisionSizes(image_size=SEEN_SIZE, patch_size=12, width=96, depth=3, mlp_dim=256, num_heads=4),
            vlm=GemmaSizes(width=96, depth=4, mlp_dim=256, num_heads=8, num_kv_heads=1, head_dim=16),
            expert=GemmaSizes(width=128, depth=4, mlp_dim=384, num_heads=8, num_kv_heads=1, head_dim=16),
            vocab_size=vocab_size,
        )

    def environment(self, skill, seed):
        if skill not in self._environments:
            self._environments[skill] = MetaWorldEnvironment(skill)
        environment = self._environments[skill]
        environment.reset(seed)
        return environment

    def scene_of(self, environment):
        observation = environment.observation.copy()
        observation[-3:] = environment.object_places()[-3:]
        return Scene(observation, environment.is_solved)

    def expert(self, skill, scene):
        return Expert(TASKS[skill].expert())

    def cause_mishap(self, environment, skill, random):
        """In half of the episodes the hand first goes somewhere else, and its fingers open or close."""
        if random.random() < 0.5:
            return
        action = np.append(random.uniform(-1, 1, 3), random.choice([-1.0, 1.0]))
        for _ in range(random.integers(*MISHAP_STEPS)):
            environment.step(action)

    def noise(self, random):
        return SmoothNoise(random, NOISE, STEP_SECONDS)

    def execute(self, environment, target, noise=None):
        return environment.step(target if noise is None else target + noise)

    def is_done(self, skill, environment):
        return environment.is_solved

    def state_row(self, scene):
        return scene.observation[:STATE_VALUES]

    def target_row(self, target):
        return target

    def object_places(self, environment):
        return environment.object_places()

    def frames(self, environment, physics_state):
        if environment not in self._scenes:
            self._scenes[environment] = MetaWorldScene(environment)
        return {CAMERA: self._scenes[environment].draw(physics_state)}

    def target_of(self, state, action):
        return action

    def judge(self, environment, seed):
        return Judge(seed, environment.task)

    def tool_position_m(self, skill, state, actions):
        return state[:3] + ACTION_M * np.clip(actions[:, :3], -1, 1).sum(axis=0)


ROBOT = MetaWorld()
