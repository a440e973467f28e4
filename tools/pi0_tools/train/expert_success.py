"""Counts how often the scripted expert does each skill. Draws no pictures and writes nothing."""

import argparse

import numpy as np

from pi0_sim.aloha_environment import STEP_SECONDS, AlohaEnvironment
from pi0_tools.train.recorded_episode import record_episode
from pi0_tools.train.scripted_expert import PROMPTS


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=100, help="seeds of each skill (default 100)")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them (default 0)")
    arguments = parser.parse_args()
    environment = AlohaEnvironment("transfer_cube")
    for prompt in PROMPTS:
        for perturbed in (False, True):
            seeds = range(arguments.first_seed, arguments.first_seed + arguments.episodes)
            attempts = {seed: record_episode(environment, prompt, seed, perturbed) for seed in seeds}
            failed = [seed for seed, episode in attempts.items() if episode is None]
            lengths_s = [len(episode.state) * STEP_SECONDS for episode in attempts.values() if episode is not None]
            print(
                f"{prompt}, {'with' if perturbed else 'without'} perturbation: "
                f"{len(lengths_s)} of {arguments.episodes}; median {np.median(lengths_s):.1f} s, "
                f"longest {max(lengths_s):.1f} s; failed seeds {failed}",
                flush=True,
            )


if __name__ == "__main__":
    main()
