"""A checkpoint in LeRobot's PyTorch code, from pictures and a state to actions."""

import json

import numpy as np
import torch
from lerobot.policies.utils import prepare_observation_for_inference
from lerobot.utils.constants import OBS_STATE
from safetensors.torch import load_file

from pi0_tools.reference.lerobot_checkpoint import build_processors, load_policy
from pi0_tools.reference.prompt_tokenizer import read_tokenizer
from pi0_tools.train.small_robot_policy import camera_feature


class LeRobotPolicy:
    """LeRobot's policy between LeRobot's own processors."""

    def __init__(self, folder):
        self._policy = load_policy(folder)
        tokenizer = read_tokenizer(folder)
        file = json.loads((folder / "policy_preprocessor.json").read_text(encoding="utf-8"))
        (state_file,) = [step["state_file"] for step in file["steps"] if "state_file" in step]
        statistics = {}
        for key, value in load_file(folder / state_file).items():
            feature, name = key.rsplit(".", 1)
            statistics.setdefault(feature, {})[name] = value
        self._before, self._after = build_processors(self._policy.config, tokenizer, statistics)

    def noise(self, seed):
        """What `actions` takes, for one chunk after the other, without end."""
        generator = torch.Generator().manual_seed(seed)
        config = self._policy.config
        while True:
            yield torch.randn(config.chunk_size, config.max_action_dim, generator=generator)

    def actions(self, pictures, state, prompt, noise):
        """Actions in the robot's units, [horizon, actions].

        pictures: uint8 [height, width, 3] of each camera. noise: [horizon, actions].
        """
        # What MuJoCo draws is upside down, with a negative stride.
        images = {camera_feature(camera): np.ascontiguousarray(picture) for camera, picture in pictures.items()}
        observation = {**images, OBS_STATE: state.astype(np.float32)}
        batch = self._before(prepare_observation_for_inference(observation, torch.device("cpu"), task=prompt))
        actions = self._policy.predict_action_chunk(batch, noise=noise[None])
        return self._after(actions)[0].numpy()
