"""LeRobot's π0 and π0.5: which of its classes and processors make each."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from lerobot.configs import PreTrainedConfig
from lerobot.policies.pi0 import modeling_pi0, processor_pi0
from lerobot.policies.pi0.configuration_pi0 import PI0Config
from lerobot.policies.pi05 import modeling_pi05, processor_pi05
from lerobot.policies.pi05.configuration_pi05 import PI05Config
from lerobot.policies.pretrained import PreTrainedPolicy
from lerobot.processor import ProcessorStep


@dataclass(frozen=True)
class PolicyType:
    """What LeRobot makes of a `config.json` that says this `name` as its type.

    prompt_step: makes the processor's step that writes the prompt which is tokenised.
    state_in_prompt: the network itself takes no state.
    """

    name: str
    config_class: type[PreTrainedConfig]
    policy_class: type[PreTrainedPolicy]
    modeling: ModuleType
    make_processors: Callable
    prompt_step: Callable[[], ProcessorStep]
    state_in_prompt: bool


PI0 = PolicyType(
    name="pi0",
    config_class=PI0Config,
    policy_class=modeling_pi0.PI0Policy,
    modeling=modeling_pi0,
    make_processors=processor_pi0.make_pi0_pre_post_processors,
    prompt_step=processor_pi0.Pi0NewLineProcessor,
    state_in_prompt=False,
)
PI05 = PolicyType(
    name="pi05",
    config_class=PI05Config,
    policy_class=modeling_pi05.PI05Policy,
    modeling=modeling_pi05,
    make_processors=processor_pi05.make_pi05_pre_post_processors,
    prompt_step=processor_pi05.Pi05PrepareStateTokenizerProcessorStep,
    state_in_prompt=True,
)
POLICY_TYPES = {policy_type.name: policy_type for policy_type in (PI0, PI05)}


def type_of(config: PreTrainedConfig) -> PolicyType:
    return POLICY_TYPES[config.type]
