"""Makes the demonstrations of every skill: one .npz file each. README.md says what is in them."""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from pi0_tools.train.recorded_episode import record_episode
from pi0_tools.train.robot import add_robot_arguments, take_robot

# The seeds below are for evaluation.
FIRST_SEED = 1000
# A policy does a skill in about half of the time that is enough for it, and fails later.
LONGEST_POLICY_SHARE = 0.6


class TooManyFailures(RuntimeError):
    """The expert fails so often that the demonstrations would not end."""


class DemonstrationWriter:
    """The successful episodes of one skill. Their pictures wait in files, because they can outgrow the memory."""

    def __init__(self, prompt, cameras, folder):
        """cameras: a Picture of each, by its name."""
        self.prompt = prompt
        self._shapes = {camera: (picture.size, picture.size, 3) for camera, picture in cameras.items()}
        # save() reads them again.
        self._pictures = {camera: tempfile.TemporaryFile(dir=folder) for camera in cameras}  # noqa: SIM115
        self._image_step, self._state, self._target, self._episode = [], [], [], []
        self._object_places = []
        self._seeds, self._success = [], []
        self.kept = 0
        self._steps = 0

    @property
    def attempts(self):
        return len(self._seeds)

    @property
    def frames(self):
        return len(self._image_step)

    def add(self, seed, episode, pictures, image_every):
        """Takes an attempt: its episode and its pictures, by camera, or None and no pictures when it failed."""
        self._seeds.append(seed)
        self._success.append(episode is not None)
        if episode is None:
            return
        steps = len(episode.state)
        self._image_step.extend(range(self._steps, self._steps + steps, image_every))
        for by_camera in pictures:
            for camera, picture in by_camera.items():
                self._pictures[camera].write(picture.tobytes())
        self._object_places.append(episode.object_places[::image_every])
        self._state.append(episode.state)
        self._target.append(episode.target)
        self._episode.append(np.full(steps, self.attempts - 1, np.int32))
        self._steps += steps
        self.kept += 1

    def save(self, path):
        images = {}
        for camera, pictures in self._pictures.items():
            pictures.flush()
            images[f"images.{camera}"] = np.memmap(pictures, np.uint8, "r", shape=(self.frames, *self._shapes[camera]))
        # Whoever finds the file finds all of it.
        unfinished = path.with_suffix(".unfinished.npz")
        np.savez_compressed(
            unfinished,
            prompt=self.prompt,
            **images,
            image_step=np.array(self._image_step, np.int32),
            object_places=np.concatenate(self._object_places),
            state=np.concatenate(self._state),
            target=np.concatenate(self._target),
            episode=np.concatenate(self._episode),
            seed=np.array(self._seeds, np.int64),
            success=np.array(self._success),
        )
        unfinished.rename(path)


def policy_first(robot, folder):
    """What lets a checkpoint's policy move the robot for a random time, for `record_episode`."""
    # LeRobot has an environment of its own, where nothing else here is needed.
    from pi0_tools.train.lerobot_policy import LeRobotPolicy
    from pi0_tools.train.policy_motion import played_actions, policy_motion

    policy = LeRobotPolicy(folder)

    def move(environment, skill, random):
        prompt, seed = robot.skills[skill].prompt, int(random.integers(2**31))
        seconds = random.uniform(0, LONGEST_POLICY_SHARE * robot.skills[skill].seconds)
        motion = policy_motion(robot, environment, policy, prompt, seed, played_actions(robot))
        for _ in range(round(seconds / robot.step_seconds)):
            next(motion)

    return move


def demonstrate(robot, skill, arguments, report, move_first=None):
    """Runs seeds until the episodes are there. report(demonstrations) is called after every attempt."""
    demonstrations = DemonstrationWriter(robot.skills[skill].prompt, robot.cameras, arguments.output)
    while demonstrations.kept < arguments.episodes:
        if demonstrations.attempts > 10 + 2 * arguments.episodes:
            raise TooManyFailures(f"{skill}: {demonstrations.kept} successes in {demonstrations.attempts} attempts")
        seed = arguments.first_seed + demonstrations.attempts
        episode = record_episode(robot, skill, seed, arguments.perturbed, move_first)
        pictures = []
        if episode is not None:
            states = episode.physics_states[:: arguments.image_every]
            pictures = (robot.draw(episode.environment, state) for state in states)
        demonstrations.add(seed, episode, pictures, arguments.image_every)
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
    add_robot_arguments(parser)
    parser.add_argument("--episodes", type=int, default=300, help="successful episodes of each skill (default 300)")
    parser.add_argument(
        "--first-seed", type=int, default=FIRST_SEED, help=f"of the start poses (default and least {FIRST_SEED})"
    )
    parser.add_argument(
        "--image-every", type=int, default=10, help="simulated steps from a picture to the next (default 10)"
    )
    parser.add_argument(
        "--without-perturbation", action="store_false", dest="perturbed", help="no mishaps and no noise"
    )
    parser.add_argument(
        "--after-policy",
        type=Path,
        metavar="CHECKPOINT",
        help="the expert takes over from this policy at a random moment, in place of mishaps; in LeRobot's environment",
    )
    arguments = parser.parse_args(words)
    if arguments.first_seed < FIRST_SEED:
        parser.error(f"--first-seed is {arguments.first_seed}; the seeds below {FIRST_SEED} are for evaluation")
    for name in ("episodes", "image_every"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name.replace('_', '-')} is {getattr(arguments, name)}; it must be at least 1")
    take_robot(parser, arguments)
    return arguments


def main():
    arguments = parse_arguments()
    arguments.output.mkdir(parents=True, exist_ok=True)
    checkpoint = arguments.after_policy
    move_first = None if checkpoint is None else policy_first(arguments.robot, checkpoint)
    for skill in arguments.skills:
        progress = Progress(skill, arguments.episodes)
        demonstrations = demonstrate(arguments.robot, skill, arguments, progress.report, move_first)
        path = arguments.output / f"{skill}.npz"
        demonstrations.save(path)
        progress.finished(demonstrations, path)


if __name__ == "__main__":
    main()
