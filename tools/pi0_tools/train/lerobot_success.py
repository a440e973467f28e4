"""Runs a checkpoint in LeRobot's PyTorch code on a simulated robot, and counts how often it does each skill."""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from pi0_tools.train.lerobot_policy import LeRobotPolicy
from pi0_tools.train.policy_motion import played_actions, policy_motion
from pi0_tools.train.robot import add_robot_arguments, take_robot


def run_episode(robot, policy, skill, prompt, seed, actions_to_execute, black_cameras):
    """The outcome of one start pose. Ends early when the skill is done and kept."""
    environment = robot.environment(skill, seed)
    judge = robot.judge(environment, seed)
    motion = policy_motion(robot, environment, policy, prompt, seed, actions_to_execute, black_cameras)
    steps = 0
    while skill not in judge.outcome.kept and steps * robot.step_seconds < robot.skills[skill].seconds:
        reward = next(motion)
        steps += 1
        judge.stepped(environment, reward, steps * robot.step_seconds)
    return judge.outcome


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    add_robot_arguments(parser)
    parser.add_argument("--episodes", type=int, default=100, help="seeds of each skill (default 100)")
    parser.add_argument("--first-seed", type=int, default=0, help="the first of them (default 0)")
    parser.add_argument(
        "--actions-to-execute",
        type=int,
        help="of each chunk (default: as many as the node plays)",
    )
    parser.add_argument("--prompt-of", metavar="SKILL", help="the policy is asked for this skill, whatever is judged")
    parser.add_argument("--black", action="append", default=[], metavar="CAMERA", help="this one sees nothing")
    arguments = parser.parse_args()
    take_robot(parser, arguments)
    robot = arguments.robot
    torch.set_num_threads(1)
    policy = LeRobotPolicy(arguments.checkpoint)
    actions_to_execute = arguments.actions_to_execute or played_actions(robot)
    for name in arguments.skills:
        prompt = robot.skills[arguments.prompt_of or name].prompt
        outcomes = [
            run_episode(robot, policy, name, prompt, seed, actions_to_execute, arguments.black)
            for seed in range(arguments.first_seed, arguments.first_seed + arguments.episodes)
        ]
        failed = [outcome.seed for outcome in outcomes if name not in outcome.kept]
        others = Counter(kept for outcome in outcomes for kept in outcome.kept if kept != name)
        print(
            f"{name}, asked to {prompt}: done {len(outcomes) - len(failed)} of {len(outcomes)}, "
            f"others done {dict(others)}, mean of the best rewards {np.mean([o.reward_max for o in outcomes]):.2f}, "
            f"median {np.median([o.seconds for o in outcomes]):.1f} s, failed seeds {failed}",
            flush=True,
        )


if __name__ == "__main__":
    main()
