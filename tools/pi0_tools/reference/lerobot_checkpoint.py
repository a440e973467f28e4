"""A π0 of any size in LeRobot's classes, and its checkpoint as LeRobot writes and reads one."""

from pathlib import Path

import torch
from lerobot.policies.pi0.configuration_pi0 import PI0Config
from lerobot.policies.pi0.modeling_pi0 import PI0Policy
from lerobot.policies.pi0.processor_pi0 import make_pi0_pre_post_processors
from lerobot.processor import tokenizer_processor

from pi0_tools.reference.architecture import Architecture
from pi0_tools.reference.overridden import overridden
from pi0_tools.reference.prompt_tokenizer import write_tokenizer
from pi0_tools.reference.small_pi0 import sized

# By the name of a feature, then mean, std, min and max of each of its values.
Statistics = dict[str, dict[str, torch.Tensor]]


def build_policy(config: PI0Config, architecture: Architecture) -> PI0Policy:
    with sized(architecture):
        return PI0Policy(config)


def load_policy(folder: Path) -> PI0Policy:
    """Whatever LeRobot makes of a folder that `write_checkpoint` wrote."""
    with sized(Architecture.load(folder)):
        return PI0Policy.from_pretrained(folder).eval()


def build_processors(config: PI0Config, tokenizer, statistics: Statistics):
    """LeRobot's pre- and post-processor, with `tokenizer` where LeRobot downloads PaliGemma's."""
    with overridden(tokenizer_processor.AutoTokenizer, from_pretrained=lambda name: tokenizer):
        return make_pi0_pre_post_processors(config, statistics)


def write_processors(config: PI0Config, tokenizer, statistics: Statistics, folder: Path) -> None:
    """Writes everything of a checkpoint but the weights and the architecture."""
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    for pipeline in build_processors(config, tokenizer, statistics):
        pipeline.save_pretrained(folder)
    write_tokenizer(tokenizer, folder)


def write_checkpoint(
    policy: PI0Policy, tokenizer, statistics: Statistics, architecture: Architecture, folder: Path
) -> None:
    """Raises AssertionError when LeRobot reads other weights from the folder than were written."""
    policy.save_pretrained(folder)
    write_processors(policy.config, tokenizer, statistics, folder)
    architecture.save(folder)
    loaded = load_policy(folder).state_dict()
    for name, value in policy.state_dict().items():
        if not torch.equal(value.cpu(), loaded[name].cpu()):
            raise AssertionError(f"{name} is not the same after LeRobot has loaded its own checkpoint")
