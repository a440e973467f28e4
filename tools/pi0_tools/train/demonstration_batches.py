"""Batches of what a policy sees and what the expert then did, from the files of make_demonstrations."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

MOST_SAMPLED_ACTIONS = 1_000_000


@dataclass(frozen=True)
class Batch:
    """images: uint8 [batch, height, width, 3] of each camera. state: f32 [batch, …]. actions: f32 [batch, horizon, …].

    skill: int [batch], the place of its prompt in `Demonstrations.prompts`.
    """

    images: dict[str, np.ndarray]
    state: np.ndarray
    actions: np.ndarray
    skill: np.ndarray


class Demonstrations:
    """The episodes of some skills of a robot, in memory: all steps of all files in one row.

    images: of each camera, uint8 [pictures, height, width, 3]. object_places: f32 [pictures, …]. state: f32 [steps, …].
    """

    def __init__(self, folders, robot, skills):
        """folders: of one skill or more each. Raises FileNotFoundError when a skill is in none of them."""
        by_skill = [_files_of(skill, folders) for skill in skills]
        files = [file for of_skill in by_skill for file in of_skill]
        self.robot = robot
        self.prompts = [str(of_skill[0]["prompt"]) for of_skill in by_skill]
        self.images = {camera: np.concatenate([file[f"images.{camera}"] for file in files]) for camera in robot.cameras}
        self.object_places = np.concatenate([file["object_places"] for file in files])
        self.state = np.concatenate([file["state"] for file in files])
        self._target = np.concatenate([file["target"] for file in files])
        lengths = [len(file["state"]) for file in files]
        first_steps = np.cumsum([0, *lengths[:-1]])
        skill_of_file = np.repeat(np.arange(len(skills)), [len(of_skill) for of_skill in by_skill])
        self.skill = np.repeat(skill_of_file, lengths)
        image_step = np.concatenate(
            [file["image_step"] + first for file, first in zip(files, first_steps, strict=True)]
        )
        episode_starts = np.concatenate(
            [
                np.flatnonzero(np.diff(file["episode"], prepend=-1)) + first
                for file, first in zip(files, first_steps, strict=True)
            ]
        )
        self.episode_starts = episode_starts
        episode_of_step = np.searchsorted(episode_starts, np.arange(len(self.state)), side="right") - 1
        self.episode_of_step = episode_of_step
        self._episode_end = np.append(episode_starts[1:], len(self.state))
        # The newest picture at each step; every episode starts with one.
        self._image_of_step = np.searchsorted(image_step, np.arange(len(self.state)), side="right") - 1

    def batch(self, steps, picture_ages):
        """What belongs to these steps. picture_ages: how many steps before each its picture was due, at least."""
        steps = np.asarray(steps)
        episode = self.episode_of_step[steps]
        picture_steps = np.maximum(steps - picture_ages, self.episode_starts[episode])
        pictures = self._image_of_step[picture_steps]
        return Batch(
            images={camera: images[pictures] for camera, images in self.images.items()},
            state=self.state[steps],
            actions=self.actions(steps),
            skill=self.skill[steps],
        )

    def actions(self, steps):
        """The chunks of actions that begin at steps, as the robot's policy has them, [steps, horizon, …]."""
        robot = self.robot
        # After an episode's end the robot stays where it was told to be.
        ahead = steps[:, None] + robot.steps_an_action * np.arange(robot.horizon)
        ahead = np.minimum(ahead, self._episode_end[self.episode_of_step[steps]][:, None] - 1)
        return robot.actions(self.state[steps], self._target[ahead])

    def sampled_actions(self):
        """Actions of chunks that begin all over the episodes, for statistics, [samples, …]."""
        every = 1 + len(self.state) * self.robot.horizon // MOST_SAMPLED_ACTIONS
        actions = self.actions(np.arange(0, len(self.state), every))
        return actions.reshape(-1, actions.shape[-1])

    def held_out_episodes(self, per_skill):
        """The last episodes of each skill."""
        skills = self.skill[self.episode_starts]
        return np.concatenate([np.flatnonzero(skills == skill)[-per_skill:] for skill in range(len(self.prompts))])


class BatchSampler:
    """Draws steps of the episodes that are not held out, each with a picture of a random age.

    shares: of each skill among the samples, relative to each other; None where every step is as likely.
    """

    def __init__(self, demonstrations, held_out_episodes, batch_size, seed, shares=None):
        self._demonstrations = demonstrations
        held_out = np.isin(demonstrations.episode_of_step, held_out_episodes)
        self._steps = np.flatnonzero(~held_out)
        self._probabilities = None if shares is None else _with_shares(demonstrations.skill[self._steps], shares)
        self._batch_size = batch_size
        self._random = np.random.default_rng(seed)

    def next(self):
        steps = self._random.choice(self._steps, self._batch_size, p=self._probabilities)
        oldest = self._demonstrations.robot.oldest_picture_steps
        ages = self._random.integers(0, oldest, self._batch_size, endpoint=True)
        return self._demonstrations.batch(steps, ages)


def _with_shares(skills, shares):
    """The probability of each step, whose skills these are, so that a skill's are likely by its share."""
    shares = np.asarray(shares, np.float64)
    steps_of_skill = np.bincount(skills, minlength=len(shares))
    return (shares / shares.sum() / steps_of_skill)[skills]


def _files_of(skill, folders):
    paths = [Path(folder) / f"{skill}.npz" for folder in folders]
    found = [_load(path) for path in paths if path.is_file()]
    if not found:
        raise FileNotFoundError(f"{' or '.join(map(str, paths))} is missing; make_demonstrations makes it")
    return found


def _load(path):
    with np.load(path) as file:
        return {"object_places": np.zeros((len(file["image_step"]), 0), np.float32), **file}
