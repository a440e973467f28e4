"""Makes every reference fixture with LeRobot's own modules: π0's in a folder, π0.5's in `pi05` inside it."""

import argparse
import sys
from pathlib import Path

import torch

from pi0_tools.reference.architecture import SMALL
from pi0_tools.reference.image_rows import write_images
from pi0_tools.reference.lerobot_checkpoint import write_checkpoint, write_processors
from pi0_tools.reference.module_rows import write_modules
from pi0_tools.reference.network_cases import CASES, CASES_OF_LONG_PROMPTS, write_cases
from pi0_tools.reference.policy_types import PI0, PI05, PolicyType
from pi0_tools.reference.prompt_tokenizer import build_tokenizer, write_prompts
from pi0_tools.reference.robot_rows import write_robot_rows
from pi0_tools.reference.rtc_rows import write_guided_robot_rows, write_guided_steps
from pi0_tools.reference.small_policy import JOINTS, dataset_statistics, fixture_config, fixture_policy
from pi0_tools.reference.state_prompts import write_state_prompts
from pi0_tools.reference.trained_rtc_rows import write_trained_robot_rows, write_trained_steps

PI05_FOLDER = "pi05"


def write_policy(policy_type: PolicyType, folder: Path) -> None:
    """Everything of a policy but the preparation of images, which is the same for both."""
    tokenizer = build_tokenizer(SMALL.vocab_size)
    statistics = dataset_statistics(policy_type)
    policy = fixture_policy(fixture_config(policy_type))
    max_tokens = policy.config.tokenizer_max_length
    write_checkpoint(policy, tokenizer, statistics, SMALL, folder / "checkpoint")
    write_prompts(policy_type, tokenizer, max_tokens, folder / "prompts.json")
    write_modules(policy, folder / "modules.safetensors")
    write_cases(policy, folder / "cases", CASES)
    if policy_type.state_in_prompt:
        write_cases(policy, folder / "cases", CASES_OF_LONG_PROMPTS)
        write_state_prompts(tokenizer, max_tokens, folder / "state_prompts.safetensors")
    write_robot_rows(policy, tokenizer, folder / "policy.safetensors")
    write_robot_rows(policy, tokenizer, folder / "policy_missing_camera.safetensors", missing_camera="left_wrist")

    write_guided_steps(policy, folder / "rtc.safetensors")
    write_trained_steps(policy, folder / "rtc_trained.safetensors")

    relative = fixture_config(policy_type, use_relative_actions=True, action_feature_names=JOINTS)
    write_processors(relative, tokenizer, statistics, folder / "checkpoint_relative_actions")
    SMALL.save(folder / "checkpoint_relative_actions")
    relative_policy = fixture_policy(relative)
    write_robot_rows(relative_policy, tokenizer, folder / "policy_relative_actions.safetensors")
    write_guided_robot_rows(relative_policy, tokenizer, folder / "rtc_relative_actions.safetensors")
    write_trained_robot_rows(relative_policy, tokenizer, folder / "rtc_trained_relative_actions.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the fixtures go; files of the same name are replaced")
    folder = parser.parse_args().folder
    # The order of additions, and so the last bit of every value, depends on the number of threads.
    torch.set_num_threads(1)

    write_policy(PI0, folder)
    write_images(fixture_policy(fixture_config(PI0)), folder / "images.safetensors")
    write_policy(PI05, folder / PI05_FOLDER)

    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{folder}: {size / 1e6:.2f} MB", file=sys.stderr)


if __name__ == "__main__":
    main()
