"""Makes the demonstrations of every skill: one .npz file each. README.md says what is in them."""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml

from pi0_sim.aloha_environment import JOINT_NAMES, STEP_SECONDS, AlohaEnvironment
from pi0_sim.camera import DEFAULT_HEIGHT, DEFAULT_WIDTH, draw_state
from pi0_sim.skills import SKILLS
from pi0_tools import CHECKOUT
from pi0_tools.train.recorded_episode import record_episode

CAMERA = "top"
NODE_CONFIG = CHECKOUT / "config/aloha_sim.yaml"
# The seeds below are for evaluation.
FIRST_SEED = 1000


class TooManyFailures(RuntimeError):
    """The expert fails so often that the demonstrations would not end."""


class DemonstrationWriter:
    """The successful episodes of one skill. Their pictures wait in a file, because they can outgrow the memory."""

    def __init__(self, prompt, crop, folder):
        rows, columns = crop
        self.prompt = prompt
        self._frame_shape = (rows.stop - rows.start, columns.stop - columns.start, 3)
        self._frames = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115, save() reads it again
        self._image_step, self._state, self._action, self._episode = [], [], [], []
        self._seeds, self._success = [], []
        self.kept = 0
        self._steps = 0

    @property
    def attempts(self):
        return len(self._seeds)

    @property
    def frames(self):
        return len(self._image_step)

    def add(self, seed, episode, frames, image_every):
        """Takes an attempt: its episode and its pictures, or None and no pictures when it failed."""
        self._seeds.append(seed)
        self._success.append(episode is not None)
        if episode is None:
            return
        steps = len(episode.state)
        self._image_step.extend(range(self._steps, self._steps + steps, image_every))
        for frame in frames:
            self._frames.write(frame.tobytes())
        self._state.append(episode.state)
        self._action.append(episode.action)
        self._episode.append(np.full(steps, self.attempts - 1, np.int32))
        self._steps += steps
        self.kept += 1

    def save(self, path):
        self._frames.flush()
        images = np.memmap(self._frames, np.uint8, "r", shape=(self.frames, *self._frame_shape))
        # Whoever finds the file finds all of it.
        unfinished = path.with_suffix(".unfinished.npz")
        np.savez_compressed(
            unfinished,
            prompt=self.prompt,
            images=images,
            image_step=np.array(self._image_step, np.int32),
            state=np.concatenate(self._state),
            action=np.concatenate(self._action),
            episode=np.concatenate(self._episode),
            seed=np.array(self._seeds, np.int64),
            success=np.array(self._success),
        )
        unfinished.rename(path)


def camera_crop():
    """The part of each frame that the node shows the policy: rows and columns."""
    parameters = yaml.safe_load(NODE_CONFIG.read_text(encoding="utf-8"))["/**"]["ros__parameters"]
    x, y, width, height = parameters["cameras"][CAMERA]["crop"]
    return slice(y, y + height), slice(x, x + width)


def dataset_info():
    """Facts of the demonstrations in the form of LeRobot's meta/info.json, with the crop, which that has no place for.

    A checkpoint's folder gets them as dataset_info.json.
    """
    rows, columns = camera_crop()
    width, height = columns.stop - columns.start, rows.stop - rows.start
    joints = {"dtype": "float32", "shape": [len(JOINT_NAMES)], "names": list(JOINT_NAMES)}
    image = {
        "dtype": "image",
        "shape": [height, width, 3],
        "names": ["height", "width", "channels"],
        "pi0_node": {"frame": [DEFAULT_WIDTH, DEFAULT_HEIGHT], "crop": [columns.start, rows.start, width, height]},
    }
    features = {"observation.state": joints, f"observation.images.{CAMERA}": image, "action": joints}
    return {
        "codebase_version": "v3.0",
        "robot_type": "aloha_sim",
        "fps": round(1 / STEP_SECONDS),
        "features": features,
    }


