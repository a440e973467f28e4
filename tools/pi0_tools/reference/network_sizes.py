"""LeRobot's π0 and π0.5 at sizes other than the published ones.

LeRobot fixes the sizes in its code. Inside `sized(architecture)` the same LeRobot classes are built with the sizes of
an `Architecture`; nothing of what they compute is changed.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType

from pi0_tools.reference.architecture import Architecture, GemmaSizes
from pi0_tools.reference.overridden import overridden
from pi0_tools.reference.policy_types import POLICY_TYPES

VLM_VARIANT = "gemma_2b"
EXPERT_VARIANT = "gemma_300m"


def _gemma_config(modeling: ModuleType, sizes: GemmaSizes):
    return modeling.GemmaConfig(
        width=sizes.width,
        depth=sizes.depth,
        mlp_dim=sizes.mlp_dim,
        num_heads=sizes.num_heads,
        num_kv_heads=sizes.num_kv_heads,
        head_dim=sizes.head_dim,
    )


def _set_common(config, sizes: GemmaSizes, vocab_size: int) -> None:
    config.vocab_size = vocab_size
    config.rms_norm_eps = sizes.rms_norm_eps
    config.rope_parameters["rope_theta"] = sizes.rope_theta


def _sized_module(modeling: ModuleType, architecture: Architecture):
    variants = {VLM_VARIANT: architecture.vlm, EXPERT_VARIANT: architecture.expert}
    build_vlm = modeling.PaliGemmaForConditionalGenerationWithPiGemma
    build_expert = modeling.PiGemmaForCausalLM

    def vlm(config):
        vision = architecture.vision
        config.vision_config.image_size = vision.image_size
        config.vision_config.patch_size = vision.patch_size
        config.vision_config.hidden_size = vision.width
        config.vision_config.num_hidden_layers = vision.depth
        config.vision_config.intermediate_size = vision.mlp_dim
        config.vision_config.num_attention_heads = vision.num_heads
        config.vision_config.layer_norm_eps = vision.layer_norm_eps
        config.vision_config.projection_dim = architecture.vlm.width
        _set_common(config.text_config, architecture.vlm, architecture.vocab_size)
        return build_vlm(config=config)

    def expert(config):
        _set_common(config, architecture.expert, architecture.vocab_size)
        return build_expert(config=config)

    return overridden(
        modeling,
        get_gemma_config=lambda variant: _gemma_config(modeling, variants[variant]),
        PaliGemmaForConditionalGenerationWithPiGemma=vlm,
        PiGemmaForCausalLM=expert,
    )


@contextmanager
def sized(architecture: Architecture) -> Iterator[None]:
    """While active, every π0 and π0.5 that LeRobot builds has the sizes of `architecture`."""
    with ExitStack() as stack:
        for policy_type in POLICY_TYPES.values():
            stack.enter_context(_sized_module(policy_type.modeling, architecture))
        yield
