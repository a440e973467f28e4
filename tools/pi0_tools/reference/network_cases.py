"""Whole-network cases: from images, tokens, state and noise to a chunk of actions, with all that lies between."""

from dataclasses import dataclass
from pathlib import Path

import torch
from lerobot.policies.common.vla_utils import make_att_2d_masks
from lerobot.policies.pi0.modeling_pi0 import PI0Policy

from pi0_tools.reference.fixture_file import save_tensors
from pi0_tools.reference.overridden import overridden
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


@dataclass
class Inputs:
    """What `PI0Pytorch` takes, with a batch of one."""

    images: list[torch.Tensor]
    image_masks: list[torch.Tensor]
    tokens: torch.Tensor
    token_mask: torch.Tensor
    state: torch.Tensor
    noise: torch.Tensor

    @property
    def prefix(self) -> tuple:
        return self.images, self.image_masks, self.tokens, self.token_mask


def random_inputs(case: Case, policy: PI0Policy, seed: int) -> Inputs:
    generator = torch.Generator().manual_seed(seed)
    side = policy.config.image_resolution[0]
    language_model = policy.model.paligemma_with_expert.paligemma.model.language_model
    vocab_size = language_model.embed_tokens.num_embeddings
    tokens = torch.randint(FIRST_TEXT_TOKEN, vocab_size, (1, case.prompt_tokens), generator=generator)
    tokens[:, 0] = BEGIN_TOKEN
    tokens[:, case.valid_tokens :] = 0
    joints = torch.randn(1, len(JOINTS), generator=generator)
    return Inputs(
        images=[torch.rand(1, 3, side, side, generator=generator) * 2 - 1 for _ in case.camera_masks],
        image_masks=[torch.tensor([mask]) for mask in case.camera_masks],
        tokens=tokens,
        token_mask=torch.arange(case.prompt_tokens)[None] < case.valid_tokens,
        state=policy.prepare_state({"observation.state": joints}),
        noise=torch.randn(1, case.horizon, policy.config.max_action_dim, generator=generator),
    )


def run_case(policy: PI0Policy, case: Case, inputs: Inputs) -> dict[str, torch.Tensor]:
    model = policy.model
    steps = []
    denoise_step = model.denoise_step

    def recorded_step(**arguments):
        velocity = denoise_step(**arguments)
        steps.append({**arguments, "velocity": velocity})
        return velocity

    with overridden(policy.config, chunk_size=case.horizon), torch.no_grad():
        embeddings, pad_mask, att_mask = model.embed_prefix(*inputs.prefix)
        _, suffix_pad_mask, suffix_att_mask, _ = model.embed_suffix(inputs.state, inputs.noise, torch.ones(1))
        with overridden(model, denoise_step=recorded_step):
            actions = model.sample_actions(*inputs.prefix, inputs.state, noise=inputs.noise, num_steps=case.steps)

    suffix_length = 1 + case.horizon
    suffix_sees_prefix = pad_mask[:, None, :].expand(1, suffix_length, pad_mask.shape[1])
    suffix_sees_suffix = make_att_2d_masks(suffix_pad_mask, suffix_att_mask)
    recorded = {
        "images": torch.cat(inputs.images),
        "image_masks": torch.cat(inputs.image_masks),
        "tokens": inputs.tokens[0],
        "token_mask": inputs.token_mask[0],
        "state": inputs.state[0],
        "noise": inputs.noise[0],
        "prefix_embeddings": embeddings[0],
        "prefix_pad_mask": pad_mask[0],
        "prefix_positions": (torch.cumsum(pad_mask, dim=1) - 1)[0],
        "prefix_attention_mask": make_att_2d_masks(pad_mask, att_mask)[0],
        "suffix_positions": (pad_mask.sum(dim=-1)[:, None] + torch.cumsum(suffix_pad_mask, dim=1) - 1)[0],
        "suffix_attention_mask": torch.cat([suffix_sees_prefix, suffix_sees_suffix], dim=2)[0],
        "times": torch.cat([step["timestep"] for step in steps]),
        "v_t": torch.cat([step["velocity"] for step in steps]),
        "x_t": torch.cat([step["x_t"] for step in steps] + [actions]),
        "actions": actions[0],
    }
    for layer, (keys, values, _) in enumerate(steps[0]["past_key_values"]):
        recorded[f"layer.{layer}.keys"] = keys[0]
        recorded[f"layer.{layer}.values"] = values[0]
    return recorded


def write_cases(policy: PI0Policy, folder: Path, cases: list[Case] = CASES) -> None:
    for index, case in enumerate(cases):
        inputs = random_inputs(case, policy, CASES_SEED + index)
        save_tensors(folder / f"{case.name}.safetensors", run_case(policy, case, inputs))
