"""The whole policy in robot units: pictures, joint positions and a prompt to joint positions."""

from dataclasses import dataclass
from pathlib import Path

import torch
from lerobot.policies.pretrained import PreTrainedPolicy
from lerobot.policies.utils import prepare_observation_for_inference
from lerobot.utils.constants import OBS_LANGUAGE_ATTENTION_MASK, OBS_LANGUAGE_TOKENS, OBS_STATE

from pi0_tools.reference.fixture_file import as_bytes, save_tensors
from pi0_tools.reference.lerobot_checkpoint import build_processors
from pi0_tools.reference.policy_types import type_of
from pi0_tools.reference.small_policy import CAMERAS, JOINTS, camera_key, dataset_statistics

ROBOT_SEED = 400
PROMPT = "pick up the cube"


@dataclass
class RobotInputs:
    """pictures: by the camera's name. noise: with a batch of one."""

    pictures: dict[str, torch.Tensor]
    state: torch.Tensor
    noise: torch.Tensor


def robot_inputs(policy: PreTrainedPolicy, missing_camera: str | None = None) -> RobotInputs:
    """One observation that lacks `missing_camera`, and noise: the same every time."""
    generator = torch.Generator().manual_seed(ROBOT_SEED)
    pictures = {
        name: torch.randint(0, 256, (height, width, 3), generator=generator, dtype=torch.uint8)
        for name, (height, width) in CAMERAS.items()
    }
    of_state = dataset_statistics(type_of(policy.config))[OBS_STATE]
    state = of_state["mean"] + of_state["std"] * torch.randn(len(JOINTS), generator=generator)
    noise = torch.randn(1, policy.config.chunk_size, policy.config.max_action_dim, generator=generator)
    pictures.pop(missing_camera, None)
    return RobotInputs(pictures, state, noise)


def prepared(policy: PreTrainedPolicy, tokenizer, inputs: RobotInputs):
    """What LeRobot's preprocessor makes of an observation, and both processors."""
    observation = {camera_key(name): picture.numpy() for name, picture in inputs.pictures.items()}
    observation[OBS_STATE] = inputs.state.numpy()
    statistics = dataset_statistics(type_of(policy.config))
    preprocessor, postprocessor = build_processors(policy.config, tokenizer, statistics)
    batch = preprocessor(prepare_observation_for_inference(observation, torch.device("cpu"), task=PROMPT))
    return batch, preprocessor, postprocessor


def run_policy(policy: PreTrainedPolicy, tokenizer, missing_camera: str | None = None) -> dict[str, torch.Tensor]:
    """LeRobot's preprocessor, policy and postprocessor on one observation that lacks `missing_camera`."""
    inputs = robot_inputs(policy, missing_camera)
    pictures, state, noise = inputs.pictures, inputs.state, inputs.noise
    batch, _, postprocessor = prepared(policy, tokenizer, inputs)
    images, image_masks = policy._preprocess_images(batch)
    with torch.no_grad():
        model_actions = policy.predict_action_chunk(batch, noise=noise)
    rows = {f"picture.{name}": picture for name, picture in pictures.items()}
    if type_of(policy.config).state_in_prompt:
        (text,) = batch["task"]
        rows |= {"normalised_state": batch[OBS_STATE][0], "prompt_text": as_bytes(text)}
    else:
        rows["model_state"] = policy.prepare_state(batch)[0]
    return rows | {
        "state": state,
        "noise": noise[0],
        "tokens": batch[OBS_LANGUAGE_TOKENS][0],
        "token_mask": batch[OBS_LANGUAGE_ATTENTION_MASK][0],
        "model_images": torch.cat(images),
        "model_image_masks": torch.cat(image_masks),
        "model_actions": model_actions[0],
        "actions": postprocessor(model_actions)[0],
    }


def write_robot_rows(policy: PreTrainedPolicy, tokenizer, path: Path, missing_camera: str | None = None) -> None:
    save_tensors(path, run_policy(policy, tokenizer, missing_camera), prompt=PROMPT)
