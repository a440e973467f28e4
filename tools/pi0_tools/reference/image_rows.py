"""Camera pictures as LeRobot prepares them for the network."""

from pathlib import Path

import torch
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies.pretrained import PreTrainedPolicy
from lerobot.policies.utils import prepare_observation_for_inference
from lerobot.utils.constants import OBS_IMAGES

from pi0_tools.reference.fixture_file import save_tensors
from pi0_tools.reference.overridden import overridden

IMAGES_SEED = 200

# Height and width of the picture, side of the target, in pixels. LeRobot truncates int(72 / (72 / 56)) to 55,
# not 56, so a picture of 72 columns leaves a column of padding.
SIZES = [
    (1, 1, 56),
    (7, 5, 56),
    (48, 64, 56),
    (64, 48, 56),
    (37, 91, 56),
    (91, 37, 56),
    (100, 4, 56),
    (55, 57, 56),
    (58, 72, 56),
    (56, 56, 56),
    (56, 40, 56),
    (112, 112, 56),
    (111, 113, 56),
    (37, 91, 224),
]


def preprocess(policy: PreTrainedPolicy, picture: torch.Tensor, side: int) -> torch.Tensor:
    """An RGB picture [height, width, 3] of bytes as the network's input [3, side, side] in [-1, 1]."""
    key = f"{OBS_IMAGES}.top"
    height, width, _ = picture.shape
    observation = prepare_observation_for_inference({key: picture.numpy()}, torch.device("cpu"))
    feature = {key: PolicyFeature(FeatureType.VISUAL, (3, height, width))}
    with overridden(policy.config, input_features=feature, image_resolution=(side, side)):
        images, _ = policy._preprocess_images(observation)
    return images[0][0]


def write_images(policy: PreTrainedPolicy, path: Path) -> None:
    generator = torch.Generator().manual_seed(IMAGES_SEED)
    rows = {}
    for height, width, side in SIZES:
        picture = torch.randint(0, 256, (height, width, 3), generator=generator, dtype=torch.uint8)
        name = f"{height}x{width}_to_{side}"
        rows[f"{name}.input"] = picture
        rows[f"{name}.output"] = preprocess(policy, picture, side)
    save_tensors(path, rows)
