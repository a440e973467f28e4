"""The small policy that every fixture comes from, and its checkpoint as LeRobot writes one."""

from pathlib import Path
from unittest.mock import patch

import torch
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies.pi0.configuration_pi0 import PI0Config
from lerobot.policies.pi0.modeling_pi0 import PI0Policy
from lerobot.policies.pi0.processor_pi0 import make_pi0_pre_post_processors
from lerobot.processor import tokenizer_processor
from lerobot.utils.constants import ACTION, OBS_IMAGES, OBS_STATE

from architecture import SMALL
from prompt_tokenizer import write_tokenizer
from random_weights import randomise
from small_pi0 import sized

WEIGHTS_SEED = 1
STATISTICS_SEED = 2

JOINTS = [
    f"{arm}_{joint}"
    for arm in ("left", "right")
    for joint in (
        "waist",
        "shoulder",
        "elbow",
        "forearm_roll",
        "wrist_angle",
        "wrist_rotate",
        "gripper",
    )
]

# Height and width in pixels, in the order in which the policy sees the cameras.
CAMERAS = {"top": (48, 64), "left_wrist": (37, 91), "right_wrist": (64, 48)}


def camera_key(camera: str) -> str:
    return f"{OBS_IMAGES}.{camera}"


def small_config(**changes) -> PI0Config:
    """`max_state_dim` differs from `max_action_dim`, so that one cannot pass for the other."""
    cameras = {
        camera_key(name): PolicyFeature(FeatureType.VISUAL, (3, height, width))
        for name, (height, width) in CAMERAS.items()
    }
    return PI0Config(
        input_features={
            OBS_STATE: PolicyFeature(FeatureType.STATE, (len(JOINTS),)),
            **cameras,
        },
        output_features={ACTION: PolicyFeature(FeatureType.ACTION, (len(JOINTS),))},
        image_resolution=(SMALL.vision.image_size, SMALL.vision.image_size),
        max_state_dim=24,
        max_action_dim=32,
        device="cpu",
        **changes,
    )


def build_policy(config: PI0Config) -> PI0Policy:
    with sized(SMALL):
        policy = PI0Policy(config)
    randomise(policy, WEIGHTS_SEED)
    return policy.eval()


def dataset_statistics() -> dict[str, dict[str, torch.Tensor]]:
    """Statistics as a dataset has them; the image ones are there because LeRobot stores but does not use them."""
    generator = torch.Generator().manual_seed(STATISTICS_SEED)

    def of_joints() -> dict[str, torch.Tensor]:
        mean = torch.randn(len(JOINTS), generator=generator) * 0.5
        std = torch.rand(len(JOINTS), generator=generator) * 0.5 + 0.05
        return {"mean": mean, "std": std, "min": mean - 3 * std, "max": mean + 3 * std}

    statistics = {OBS_STATE: of_joints(), ACTION: of_joints()}
    for camera in CAMERAS:
        statistics[camera_key(camera)] = {
            "mean": torch.full((3, 1, 1), 0.4),
            "std": torch.full((3, 1, 1), 0.2),
            "min": torch.zeros(3, 1, 1),
            "max": torch.ones(3, 1, 1),
        }
    return statistics


def build_processors(config: PI0Config, tokenizer):
    """LeRobot's pre- and post-processor, with `tokenizer` where LeRobot downloads PaliGemma's."""
    with patch.object(tokenizer_processor.AutoTokenizer, "from_pretrained", lambda name: tokenizer):
        return make_pi0_pre_post_processors(config, dataset_statistics())


def write_processors(config: PI0Config, tokenizer, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    for pipeline in build_processors(config, tokenizer):
        pipeline.save_pretrained(folder)
    write_tokenizer(tokenizer, folder)


def write_checkpoint(policy: PI0Policy, tokenizer, folder: Path) -> None:
    policy.save_pretrained(folder)
    write_processors(policy.config, tokenizer, folder)
    SMALL.save(folder)
    with sized(SMALL):
        loaded = PI0Policy.from_pretrained(folder)
    for name, value in policy.state_dict().items():
        if not torch.equal(value, loaded.state_dict()[name]):
            raise AssertionError(f"{name} is not the same after LeRobot has loaded its own checkpoint")
