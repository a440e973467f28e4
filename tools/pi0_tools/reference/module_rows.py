"""Inputs and outputs of each module of the network, one group of names for each row of the parity table."""

from pathlib import Path

import torch
from lerobot.policies.common.flow_matching import euler_integrate
from lerobot.policies.common.vla_utils import create_sinusoidal_pos_embedding, make_att_2d_masks
from lerobot.policies.pretrained import PreTrainedPolicy
from transformers.models.gemma.configuration_gemma import GemmaConfig
from transformers.models.gemma.modeling_gemma import GemmaRotaryEmbedding, apply_rotary_pos_emb

from pi0_tools.reference.activation_recorder import ActivationRecorder
from pi0_tools.reference.fixture_file import save_tensors
from pi0_tools.reference.network_cases import Case, Inputs, positions_and_mask_of_suffix, random_inputs
from pi0_tools.reference.overridden import overridden
from pi0_tools.reference.policy_types import type_of

MODULES_SEED = 300
LOSS_SEED = 301
CASE = Case("modules", horizon=10)
LOSS_TIMES = (0.001, 0.3, 0.999)
# The times of 10 Euler steps are among them.
CONDITIONING_TIMES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.001, 0.0)


def _siglip_and_projector(policy: PreTrainedPolicy, inputs: Inputs) -> dict[str, torch.Tensor]:
    paligemma = policy.model.paligemma_with_expert.paligemma.model
    tower = paligemma.vision_tower.vision_model
    watched = {
        "patch_embedding": tower.embeddings.patch_embedding,
        "embeddings": tower.embeddings,
        "layer.0.norm": tower.encoder.layers[0].layer_norm1,
        "layer.0.attention": tower.encoder.layers[0].self_attn,
        "layer.0.mlp": tower.encoder.layers[0].mlp,
        "post_norm": tower.post_layernorm,
        "projector": paligemma.multi_modal_projector,
    }
    watched |= {f"layer.{index}": layer for index, layer in enumerate(tower.encoder.layers)}
    recorder = ActivationRecorder()
    with recorder.watching(watched), torch.no_grad():
        policy.model.paligemma_with_expert.embed_image(inputs.images[0])
    outputs = recorder.outputs
    rows = {
        "siglip.image": inputs.images[0][0],
        # The convolution's [width, rows, columns] as tokens, row by row.
        "siglip.patch_embedding.output": outputs["patch_embedding"].flatten(1).T,
        "siglip.embeddings.output": outputs["embeddings"],
        "siglip.tower.output": outputs["post_norm"],
        "projector.input": recorder.inputs["projector"],
        "projector.output": outputs["projector"],
    }
    for name in ("layer.0.norm", "layer.0.attention", "layer.0.mlp"):
        rows[f"siglip.{name}.input"] = recorder.inputs[name]
        rows[f"siglip.{name}.output"] = outputs[name]
    for index in range(len(tower.encoder.layers)):
        rows[f"siglip.layer.{index}.input"] = recorder.inputs[f"layer.{index}"]
        rows[f"siglip.layer.{index}.output"] = outputs[f"layer.{index}"]
    return rows


def _gemma_watched(decoder) -> dict:
    watched = {
        "layer.0.norm": decoder.layers[0].input_layernorm,
        "layer.0.attention": decoder.layers[0].self_attn,
        "layer.0.mlp": decoder.layers[0].mlp,
        "norm": decoder.norm,
    }
    return watched | {f"layer.{index}": layer for index, layer in enumerate(decoder.layers)}


def _rope(prefix: str, attention, attention_input, rotary, positions) -> dict[str, torch.Tensor]:
    """Layer 0's queries and keys [heads, tokens, head_dim] before and after the rotation, its values as they are."""

    def heads(projection) -> torch.Tensor:
        projected = projection(attention_input[None])
        return projected.view(1, projected.shape[1], -1, attention.head_dim).transpose(1, 2)

    queries, keys, values = (heads(attention.q_proj), heads(attention.k_proj), heads(attention.v_proj))
    cos, sin = rotary(queries, positions)
    rotated_queries, rotated_keys = apply_rotary_pos_emb(queries, keys, cos, sin)
    return {
        f"{prefix}.positions": positions[0],
        f"{prefix}.cos": cos[0],
        f"{prefix}.sin": sin[0],
        f"{prefix}.queries.input": queries[0],
        f"{prefix}.queries.output": rotated_queries[0],
        f"{prefix}.keys.input": keys[0],
        f"{prefix}.keys.output": rotated_keys[0],
        f"{prefix}.values": values[0],
    }


