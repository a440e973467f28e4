"""Real-time chunking by LeRobot's own `RTCProcessor`: every step of the network, and the whole policy."""

from dataclasses import dataclass
from pathlib import Path

import torch
from lerobot.configs import RTCAttentionSchedule
from lerobot.policies.pretrained import PreTrainedPolicy
from lerobot.policies.rtc import RTCConfig
from lerobot.policies.rtc.relative import reanchor_relative_rtc_prefix
from lerobot.processor import NormalizerProcessorStep, RelativeActionsProcessorStep

from pi0_tools.reference.fixture_file import save_tensors
from pi0_tools.reference.network_cases import Case, random_inputs
from pi0_tools.reference.overridden import overridden
from pi0_tools.reference.robot_rows import prepared, robot_inputs
from pi0_tools.reference.small_policy import JOINTS

INPUTS_SEED = 500
PREVIOUS_SEED = 501
LEFT_OVER = 14
INPUTS = Case("rtc", prompt_tokens=7, valid_tokens=7, horizon=20)


@dataclass(frozen=True)
class Guidance:
    """What LeRobot's RTC is given. It cuts an execution horizon that is longer than the left-over actions."""

    schedule: RTCAttentionSchedule
    inference_delay: int
    execution_horizon: int
    max_guidance_weight: float
    steps: int

    @property
    def name(self) -> str:
        return f"{self.schedule.value.lower()}_{self.steps}"


GUIDANCES = [
    Guidance(RTCAttentionSchedule.LINEAR, 3, 10, 10.0, 10),
    Guidance(RTCAttentionSchedule.EXP, 3, 12, 5.0, 5),
    Guidance(RTCAttentionSchedule.ONES, 2, 8, 5.0, 5),
    Guidance(RTCAttentionSchedule.ZEROS, 4, 10, 2.0, 4),
    Guidance(RTCAttentionSchedule.LINEAR, 19, 20, 3.0, 3),
]
ROBOT_GUIDANCE = Guidance(RTCAttentionSchedule.LINEAR, 4, 10, 10.0, 10)


def guide(policy: PreTrainedPolicy, guidance: Guidance | None) -> None:
    """From here on the policy's chunks are guided so, or not at all."""
    policy.config.rtc_config = (
        None
        if guidance is None
        else RTCConfig(
            prefix_attention_schedule=guidance.schedule,
            max_guidance_weight=guidance.max_guidance_weight,
            execution_horizon=guidance.execution_horizon,
        )
    )
    policy.init_rtc_processor()


def previous_actions(generator: torch.Generator) -> torch.Tensor:
    return torch.randn(LEFT_OVER, len(JOINTS), generator=generator)


def run_guidance(policy: PreTrainedPolicy, guidance: Guidance) -> dict[str, torch.Tensor]:
    """The points x_t of a guided integration, from the noise to the actions."""
    inputs = random_inputs(INPUTS, policy, INPUTS_SEED)
    previous = previous_actions(torch.Generator().manual_seed(PREVIOUS_SEED))
    guide(policy, guidance)
    model, points = policy.model, []
    denoise_step = model.denoise_step

    def recorded_step(**arguments):
        points.append(arguments["x_t"].detach())
        return denoise_step(**arguments)

    with (
        overridden(policy.config, chunk_size=INPUTS.horizon),
        overridden(model, denoise_step=recorded_step),
        torch.no_grad(),
    ):
        actions = model.sample_actions(
            *inputs.prefix,
            *inputs.states,
            noise=inputs.noise,
            num_steps=guidance.steps,
            inference_delay=guidance.inference_delay,
            prev_chunk_left_over=previous[None],
        )
    end = min(guidance.execution_horizon, LEFT_OVER)
    weights = policy.rtc_processor.get_prefix_weights(guidance.inference_delay, end, INPUTS.horizon)
    name = guidance.name
    return {
        f"{name}.weights": weights,
        f"{name}.x_t": torch.cat([*points, actions]),
        f"{name}.settings": torch.tensor(
            [guidance.inference_delay, guidance.execution_horizon, int(guidance.max_guidance_weight), guidance.steps]
        ),
    }


def write_guided_steps(policy: PreTrainedPolicy, path: Path) -> None:
    inputs = random_inputs(INPUTS, policy, INPUTS_SEED)
    tensors = {
        "images": torch.cat(inputs.images),
        "tokens": inputs.tokens[0],
        "noise": inputs.noise[0],
        "previous": previous_actions(torch.Generator().manual_seed(PREVIOUS_SEED)),
    }
    if inputs.state is not None:
        tensors["state"] = inputs.state[0]
    for guidance in GUIDANCES:
        tensors |= run_guidance(policy, guidance)
    guide(policy, None)
    save_tensors(path, tensors)


def previous_of_robot(inputs, preprocessor) -> tuple[torch.Tensor, torch.Tensor]:
    """Actions of the chunk before [actions, joints], absolute in robot units, and as LeRobot's policy gets them."""
    generator = torch.Generator().manual_seed(PREVIOUS_SEED)
    previous = inputs.state + 0.3 * previous_actions(generator)
    (relative,) = [step for step in preprocessor.steps if isinstance(step, RelativeActionsProcessorStep)]
    (normalizer,) = [step for step in preprocessor.steps if isinstance(step, NormalizerProcessorStep)]
    return previous, reanchor_relative_rtc_prefix(previous, inputs.state, relative, normalizer, "cpu")


def write_guided_robot_rows(policy: PreTrainedPolicy, tokenizer, path: Path) -> None:
    """The whole policy with relative actions, on the observation of `robot_rows`.

    The actions of the chunk before are absolute, in robot units; LeRobot re-anchors them to the observed state.
    """
    inputs = robot_inputs(policy)
    batch, preprocessor, postprocessor = prepared(policy, tokenizer, inputs)
    previous, prefix = previous_of_robot(inputs, preprocessor)
    guide(policy, ROBOT_GUIDANCE)
    with torch.no_grad():
        actions = policy.predict_action_chunk(
            batch,
            noise=inputs.noise,
            inference_delay=ROBOT_GUIDANCE.inference_delay,
            prev_chunk_left_over=prefix,
        )
    guide(policy, None)
    save_tensors(path, {"previous": previous, "prefix": prefix, "actions": postprocessor(actions)[0]})
