"""Counts how often the scripted expert does each skill. Draws no pictures and writes nothing."""

import argparse

import numpy as np

from pi0_tools.train.recorded_episode import record_episode
from pi0_tools.train.robot import add_robot_arguments, take_robot


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    add_robot_arguments(parser)
    parser.add_argument("--episodes", type=int, default=100, help="seeds of each skill (default 100)")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them (default 0)")
    arguments = parser.parse_args()
    take_robot(parser, arguments)
    robot = arguments.robot
    for skill in arguments.skills:
        for perturbed in (False, True):
            seeds = range(arguments.first_seed, arguments.first_seed + arguments.episodes)
            # Without their pictures and states, which fill the memory.
            steps = {seed: steps_of(record_episode(robot, skill, seed, perturbed)) for seed in seeds}
            failed = [seed for seed, number in steps.items() if number is None]
            lengths_s = [number * robot.step_seconds for number in steps.values() if number is not None]
            print(
                f"{robot.skills[skill].prompt}, {'with' if perturbed else 'without'} perturbation: "
                f"{len(lengths_s)} of {arguments.episodes}; median {np.median(lengths_s):.1f} s, "
                f"longest {max(lengths_s):.1f} s; failed seeds {failed}",
                flush=True,
            )


def steps_of(episode):
    return None if episode is None else len(episode.state)


if __name__ == "__main__":
    main()
