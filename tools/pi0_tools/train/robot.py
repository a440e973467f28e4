"""What training has to know of a simulated robot. A robot is an argument of the programs here, by its name."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import yaml

from pi0_tools import CHECKOUT
from pi0_tools.reference.architecture import Architecture

ROBOTS = {
    "aloha": "pi0_tools.train.aloha.robot",
    "panda": "pi0_tools.train.panda.robot",
    "metaworld": "pi0_tools.train.metaworld.robot",
}


@dataclass(frozen=True)
class Picture:
    """frame: width and height of the camera's pictures. crop: x, y, width and height of what the policy sees of them.

    size: width and height of what demonstrations and the network have, to which the crop is shrunk.
    """

    frame: tuple[int, int]
    crop: tuple[int, int, int, int]
    size: int


class OutOfReach(ValueError):
    """An expert cannot bring the robot where it wants it."""


class Robot(ABC):
    """A robot, its skills, and the policy that learns them. Below, a skill is a name of `skills`.

    skills: by name, with a prompt and the seconds that are time enough for it. cameras: by name, in the order of the
    policy. state_names, target_names: of a demonstration's values. action_names: of the policy's. horizon: actions of
    a chunk. steps_an_action: simulation steps from one to the next. smallest_std: what hardly moves would be
    normalised by almost nothing, and its noise would be all that is learned of it; one number for the state and one
    for actions. colours: of objects whose places in the pictures the vision tower learns to find first; none where the
    simulation's own `object_places` are learned.
    """

    name: str
    robot_type: str
    skills: Mapping
    cameras: Mapping[str, Picture]
    step_seconds: float
    state_names: tuple[str, ...]
    target_names: tuple[str, ...]
    action_names: tuple[str, ...]
    horizon: int
    steps_an_action: int
    smallest_std: tuple[float, float]
    colours: tuple[str, ...]
    vocab_sizes: Mapping[str, int]
    prompt_tokens: Mapping[str, int]
    # The simulated robots' cameras send a picture so often by default.
    picture_seconds = 0.1
    # What a camera of the node sends is up to this old when the policy gets it: drawing, and waiting for the next.
    oldest_picture_steps = 12

    @abstractmethod
    def architecture(self, vocab_size) -> Architecture:
        """The sizes of its policy."""

    @abstractmethod
    def environment(self, skill, seed):
        """The simulation in which a skill is done with a seed, at its start pose, with the objects at rest."""

    @abstractmethod
    def scene_of(self, environment):
        """What an expert knows of the simulation."""

    @abstractmethod
    def expert(self, skill, scene):
        """Has act(scene), which returns the target of a step, and finished."""

    @abstractmethod
    def cause_mishap(self, environment, skill, random):
        """In half of the episodes, leaves the robot in the middle of something that went wrong."""

    @abstractmethod
    def noise(self, random):
        """Has next(), the noise of a step, which `execute` takes."""

    @abstractmethod
    def execute(self, environment, target, noise):
        """Simulates a step towards a target, with noise or None; returns the reward."""

    @abstractmethod
    def is_done(self, skill, environment):
        """Whether a skill is done now."""

    @abstractmethod
    def state_row(self, scene):
        """The policy's state, of the length of state_names."""

    @abstractmethod
    def target_row(self, target):
        """A target as demonstrations have it, of the length of target_names."""

    def object_places(self, environment):
        """Places of objects in metres, shape (objects · 3,), which pictures show and the policy is not told."""
        del environment
        return np.zeros(0)

    @abstractmethod
    def frames(self, environment, physics_state):
        """What the cameras send, by the name of each: uint8 [height, width, 3]. The simulation stays as it is."""

    def node_parameters(self):
        """Those of the node's configuration for this robot, which has the name of its robot_type."""
        text = (CHECKOUT / f"config/{self.robot_type}.yaml").read_text(encoding="utf-8")
        return yaml.safe_load(text)["/**"]["ros__parameters"]

    @property
    def steps_a_picture(self):
        """Simulation steps from one picture of a camera to the next."""
        return round(self.picture_seconds / self.step_seconds)

    @property
    def execution_horizon(self):
        """Actions of a chunk that the node plays before it infers the next: its configuration's, or half."""
        return self.node_parameters().get("execution_horizon") or self.horizon // 2

    def draw(self, environment, physics_state):
        """What the policy sees of each camera, by its name: uint8 [size, size, 3]."""
        frames = self.frames(environment, physics_state)
        return {
            camera: shrunk(cropped(frames[camera], picture), picture.size) for camera, picture in self.cameras.items()
        }

    def actions(self, state, targets):
        """The policy's actions [samples, horizon, …] of targets [samples, horizon, …], from states [samples, …]."""
        del state
        return targets

    @abstractmethod
    def target_of(self, state, action):
        """The target of an action, as `execute` takes it, when the state at the observation was this."""

    @abstractmethod
    def judge(self, environment, seed):
        """What watches an episode that begins now: stepped(environment, reward, seconds), and outcome with kept."""

    @abstractmethod
    def tool_position_m(self, skill, state, actions):
        """Where a chunk [horizon, …] leads the tool that does a skill, from a state, shape (3,)."""

    def index_of(self, skill):
        return list(self.skills).index(skill)

    def dataset_info(self):
        """Facts of the demonstrations in the form of LeRobot's meta/info.json, with the crop, which that lacks.

        A checkpoint's folder gets them as dataset_info.json.
        """

        def numbers(names):
            return {"dtype": "float32", "shape": [len(names)], "names": list(names)}

        def image(picture):
            _, _, width, height = picture.crop
            return {
                "dtype": "image",
                "shape": [height, width, 3],
                "names": ["height", "width", "channels"],
                "pi0_node": {"frame": list(picture.frame), "crop": list(picture.crop)},
            }

        images = {f"observation.images.{camera}": image(picture) for camera, picture in self.cameras.items()}
        features = {"observation.state": numbers(self.state_names), **images, "action": numbers(self.action_names)}
        return {
            "codebase_version": "v3.0",
            "robot_type": self.robot_type,
            "fps": round(1 / (self.step_seconds * self.steps_an_action)),
            "features": features,
        }


def robot_named(name) -> Robot:
    """One of ROBOTS."""
    return importlib.import_module(ROBOTS[name]).ROBOT


def add_robot_arguments(parser):
    parser.add_argument("--robot", choices=ROBOTS, default="aloha", help="which (default aloha)")
    parser.add_argument("--skill", action="append", dest="skills", metavar="SKILL", help="only this; may be repeated")


def take_robot(parser, arguments):
    """Puts the Robot in place of its name, and all of its skills where none was named. Ends the program for others."""
    arguments.robot = robot_named(arguments.robot)
    skills = arguments.robot.skills
    for name in arguments.skills or ():
        if name not in skills:
            parser.error(f"--skill: {arguments.robot.name} has no skill {name}; it has {', '.join(skills)}")
    arguments.skills = arguments.skills or list(skills)


def cropped(frame, picture):
    x, y, width, height = picture.crop
    return frame[y : y + height, x : x + width]


def shrunk(picture, size):
    """A square picture whose sides are a whole number of times as long, uint8: the mean of each block of pixels."""
    height, width, channels = picture.shape
    block = height // size
    if (height, width) != (size * block, size * block):
        raise ValueError(f"a picture of {width}x{height} pixels cannot be shrunk to {size}x{size} in whole blocks")
    if block == 1:
        return picture
    means = picture.reshape(size, block, size, block, channels).mean(axis=(1, 3))
    return np.round(means).astype(np.uint8)
