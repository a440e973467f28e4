"""Seeded random weights under which every term of the network matters and activations stay near 1."""

import torch
from torch import nn

# Attention logits get a spread of about GAIN², so that attention is far from uniform.
ATTENTION_GAIN = 1.5
BIAS_STD = 0.1
# An adaptive norm's scale, shift and gate get a spread of about a half, its gates both signs: what conditions them has
# gone through two SiLUs and is small.
MODULATION_GAIN = 2.0


def _std_of(name: str, parameter: nn.Parameter) -> tuple[float, float]:
    """Mean and standard deviation of the values of one parameter."""
    if name.endswith(".bias"):
        return 0.0, BIAS_STD
    if "embed_tokens" in name or "lm_head" in name:
        # Gemma multiplies the embedding by sqrt(width).
        return 0.0, parameter.shape[-1] ** -0.5
    if "position_embedding" in name:
        return 0.0, 0.5
    fan_in = parameter[0].numel()
    if "norm.dense" in name:
        return 0.0, MODULATION_GAIN * fan_in**-0.5
    if "q_proj" in name or "k_proj" in name:
        return 0.0, ATTENTION_GAIN * fan_in**-0.5
    return 0.0, fan_in**-0.5


def randomise(model: nn.Module, seed: int, norm_std: float = 0.3) -> None:
    """Overwrites every parameter of `model` with random values of `seed`, in the order of their names.

    Norm weights are drawn with standard deviation `norm_std` around the value that leaves their input as it is:
    1 for LayerNorm, 0 for Gemma's RMSNorm, which multiplies by 1 + weight.
    """
    generator = torch.Generator().manual_seed(seed)
    layer_norms = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.LayerNorm)}
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if name in layer_norms:
                mean, std = 1.0, norm_std
            elif name.endswith("norm.weight"):
                mean, std = 0.0, norm_std
            else:
                mean, std = _std_of(name, parameter)
            parameter.normal_(mean, std, generator=generator)
