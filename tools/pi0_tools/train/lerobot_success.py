"""Runs a checkpoint in LeRobot's PyTorch code on the simulated robot, and counts how often it does each skill.

The simulation stands still while the policy thinks: no ROS and no node takes part.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from pi0_sim.aloha_environment import STEP_SECONDS, AlohaEnvironment
from pi0_sim.skills import SKILLS, EpisodeJudge
from pi0_tools.train.lerobot_policy import LeRobotPolicy
from pi0_tools.train.make_demonstrations import camera_crop, draw_frames

# As often as the simulated robot's camera sends one by default, 10 times a second.
STEPS_A_PICTURE = 5


def run_episode(environment, policy, skill, prompt, seed, actions_to_execute, picture_black):
    """The outcome of one start pose. Ends early when the skill is done and kept."""
    environment.reset_at_rest(seed)
    judge = EpisodeJudge(seed, environment.joint_positions())
    crop = camera_crop()
    generator = torch.Generator().manual_seed(seed)
    step = 0
    pictured = environment.physics.get_state()
    while step * STEP_SECONDS < SKILLS[skill].seconds and skill not in judge.outcome.kept:
        (picture,) = draw_frames(environment.physics, [pictured], crop)
        noise = torch.randn(policy.horizon, policy.joints, generator=generator)
        if picture_black:
            picture = np.zeros_like(picture)
        for targets in policy.actions(picture, environment.joint_positions(), prompt, noise)[:actions_to_execute]:
            reward = environment.step(targets)
            step += 1
            if step % STEPS_A_PICTURE == 0:
                pictured = environment.physics.get_state()
            judge.stepped(environment, reward, step * STEP_SECONDS)
    return judge.outcome


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--skill", choices=SKILLS, action="append", dest="skills", help="only this; may be repeated")
    parser.add_argument("--episodes", type=int, default=100, help="seeds of each skill (default 100)")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them (default 0)")
    parser.add_argument(
        "--actions-to-execute",
        type=int,
        default=26,
        help="of each chunk (default 26: the node plays 25, and one more while it infers the next chunk)",
    )
    parser.add_argument("--black", action="store_true", help="the camera sees nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    environment = AlohaEnvironment("transfer_cube")
    policy = LeRobotPolicy(arguments.checkpoint)
    for name in arguments.skills or SKILLS:
        outcomes = []
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.episodes):
            prompt = SKILLS[name].prompt
            outcomes.append(
                run_episode(environment, policy, name, prompt, seed, arguments.actions_to_execute, arguments.black)
            )
        done = [outcome for outcome in outcomes if name in outcome.kept]
        failed = [outcome.seed for outcome in outcomes if name not in outcome.kept]
        arm = SKILLS[name].holding_arm
        touched = sum(arm in outcome.touched for outcome in outcomes)
        wrong = sum(SKILLS[name].idle_arm in outcome.moved for outcome in outcomes)
        rewards = {reward: sum(outcome.reward_max >= reward for outcome in outcomes) for reward in (1, 2, 3, 4)}
        print(
            f"{name}: done {len(done)} of {len(outcomes)}, touched {touched}, idle arm moved {wrong}, "
            f"reward at least {rewards}, median {np.median([o.seconds for o in outcomes]):.1f} s, "
            f"failed seeds {failed}",
            flush=True,
        )


if __name__ == "__main__":
    main()