def _gemma(policy: PreTrainedPolicy, inputs: Inputs) -> dict[str, torch.Tensor]:
    """The first prefill and the first denoise step, seen from inside both decoders."""
    model = policy.model
    vlm = model.paligemma_with_expert.paligemma.model.language_model
    expert = model.paligemma_with_expert.gemma_expert.model
    watched = {f"vlm.{name}": module for name, module in _gemma_watched(vlm).items()}
    watched |= {f"expert.{name}": module for name, module in _gemma_watched(expert).items()}
    caches = []
    denoise_step = model.denoise_step

    def recorded_step(**arguments):
        caches.append(arguments["past_key_values"])
        return denoise_step(**arguments)

    recorder = ActivationRecorder()
    with torch.no_grad(), overridden(model, denoise_step=recorded_step), recorder.watching(watched):
        model.sample_actions(*inputs.prefix, *inputs.states, noise=inputs.noise, num_steps=1)
        embeddings, pad_mask, att_mask = model.embed_prefix(*inputs.prefix)

    rows = {}
    for name in watched:
        rows[f"gemma.{name}.input"] = recorder.inputs[name]
        rows[f"gemma.{name}.output"] = recorder.outputs[name]
    for name, gate in recorder.gates.items():
        rows[f"gemma.{name}.gate"] = gate
    for layer, (keys, values, _) in enumerate(caches[0]):
        rows[f"gemma.vlm.layer.{layer}.keys"] = keys[0]
        rows[f"gemma.vlm.layer.{layer}.values"] = values[0]
    prefix_positions = torch.cumsum(pad_mask, dim=1) - 1
    suffix_positions, suffix_mask = positions_and_mask_of_suffix(policy, inputs, pad_mask)
    with torch.no_grad():
        for name, decoder, positions in (("vlm", vlm, prefix_positions), ("expert", expert, suffix_positions[None])):
            entered = recorder.inputs[f"{name}.layer.0.attention"]
            attention = decoder.layers[0].self_attn
            rows |= _rope(f"gemma.{name}.rope", attention, entered, decoder.rotary_emb, positions)
    rows["gemma.vlm.attention_mask"] = make_att_2d_masks(pad_mask, att_mask)[0]
    rows["gemma.vlm.pad_mask"] = pad_mask[0]
    rows["gemma.expert.attention_mask"] = suffix_mask
    rows["paligemma.embedding.tokens"] = inputs.tokens[0]
    rows["paligemma.embedding.output"] = embeddings[0, -CASE.prompt_tokens :]
    return rows


def _rope_at_full_size() -> dict[str, torch.Tensor]:
    """Angles of the published head size, at positions up to those of three cameras, a prompt and a chunk."""
    rotary = GemmaRotaryEmbedding(GemmaConfig(head_dim=256))
    positions = torch.tensor([[-1, 0, 1, 47, 255, 511, 815, 866]])
    cos, sin = rotary(torch.zeros(1), positions)
    return {
        "rope.head_dim_256.positions": positions[0],
        "rope.head_dim_256.cos": cos[0],
        "rope.head_dim_256.sin": sin[0],
    }


def _suffix(policy: PreTrainedPolicy, inputs: Inputs) -> dict[str, torch.Tensor]:
    model = policy.model
    time = torch.tensor([0.7])
    watched = {"action_projection": model.action_in_proj, "output_projection": model.action_out_proj}
    if type_of(policy.config).state_in_prompt:
        watched |= {"time_conditioning_in": model.time_mlp_in, "time_conditioning_out": model.time_mlp_out}
    else:
        watched |= {
            "state_projection": model.state_proj,
            "time_fusion_in": model.action_time_mlp_in,
            "time_fusion_out": model.action_time_mlp_out,
        }
    recorder = ActivationRecorder()
    with recorder.watching(watched), torch.no_grad():
        model.sample_actions(*inputs.prefix, *inputs.states, noise=inputs.noise, num_steps=1)
        embeddings, _, _, condition = model.embed_suffix(*inputs.states, inputs.noise, time)
    rows = {"suffix.time": time, "suffix.embeddings": embeddings[0]}
    if condition is not None:
        rows["suffix.condition"] = condition[0]
    for name in watched:
        rows[f"suffix.{name}.input"] = recorder.inputs[name]
        rows[f"suffix.{name}.output"] = recorder.outputs[name]
    return rows


def _adaptive_norms(policy: PreTrainedPolicy, inputs: Inputs) -> dict[str, torch.Tensor]:
    """What time alone decides, a row a time: the condition, and each norm's scale, shift and gate."""
    model = policy.model
    expert = model.paligemma_with_expert.gemma_expert.model
    norms = {"norm": expert.norm}
    for index, layer in enumerate(expert.layers):
        norms[f"layer.{index}.input_layernorm"] = layer.input_layernorm
        norms[f"layer.{index}.post_attention_layernorm"] = layer.post_attention_layernorm
    with torch.no_grad():
        conditions = [model.embed_suffix(inputs.noise, torch.tensor([time]))[-1] for time in CONDITIONING_TIMES]
        condition = torch.cat(conditions)
        rows = {"time_conditioning.times": torch.tensor(CONDITIONING_TIMES), "time_conditioning.output": condition}
        for name, norm in norms.items():
            for part, values in zip(("scale", "shift", "gate"), norm.dense(condition).chunk(3, dim=-1), strict=True):
                rows[f"adaptive_norm.{name}.{part}"] = values
    return rows


