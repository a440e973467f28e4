"""Makes the fixtures of adapters: LoRA folders as LeRobot saves them, and what peft's merge makes of their base.

Needs the PyPI packages peft and accelerate beside LeRobot. The base is the small checkpoint of `make_fixtures`.
"""

import argparse
import copy
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model

from pi0_tools.reference.architecture import SMALL
from pi0_tools.reference.fixture_file import save_tensors
from pi0_tools.reference.lerobot_checkpoint import load_policy, write_processors
from pi0_tools.reference.prompt_tokenizer import build_tokenizer
from pi0_tools.reference.small_policy import dataset_statistics

ADAPTERS_SEED = 300
# Every so many rows of a merged tensor are stored: each row is merged in the same way.
ROW_STEP = 7

EXPERT = "model.paligemma_with_expert.gemma_expert.model"


def configurations(policy) -> dict[str, LoraConfig]:
    """By the name of the fixture's folder."""
    return {
        "lerobot_default": LoraConfig(r=4, **policy._get_default_peft_targets()),
        "all_linear": LoraConfig(
            r=2,
            lora_alpha=5,
            target_modules="all-linear",
            exclude_modules=r".*(vision_tower|language_model).*\.[1-9]\..*",
            use_rslora=True,
            # peft takes the first pattern that matches, and ignores `fan_in_fan_out` for layers of torch.
            rank_pattern={r"layers\.[01]\.self_attn\.q_proj": 3, "q_proj": 1, "action_in_proj": 4},
            alpha_pattern={rf"^{EXPERT}.layers.1.mlp.down_proj": 16, "down_proj": 1, "linear": 3},
            fan_in_fan_out=True,
        ),
        "whole_modules": LoraConfig(
            r=2,
            target_modules=["embed_tokens", "patch_embedding", "v_proj"],
            exclude_modules=r".*\.vision_tower\.vision_model\.encoder.*",
            modules_to_save=["state_proj", "action_time_mlp_in"],
            bias="lora_only",
        ),
    }


def randomise_adapter(model: PeftModel) -> None:
    """Gives every trained parameter another value, so that none has the effect of its start, which is none."""
    generator = torch.Generator().manual_seed(ADAPTERS_SEED)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            if parameter.requires_grad:
                parameter.normal_(0.0, 0.3, generator=generator)


def write_adapter(base: Path, name: str, folder: Path) -> None:
    policy = load_policy(base)
    before = copy.deepcopy(policy.state_dict())
    policy.config.pretrained_path = Path("/home/trainer/outputs/pi0_base")
    policy.name_or_path = str(policy.config.pretrained_path)
    model = get_peft_model(policy, configurations(policy)[name])
    policy.config.use_peft = True
    randomise_adapter(model)
    model.save_pretrained(folder)
    write_processors(policy.config, build_tokenizer(SMALL.vocab_size), dataset_statistics(), folder)
    SMALL.save(folder)
    # peft adds a page, and the tokenizer is in the base's folder alone.
    for file in ("README.md", "tokenizer.json"):
        (folder / file).unlink(missing_ok=True)
    merged = model.merge_and_unload().state_dict()
    changed = {key: value for key, value in merged.items() if not torch.equal(value, before[key])}
    save_tensors(folder / "merged.safetensors", {key: value[::ROW_STEP] for key, value in changed.items()})


def write_merged_bfloat16(base: Path, adapter: Path) -> None:
    """Writes what peft makes of the base in bfloat16 with an adapter in float32."""
    policy = load_policy(base).to(torch.bfloat16)
    before = copy.deepcopy(policy.state_dict())
    merged = PeftModel.from_pretrained(policy, adapter).merge_and_unload().state_dict()
    changed = {key: value for key, value in merged.items() if not torch.equal(value, before[key])}
    rows = {key: value[::ROW_STEP].to(torch.float32) for key, value in changed.items()}
    save_tensors(adapter / "merged_bfloat16.safetensors", rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path, help="the small checkpoint")
    parser.add_argument("folder", type=Path, help="where the adapters go, a folder each")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in configurations(load_policy(arguments.base)):
        write_adapter(arguments.base, name, arguments.folder / name)
    write_merged_bfloat16(arguments.base, arguments.folder / "lerobot_default")


if __name__ == "__main__":
    main()
