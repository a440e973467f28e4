"""Whole-network cases: from images, tokens, state (π0) and noise to a chunk of actions, with all that lies between."""

from dataclasses import dataclass
from pathlib import Path

import torch
from lerobot.policies.common.vla_utils import make_att_2d_masks
from lerobot.policies.pretrained import PreTrainedPolicy

from pi0_tools.reference.fixture_file import save_tensors
from pi0_tools.reference.overridden import overridden
from pi0_tools.reference.policy_types import type_of
from pi0_tools.reference.small_policy import JOINTS

CASES_SEED = 100
# Ids of the special tokens <pad>, <eos>, <bos> and <unk> lie below.
FIRST_TEXT_TOKEN = 4
BEGIN_TOKEN = 2


@dataclass(frozen=True)
class Case:
    """`camera_masks` has one entry a camera; of `prompt_tokens` tokens the first `valid_tokens` are valid."""

    name: str
    camera_masks: tuple[bool, ...] = (True,)
    prompt_tokens: int = 48
    valid_tokens: int = 20
    horizon: int = 50
    steps: int = 10


CASES = [
    Case("one_camera"),
    Case("two_cameras", camera_masks=(True, True)),
    Case("three_cameras", camera_masks=(True, True, True)),
    Case("last_camera_masked", camera_masks=(True, True, False), horizon=10),
    Case("first_camera_masked", camera_masks=(False, True, True), horizon=10, steps=5),
    Case("prompt_of_1_token", valid_tokens=1, horizon=10),
    Case("prompt_of_48_tokens", valid_tokens=48, steps=5),
    Case("prompt_without_padding", prompt_tokens=7, valid_tokens=7, horizon=10, steps=1),
    Case("horizon_10", camera_masks=(True, True), horizon=10),
    Case("one_step", camera_masks=(True, True), steps=1),
    Case("five_steps", camera_masks=(True, True), steps=5),
]
# A prompt with a state in it is longer.
CASES_OF_LONG_PROMPTS = [
    Case("prompt_of_71_tokens_in_200", camera_masks=(True, True), prompt_tokens=200, valid_tokens=71),
    Case("prompt_of_200_tokens", prompt_tokens=200, valid_tokens=200, steps=5),
]


@dataclass
class Inputs:
    """What LeRobot's network takes, with a batch of one. No state where it is in the prompt."""

    images: list[torch.Tensor]
    image_masks: list[torch.Tensor]
    tokens: torch.Tensor
    token_mask: torch.Tensor
    state: torch.Tensor | None
    noise: torch.Tensor

    @property
    def prefix(self) -> tuple:
        return self.images, self.image_masks, self.tokens, self.token_mask

    @property
    def states(self) -> tuple:
        """The arguments that `sample_actions` and `forward` take after the prefix, and `embed_suffix` first."""
        return () if self.state is None else (self.state,)


def random_inputs(case: Case, policy: PreTrainedPolicy, seed: int) -> Inputs:
    generator = torch.Generator().manual_seed(seed)
    side = policy.config.image_resolution[0]
    language_model = policy.model.paligemma_with_expert.paligemma.model.language_model
    vocab_size = language_model.embed_tokens.num_embeddings
    tokens = torch.randint(FIRST_TEXT_TOKEN, vocab_size, (1, case.prompt_tokens), generator=generator)
    tokens[:, 0] = BEGIN_TOKEN
    tokens[:, case.valid_tokens :] = 0
    in_prompt = type_of(policy.config).state_in_prompt
    joints = torch.randn(1, len(JOINTS), generator=generator)
    return Inputs(
        images=[torch.rand(1, 3, side, side, generator=generator) * 2 - 1 for _ in case.camera_masks],
        image_masks=[torch.tensor([mask]) for mask in case.camera_masks],
        tokens=tokens,
        token_mask=torch.arange(case.prompt_tokens)[None] < case.valid_tokens,
        state=None if in_prompt else policy.prepare_state({"observation.state": joints}),
        noise=torch.randn(1, case.horizon, policy.config.max_action_dim, generator=generator),
    )


def positions_and_mask_of_suffix(
    policy: PreTrainedPolicy, inputs: Inputs, prefix_pad_mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions [suffix tokens] and attention mask [suffix tokens, prefix tokens + suffix tokens]."""
    _, pad_mask, att_mask, _ = policy.model.embed_suffix(*inputs.states, inputs.noise, torch.ones(1))
    positions = prefix_pad_mask.sum(dim=-1)[:, None] + torch.cumsum(pad_mask, dim=1) - 1
    sees_prefix = prefix_pad_mask[:, None, :].expand(1, pad_mask.shape[1], prefix_pad_mask.shape[1])
    sees_suffix = make_att_2d_masks(pad_mask, att_mask)
    return positions[0], torch.cat([sees_prefix, sees_suffix], dim=2)[0]


def run_case(policy: PreTrainedPolicy, case: Case, inputs: Inputs) -> dict[str, torch.Tensor]:
    model = policy.model
    steps = []
    denoise_step = model.denoise_step

    def recorded_step(**arguments):
        velocity = denoise_step(**arguments)
        steps.append({**arguments, "velocity": velocity})
        return velocity

    with overridden(policy.config, chunk_size=case.horizon), torch.no_grad():
        embeddings, pad_mask, att_mask = model.embed_prefix(*inputs.prefix)
        suffix_positions, suffix_attention_mask = positions_and_mask_of_suffix(policy, inputs, pad_mask)
        with overridden(model, denoise_step=recorded_step):
            actions = model.sample_actions(*inputs.prefix, *inputs.states, noise=inputs.noise, num_steps=case.steps)

    recorded = {
        "images": torch.cat(inputs.images),
        "image_masks": torch.cat(inputs.image_masks),
        "tokens": inputs.tokens[0],
        "token_mask": inputs.token_mask[0],
        "noise": inputs.noise[0],
        "prefix_embeddings": embeddings[0],
        "prefix_pad_mask": pad_mask[0],
        "prefix_positions": (torch.cumsum(pad_mask, dim=1) - 1)[0],
        "prefix_attention_mask": make_att_2d_masks(pad_mask, att_mask)[0],
        "suffix_positions": suffix_positions,
        "suffix_attention_mask": suffix_attention_mask,
        "times": torch.cat([step["timestep"] for step in steps]),
        "v_t": torch.cat([step["velocity"] for step in steps]),
        "x_t": torch.cat([step["x_t"] for step in steps] + [actions]),
        "actions": actions[0],
    }
    if inputs.state is not None:
        recorded["state"] = inputs.state[0]
    for layer, (keys, values, _) in enumerate(steps[0]["past_key_values"]):
        recorded[f"layer.{layer}.keys"] = keys[0]
        recorded[f"layer.{layer}.values"] = values[0]
    return recorded


def write_cases(policy: PreTrainedPolicy, folder: Path, cases: list[Case] = CASES) -> None:
    for index, case in enumerate(cases):
        inputs = random_inputs(case, policy, CASES_SEED + index)
        save_tensors(folder / f"{case.name}.safetensors", run_case(policy, case, inputs))
