"""A π0 or π0.5 of any size in LeRobot's classes, and its checkpoint as LeRobot writes and reads one."""

import json
import tempfile
from contextlib import contextmanager
from pathlib import Path

import torch
from lerobot.configs import PreTrainedConfig
from lerobot.policies.pretrained import PreTrainedPolicy
from lerobot.processor import tokenizer_processor

from pi0_tools.reference.architecture import Architecture
from pi0_tools.reference.network_sizes import sized
from pi0_tools.reference.overridden import overridden
from pi0_tools.reference.policy_types import type_of
from pi0_tools.reference.prompt_tokenizer import write_tokenizer

# By the name of a feature, then by that of a statistic (mean, std, min, max, q01 …), of each of its values.
Statistics = dict[str, dict[str, torch.Tensor]]

# Key of a configuration that LeRobot 0.6.2 has, for π0.5; before it refuses the key.
TRAINING_DELAY_KEY = "rtc_training_max_delay"


def build_policy(config: PreTrainedConfig, architecture: Architecture) -> PreTrainedPolicy:
    with sized(architecture):
        return type_of(config).policy_class(config)


def load_policy(folder: Path) -> PreTrainedPolicy:
    """Whatever LeRobot makes of a folder that `write_checkpoint` wrote."""
    with sized(Architecture.load(folder)), _without_training_delay(folder) as readable:
        policy_class = type_of(PreTrainedConfig.from_pretrained(readable)).policy_class
        return policy_class.from_pretrained(readable).eval()


@contextmanager
def _without_training_delay(folder: Path):
    """The folder, or one that has its files and a configuration that this version of LeRobot reads."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config.pop(TRAINING_DELAY_KEY, None) is None:
        yield folder
        return
    with tempfile.TemporaryDirectory() as other:
        readable = Path(other)
        for file in folder.iterdir():
            (readable / file.name).symlink_to(file.resolve())
        (readable / "config.json").unlink()
        (readable / "config.json").write_text(json.dumps(config), encoding="utf-8")
        yield readable


def build_processors(config: PreTrainedConfig, tokenizer, statistics: Statistics):
    """LeRobot's pre- and post-processor, with `tokenizer` where LeRobot downloads PaliGemma's."""
    with overridden(tokenizer_processor.AutoTokenizer, from_pretrained=lambda name: tokenizer):
        return type_of(config).make_processors(config, statistics)


def write_processors(config: PreTrainedConfig, tokenizer, statistics: Statistics, folder: Path) -> None:
    """Writes everything of a checkpoint but the weights and the architecture."""
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    for pipeline in build_processors(config, tokenizer, statistics):
        pipeline.save_pretrained(folder)
    write_tokenizer(tokenizer, folder)


def write_checkpoint(
    policy: PreTrainedPolicy, tokenizer, statistics: Statistics, architecture: Architecture, folder: Path
) -> None:
    """Raises AssertionError when LeRobot reads other weights from the folder than were written."""
    policy.save_pretrained(folder)
    write_processors(policy.config, tokenizer, statistics, folder)
    architecture.save(folder)
    loaded = load_policy(folder).state_dict()
    for name, value in policy.state_dict().items():
        if not torch.equal(value.cpu(), loaded[name].cpu()):
            raise AssertionError(f"{name} is not the same after LeRobot has loaded its own checkpoint")
