"""Writes what LeRobot's PyTorch code makes of one observation of each skill.

The tests hold the node's policy to it: the whole camera frame, the joint state and the noise go in, actions come out.
"""

import argparse
from pathlib import Path

import torch

from pi0_sim.aloha_environment import AlohaEnvironment
from pi0_sim.camera import DEFAULT_HEIGHT, DEFAULT_WIDTH, draw_state
from pi0_sim.skills import SKILLS
from pi0_tools.reference.fixture_file import save_tensors
from pi0_tools.train.lerobot_policy import LeRobotPolicy
from pi0_tools.train.make_demonstrations import CAMERA, camera_crop

SEED = 7
# Somewhere on the way, so that no joint is at its start.
STEPS_ON_THE_WAY = 40


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path, help="where a file for each skill goes")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    environment = AlohaEnvironment("transfer_cube")
    policy = LeRobotPolicy(arguments.checkpoint)
    crop = camera_crop()
    for name, skill in SKILLS.items():
        environment.reset(SEED)
        generator = torch.Generator().manual_seed(SEED)

        def observe(prompt=skill.prompt, generator=generator):
            frame = draw_state(
                environment.physics, environment.physics.get_state(), CAMERA, DEFAULT_WIDTH, DEFAULT_HEIGHT
            )
            state = environment.joint_positions()
            noise = torch.randn(policy.horizon, policy.joints, generator=generator)
            return frame, state, noise, policy.actions(frame[crop], state, prompt, noise)

        for targets in observe()[-1][:STEPS_ON_THE_WAY]:
            environment.step(targets)
        frame, state, noise, actions = observe()
        rows = {
            "picture.top": torch.from_numpy(frame.copy()),
            "state": torch.from_numpy(state).float(),
            "noise": noise,
            "actions": torch.from_numpy(actions),
        }
        save_tensors(arguments.folder / f"{name}.safetensors", rows, prompt=skill.prompt)


if __name__ == "__main__":
    main()
