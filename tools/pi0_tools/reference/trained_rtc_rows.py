"""Training-time real-time chunking by LeRobot's own modules: every step, and the whole policy."""

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from lerobot.policies.pi_gemma import PiGemmaRMSNorm
from lerobot.policies.pretrained import PreTrainedPolicy

from pi0_tools.reference.clean_rows import CleanRows, norm_by_row, suffix_by_row
from pi0_tools.reference.fixture_file import save_tensors
from pi0_tools.reference.network_cases import random_inputs
from pi0_tools.reference.overridden import overridden
from pi0_tools.reference.robot_rows import prepared, robot_inputs
from pi0_tools.reference.rtc_rows import INPUTS, INPUTS_SEED, PREVIOUS_SEED, previous_actions, previous_of_robot


@dataclass(frozen=True)
class Delay:
    """Clean actions at the beginning of a chunk, and steps of the integration."""

    actions: int
    steps: int

    @property
    def name(self) -> str:
        return f"{self.actions}_actions_{self.steps}_steps"


DELAYS = [Delay(1, 10), Delay(4, 5), Delay(10, 3)]
ROBOT_DELAY = Delay(4, 10)


@contextmanager
def clean_prefix(policy: PreTrainedPolicy, previous: torch.Tensor, horizon: int):
    """Within, chunks of so many actions begin with these, [actions, joints], normalised.

    Gives the points x_t of the integration so far, [1, horizon, max_action_dim] each, and the function that puts
    the actions into one.
    """
    model, rows, points = policy.model, CleanRows(), []
    rows.is_clean = (torch.arange(horizon) < len(previous))[None]
    padded = torch.zeros(horizon, policy.config.max_action_dim)
    padded[: len(previous), : previous.shape[1]] = previous
    denoise_step = model.denoise_step

    def put(x_t: torch.Tensor) -> torch.Tensor:
        return torch.where(rows.is_clean[..., None], padded, x_t)

    def clean_step(**arguments):
        points.append(put(arguments["x_t"]))
        return denoise_step(**{**arguments, "x_t": points[-1]})

    embed_suffix = suffix_by_row(model.embed_suffix, rows)
    with (
        overridden(PiGemmaRMSNorm, forward=norm_by_row(PiGemmaRMSNorm.forward)),
        overridden(model, embed_suffix=embed_suffix, denoise_step=clean_step),
    ):
        yield points, put


def run_delay(policy: PreTrainedPolicy, delay: Delay) -> dict[str, torch.Tensor]:
    inputs = random_inputs(INPUTS, policy, INPUTS_SEED)
    previous = previous_actions(torch.Generator().manual_seed(PREVIOUS_SEED))[: delay.actions]
    with (
        overridden(policy.config, chunk_size=INPUTS.horizon),
        clean_prefix(policy, previous, INPUTS.horizon) as (points, put),
        torch.no_grad(),
    ):
        actions = policy.model.sample_actions(*inputs.prefix, *inputs.states, noise=inputs.noise, num_steps=delay.steps)
    return {
        f"{delay.name}.x_t": torch.cat([*points, put(actions)]),
        f"{delay.name}.settings": torch.tensor([delay.actions, delay.steps]),
    }


def write_trained_steps(policy: PreTrainedPolicy, path: Path) -> None:
    """On the inputs and the chunk before of `rtc_rows.write_guided_steps`."""
    tensors = {}
    for delay in DELAYS:
        tensors |= run_delay(policy, delay)
    save_tensors(path, tensors)


def write_trained_robot_rows(policy: PreTrainedPolicy, tokenizer, path: Path) -> None:
    """The whole policy with relative actions, on the observation and the chunk before of `rtc_rows`."""
    inputs = robot_inputs(policy)
    batch, preprocessor, postprocessor = prepared(policy, tokenizer, inputs)
    _, prefix = previous_of_robot(inputs, preprocessor)
    clean = prefix[: ROBOT_DELAY.actions]
    with clean_prefix(policy, clean, policy.config.chunk_size), torch.no_grad():
        actions = policy.predict_action_chunk(batch, noise=inputs.noise)
    actions = torch.cat([clean[None], actions[:, len(clean) :]], dim=1)
    save_tensors(path, {"actions": postprocessor(actions)[0]})
