"""Runs a checkpoint in LeRobot's PyTorch code on a simulated robot, and counts how often it does each skill.

The simulation stands still while the policy thinks: no ROS and no node takes part.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from pi0_tools.train.lerobot_policy import LeRobotPolicy
from pi0_tools.train.robot import PICTURE_SECONDS, add_robot_arguments, take_robot

# Of a chunk is played until the next one is there: a half, and what the node plays while it infers.
PLAYED_SHARE = 0.52


def run_episode(robot, policy, skill, prompt, seed, actions_to_execute, black_cameras):
    """The outcome of one start pose. Ends early when the skill is done and kept."""
    environment = robot.environment(skill, seed)
    judge = robot.judge(environment, seed)
    generator = torch.Generator().manual_seed(seed)
    step = 0
    steps_a_picture = round(PICTURE_SECONDS / robot.step_seconds)
    pictured = environment.physics_state()
    while step * robot.step_seconds < robot.skills[skill].seconds and skill not in judge.outcome.kept:
        pictures = robot.draw(environment, pictured)
        for camera in black_cameras:
            pictures[camera] = np.zeros_like(pictures[camera])
        state = robot.state_row(robot.scene_of(environment))
        noise = torch.randn(policy.horizon, policy.action_values, generator=generator)
        for action in policy.actions(pictures, state, prompt, noise)[:actions_to_execute]:
            target = robot.target_of(state, action)
            for _ in range(robot.steps_an_action):
                reward = robot.execute(environment, target, None)
                step += 1
                if step % steps_a_picture == 0:
                    pictured = environment.physics_state()
                judge.stepped(environment, reward, step * robot.step_seconds)
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
        help="of each chunk (default: half of them, and what the node plays more while it infers the next chunk)",
    )
    parser.add_argument("--prompt-of", metavar="SKILL", help="the policy is asked for this skill, whatever is judged")
    parser.add_argument("--black", action="append", default=[], metavar="CAMERA", help="this one sees nothing")
    arguments = parser.parse_args()
    take_robot(parser, arguments)
    robot = arguments.robot
    torch.set_num_threads(1)
    policy = LeRobotPolicy(arguments.checkpoint)
    actions_to_execute = arguments.actions_to_execute or round(PLAYED_SHARE * robot.horizon)
    for name in arguments.skills:
        prompt = robot.skills[arguments.prompt_of or name].prompt
        outcomes = [
            run_episode(robot, policy, name, prompt, seed, actions_to_execute, arguments.black)
            for seed in range(arguments.first_seed, arguments.first_seed + arguments.episodes)
        ]
        failed = [outcome.seed for outcome in outcomes if name not in outcome.kept]
        others = {kept for outcome in outcomes for kept in outcome.kept} - {name}
        print(
            f"{name}, asked to {prompt}: done {len(outcomes) - len(failed)} of {len(outcomes)}, "
            f"others done {sorted(others)}, mean of the best rewards {np.mean([o.reward_max for o in outcomes]):.2f}, "
            f"median {np.median([o.seconds for o in outcomes]):.1f} s, failed seeds {failed}",
            flush=True,
        )


if __name__ == "__main__":
    main()