def _schedule() -> dict[str, torch.Tensor]:
    """The times at which each number of Euler steps asks for the velocity."""
    rows = {}
    for steps in (1, 5, 10):
        times = []

        def ask(x_t, time, times=times):
            times.append(time)
            return torch.zeros_like(x_t)

        euler_integrate(ask, torch.zeros(1, 1, 1), steps)
        rows[f"denoise.times.{steps}_steps"] = torch.cat(times)
    return rows


def _loss(policy: PreTrainedPolicy, inputs: Inputs) -> dict[str, torch.Tensor]:
    """Flow matching on given actions, noise and times, first dimension one entry a time."""
    model = policy.model
    generator = torch.Generator().manual_seed(LOSS_SEED)
    actions = torch.randn(1, CASE.horizon, policy.config.max_action_dim, generator=generator)
    recorded = {name: [] for name in ("x_t", "u_t", "v_t", "loss")}
    functional = type_of(policy.config).modeling.F
    embed_suffix, mean_squared_error = model.embed_suffix, functional.mse_loss

    def recorded_suffix(*arguments):
        *_, x_t, _ = arguments
        recorded["x_t"].append(x_t)
        return embed_suffix(*arguments)

    def recorded_error(u_t, v_t, reduction):
        recorded["u_t"].append(u_t)
        recorded["v_t"].append(v_t)
        return mean_squared_error(u_t, v_t, reduction=reduction)

    with (
        torch.no_grad(),
        overridden(model, embed_suffix=recorded_suffix),
        overridden(functional, mse_loss=recorded_error),
    ):
        for time in LOSS_TIMES:
            loss = model.forward(*inputs.prefix, *inputs.states, actions, inputs.noise, torch.tensor([time]))
            recorded["loss"].append(loss)
    rows = {f"denoise.flow.{name}": torch.cat(values) for name, values in recorded.items()}
    rows["denoise.flow.times"] = torch.tensor(LOSS_TIMES)
    rows["denoise.flow.actions"] = actions[0]
    rows["denoise.flow.noise"] = inputs.noise[0]
    return rows


def _masks() -> dict[str, torch.Tensor]:
    """`pad` says which tokens are valid, `block_start` which begin a block that earlier tokens do not see."""
    cases = {
        "bidirectional": ([1] * 6, [0] * 6),
        "causal": ([1] * 6, [1] * 6),
        "padding": ([1, 1, 0, 1, 0, 0], [0] * 6),
        "prefix_lm": ([1] * 8, [0, 0, 0, 1, 1, 1, 0, 0]),
        "blocks": ([1] * 10, [1, 0, 1, 0, 1, 0, 0, 1, 0, 0]),
        "combined": ([0, 0, 1, 1, 1, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 1, 1, 0, 0]),
        "all_padding": ([0] * 4, [0] * 4),
    }
    rows = {}
    for name, (pad, block_start) in cases.items():
        pad = torch.tensor([pad], dtype=torch.bool)
        block_start = torch.tensor([block_start])
        rows[f"masks.{name}.pad"] = pad[0]
        rows[f"masks.{name}.block_start"] = block_start[0].bool()
        rows[f"masks.{name}.mask"] = make_att_2d_masks(pad, block_start)[0]
        rows[f"masks.{name}.positions"] = (torch.cumsum(pad, dim=1) - 1)[0]
    return rows


def _sinusoidal(policy: PreTrainedPolicy) -> dict[str, torch.Tensor]:
    times = torch.tensor([1.0, 0.9, 0.7, 0.5, 0.1, 0.001, 0.0])
    rows = {"sinusoidal.times": times}
    for width in (2, 48, 64, 1024):
        embedding = create_sinusoidal_pos_embedding(
            times, width, policy.config.min_period, policy.config.max_period, device=times.device
        )
        # LeRobot computes the angles in f64 and casts the result, as here.
        rows[f"sinusoidal.width_{width}"] = embedding.to(torch.float32)
    return rows


def write_modules(policy: PreTrainedPolicy, path: Path) -> None:
    inputs = random_inputs(CASE, policy, MODULES_SEED)
    with overridden(policy.config, chunk_size=CASE.horizon):
        rows = _siglip_and_projector(policy, inputs)
        rows |= _gemma(policy, inputs)
        rows |= _rope_at_full_size()
        rows |= _suffix(policy, inputs)
        rows |= _schedule()
        rows |= _loss(policy, inputs)
        rows |= _masks()
        rows |= _sinusoidal(policy)
        for name in ("images", "image_masks"):
            rows[f"inputs.{name}"] = torch.cat(getattr(inputs, name))
        if inputs.state is None:
            rows |= _adaptive_norms(policy, inputs)
        else:
            rows["inputs.state"] = inputs.state[0]
        for name in ("tokens", "token_mask", "noise"):
            rows[f"inputs.{name}"] = getattr(inputs, name)[0]
    save_tensors(path, rows)