def draw_frames(physics, physics_states, crop):
    """What the policy sees of the pictures that the simulation's camera draws of these states."""
    for state in physics_states:
        yield draw_state(physics, state, CAMERA, DEFAULT_WIDTH, DEFAULT_HEIGHT)[crop]


def demonstrate(environment, skill, arguments, report):
    """Runs seeds until the episodes are there. report(demonstrations) is called after every attempt."""
    prompt = SKILLS[skill].prompt
    crop = camera_crop()
    demonstrations = DemonstrationWriter(prompt, crop, arguments.output)
    while demonstrations.kept < arguments.episodes:
        if demonstrations.attempts > 10 + 2 * arguments.episodes:
            raise TooManyFailures(f"{skill}: {demonstrations.kept} successes in {demonstrations.attempts} attempts")
        seed = arguments.first_seed + demonstrations.attempts
        episode = record_episode(environment, prompt, seed, arguments.perturbed)
        frames = []
        if episode is not None:
            states = episode.physics_states[:: arguments.image_every]
            frames = draw_frames(environment.physics, states, crop)
        demonstrations.add(seed, episode, frames, arguments.image_every)
        report(demonstrations)
    return demonstrations


class Progress:
    """Prints how far a skill is, every few seconds."""

    INTERVAL_S = 10.0

    def __init__(self, skill, episodes):
        self._skill = skill
        self._episodes = episodes
        self._start_s = self._printed_s = time.monotonic()

    def report(self, demonstrations):
        now_s = time.monotonic()
        if now_s - self._printed_s < self.INTERVAL_S or demonstrations.kept == 0:
            return
        self._printed_s = now_s
        left_s = (now_s - self._start_s) * (self._episodes / demonstrations.kept - 1)
        failures = demonstrations.attempts - demonstrations.kept
        print(
            f"{self._skill}: {demonstrations.kept} of {self._episodes} episodes, {failures} failed, "
            f"{left_s / 60:.1f} min left",
            flush=True,
        )

    def finished(self, demonstrations, path):
        taken_s = time.monotonic() - self._start_s
        print(
            f"{path}: {demonstrations.kept} of {demonstrations.attempts} attempts succeeded "
            f"({demonstrations.kept / demonstrations.attempts:.1%}), {demonstrations.frames} pictures, "
            f"{path.stat().st_size / 1e6:.1f} MB, {taken_s:.0f} s",
            flush=True,
        )


def parse_arguments(words=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, help="folder for the files")
    parser.add_argument("--episodes", type=int, default=300, help="successful episodes of each skill (default 300)")
    parser.add_argument(
        "--skill", choices=SKILLS, action="append", dest="skills", help="only this skill; may be repeated"
    )
    parser.add_argument(
        "--first-seed", type=int, default=FIRST_SEED, help=f"of the start poses (default and least {FIRST_SEED})"
    )
    parser.add_argument("--image-every", type=int, default=10, help="steps of 20 ms from one picture to the next")
    parser.add_argument(
        "--without-perturbation", action="store_false", dest="perturbed", help="no mishaps and no noise"
    )
    arguments = parser.parse_args(words)
    if arguments.first_seed < FIRST_SEED:
        parser.error(f"--first-seed is {arguments.first_seed}; the seeds below {FIRST_SEED} are for evaluation")
    for name in ("episodes", "image_every"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name.replace('_', '-')} is {getattr(arguments, name)}; it must be at least 1")
    return arguments


def main():
    arguments = parse_arguments()
    arguments.output.mkdir(parents=True, exist_ok=True)
    environment = AlohaEnvironment("transfer_cube")
    for skill in arguments.skills or SKILLS:
        progress = Progress(skill, arguments.episodes)
        demonstrations = demonstrate(environment, skill, arguments, progress.report)
        path = arguments.output / f"{skill}.npz"
        demonstrations.save(path)
        progress.finished(demonstrations, path)


if __name__ == "__main__":
    main()
