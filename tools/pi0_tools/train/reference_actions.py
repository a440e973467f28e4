"""Writes what LeRobot's PyTorch code makes of one observation of each skill.

The tests hold the node's policy to it: whole camera frames, the state and the noise go in, actions come out.
"""

import argparse
from pathlib import Path

import torch

from pi0_tools.reference.fixture_file import save_tensors
from pi0_tools.train.lerobot_policy import LeRobotPolicy
from pi0_tools.train.robot import add_robot_arguments, cropped, take_robot

SEED = 7
# Somewhere on the way, so that nothing is at its start.
STEPS_ON_THE_WAY = 40


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path, help="where a file for each skill goes")
    add_robot_arguments(parser)
    arguments = parser.parse_args()
    take_robot(parser, arguments)
    robot = arguments.robot
    torch.set_num_threads(1)
    policy = LeRobotPolicy(arguments.checkpoint)
    for name in arguments.skills:
        prompt = robot.skills[name].prompt
        environment = robot.environment(name, SEED)
        noises = policy.noise(SEED)

        def observe(prompt=prompt, environment=environment, noises=noises):
            frames = robot.frames(environment, environment.physics_state())
            pictures = {camera: cropped(frames[camera], picture) for camera, picture in robot.cameras.items()}
            state = robot.state_row(robot.scene_of(environment))
            noise = next(noises)
            return frames, state, noise, policy.actions(pictures, state, prompt, noise)

        _, state, _, actions = observe()
        for action in actions[: STEPS_ON_THE_WAY // robot.steps_an_action]:
            for _ in range(robot.steps_an_action):
                robot.execute(environment, robot.target_of(state, action), None)
        frames, state, noise, actions = observe()
        rows = {
            **{f"picture.{camera}": torch.from_numpy(frame.copy()) for camera, frame in frames.items()},
            "state": torch.from_numpy(state).float(),
            "noise": noise,
            "actions": torch.from_numpy(actions),
        }
        save_tensors(arguments.folder / f"{name}.safetensors", rows, prompt=prompt)


if __name__ == "__main__":
    main()
