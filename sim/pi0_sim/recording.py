"""Every simulated step of the episodes in one file, from which a film can be drawn afterwards, from any camera."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class RecordedStep:
    """episode counts from 0; episode_s is in simulated seconds since its first trajectory.

    physics_state: what dm_control's Physics.set_state takes.
    """

    episode: int
    episode_s: float
    reward: float
    reward_max: float
    physics_state: np.ndarray


class Recording:
    def __init__(self, task):
        self.task = task
        self.steps = []

    def save(self, path):
        """Writes a .npz file."""
        np.savez(
            path,
            task=self.task,
            episode=[step.episode for step in self.steps],
            episode_s=[step.episode_s for step in self.steps],
            reward=[step.reward for step in self.steps],
            reward_max=[step.reward_max for step in self.steps],
            physics_state=[step.physics_state for step in self.steps],
        )


def load_recording(path):
    """Raises OSError or ValueError when the file is missing or is no recording."""
    with np.load(Path(path)) as columns:
        recording = Recording(str(columns["task"]))
        rows = zip(
            columns["episode"].tolist(),
            columns["episode_s"].tolist(),
            columns["reward"].tolist(),
            columns["reward_max"].tolist(),
            columns["physics_state"],
            strict=True,
        )
        recording.steps = [RecordedStep(*row) for row in rows]
    return recording
