"""The small policies that every fixture comes from, and the statistics of their dataset."""

import torch
from lerobot.configs import FeatureType, PolicyFeature, PreTrainedConfig
from lerobot.policies.pretrained import PreTrainedPolicy
from lerobot.utils.constants import ACTION, OBS_IMAGES, OBS_STATE

from pi0_tools.reference.architecture import SMALL
from pi0_tools.reference.lerobot_checkpoint import Statistics, build_policy
from pi0_tools.reference.policy_types import PI05, PolicyType
from pi0_tools.reference.random_weights import randomise

WEIGHTS_SEED = 1
STATISTICS_SEED = 2

JOINTS = [
    f"{arm}_{joint}"
    for arm in ("left", "right")
    for joint in ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate", "gripper")
]

# Height and width in pixels, in the order in which the policy sees the cameras.
CAMERAS = {"top": (48, 64), "left_wrist": (37, 91), "right_wrist": (64, 48)}


# A quantile's distance from the mean, in standard deviations. The mean is not in the middle of any two.
QUANTILES = {"q01": -1.9, "q10": -1.1, "q50": 0.1, "q90": 1.4, "q99": 2.3}


def camera_key(camera: str) -> str:
    return f"{OBS_IMAGES}.{camera}"


def fixture_config(policy_type: PolicyType, **changes) -> PreTrainedConfig:
    """`max_state_dim` differs from `max_action_dim`, so that one cannot pass for the other."""
    cameras = {
        camera_key(name): PolicyFeature(FeatureType.VISUAL, (3, height, width))
        for name, (height, width) in CAMERAS.items()
    }
    return policy_type.config_class(
        input_features={OBS_STATE: PolicyFeature(FeatureType.STATE, (len(JOINTS),)), **cameras},
        output_features={ACTION: PolicyFeature(FeatureType.ACTION, (len(JOINTS),))},
        image_resolution=(SMALL.vision.image_size, SMALL.vision.image_size),
        max_state_dim=24,
        max_action_dim=32,
        device="cpu",
        **changes,
    )


def fixture_policy(config: PreTrainedConfig) -> PreTrainedPolicy:
    policy = build_policy(config, SMALL)
    randomise(policy, WEIGHTS_SEED)
    return policy.eval()


def dataset_statistics(policy_type: PolicyType) -> Statistics:
    """Statistics as a dataset has them; the image ones are there because LeRobot stores but does not use them.

    π0's are of a dataset without quantiles, which has no need of them.
    """
    generator = torch.Generator().manual_seed(STATISTICS_SEED)

    def of_joints() -> dict[str, torch.Tensor]:
        mean = torch.randn(len(JOINTS), generator=generator) * 0.5
        std = torch.rand(len(JOINTS), generator=generator) * 0.5 + 0.05
        statistics = {"mean": mean, "std": std, "min": mean - 3 * std, "max": mean + 3 * std}
        if policy_type is PI05:
            statistics |= {name: mean + distance * std for name, distance in QUANTILES.items()}
        return statistics

    statistics = {OBS_STATE: of_joints(), ACTION: of_joints()}
    for camera in CAMERAS:
        statistics[camera_key(camera)] = {
            "mean": torch.full((3, 1, 1), 0.4),
            "std": torch.full((3, 1, 1), 0.2),
            "min": torch.zeros(3, 1, 1),
            "max": torch.ones(3, 1, 1),
        }
    return statistics
