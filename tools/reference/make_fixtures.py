"""Makes every reference fixture with LeRobot's own modules: `python make_fixtures.py FOLDER`."""

import argparse
import sys
from pathlib import Path

import torch

from architecture import SMALL
from image_rows import write_images
from module_rows import write_modules
from network_cases import write_cases
from prompt_tokenizer import build_tokenizer, write_prompts
from robot_rows import write_robot_rows
from small_policy import (
    JOINTS,
    build_policy,
    small_config,
    write_checkpoint,
    write_processors,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder",
        type=Path,
        help="where the fixtures go; files of the same name are replaced",
    )
    folder = parser.parse_args().folder
    # The order of additions, and so the last bit of every value, depends on the number of threads.
    torch.set_num_threads(1)

    tokenizer = build_tokenizer(SMALL.vocab_size)
    policy = build_policy(small_config())
    write_checkpoint(policy, tokenizer, folder / "checkpoint")
    write_prompts(tokenizer, policy.config.tokenizer_max_length, folder / "prompts.json")
    write_images(policy, folder / "images.safetensors")
    write_modules(policy, folder / "modules.safetensors")
    write_cases(policy, folder / "cases")
    write_robot_rows(policy, tokenizer, folder / "policy.safetensors")
    write_robot_rows(
        policy,
        tokenizer,
        folder / "policy_missing_camera.safetensors",
        missing_camera="left_wrist",
    )

    relative = small_config(use_relative_actions=True, action_feature_names=JOINTS)
    write_processors(relative, tokenizer, folder / "checkpoint_relative_actions")
    SMALL.save(folder / "checkpoint_relative_actions")
    write_robot_rows(
        build_policy(relative),
        tokenizer,
        folder / "policy_relative_actions.safetensors",
    )

    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{folder}: {size / 1e6:.2f} MB", file=sys.stderr)


if __name__ == "__main__":
    main()
