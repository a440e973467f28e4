"""What stands in for a language model's pretraining: π0.5's learns to read the state in its prompt.

PaliGemma comes to π0.5 able to read numbers. A small one that starts from nothing, or from a π0, reads them late: the
flow-matching loss falls while the policy still guesses where the robot is.
"""

import math

import numpy as np
import torch
from lerobot.policies.common.vla_utils import make_att_2d_masks, prepare_attention_masks_4d
from torch import nn

from pi0_tools.reference.policy_types import type_of
from pi0_tools.reference.prompt_tokenizer import prompt_texts, tokenize

BATCH_SIZE = 32
LEARNING_RATE = 2e-3
WARM_UP_STEPS = 50
# Layers that bring the numbers to the last token of the prompt. A robot's state has fewer values than they have heads.
GATHERING_LAYERS = 2
# How far the robot's states are moved, normalised.
NEAR = 0.05


def pretrain_prompt(policy, tokenizer, prompts, states, steps, seed, report):
    """Trains the first two layers so that the state is a linear reading of the last token that enters the others.

    states: normalised [samples, values]. report(step, error) is called now and then; error: how far what is read lies
    from a normalised value, on average.
    """
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    device = next(policy.parameters()).device
    language_model = policy.model.paligemma_with_expert.paligemma.model.language_model
    readings = nn.ModuleList(
        nn.Linear(language_model.config.hidden_size, states.shape[1]) for _ in language_model.layers[GATHERING_LAYERS:]
    ).to(device)
    gathering = language_model.layers[:GATHERING_LAYERS]
    trained = [language_model.embed_tokens.weight, *gathering.parameters(), *readings.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=0.0)
    errors = []
    for step in range(steps):
        warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * warm_up * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        state = _states(states, random)
        texts = prompt_texts(type_of(policy.config), list(random.choice(prompts, len(state))), state)
        tokens, mask = tokenize(tokenizer, texts, policy.config.tokenizer_max_length)
        longest = int(mask.sum(1).max())
        tokens, mask = tokens[:, :longest].to(device), mask[:, :longest].to(device)
        entered = _entering(policy.model, tokens, mask.bool())
        rows, last = torch.arange(len(state), device=device), mask.sum(1) - 1
        target = state.clamp(-1, 1).to(device)
        found = [
            reading(hidden[rows, last]) for reading, hidden in zip(readings, entered[GATHERING_LAYERS:], strict=True)
        ]
        loss = sum(nn.functional.smooth_l1_loss(values, target, beta=0.05) for values in found)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        errors.append((found[-1] - target).detach().abs().mean().item())
        if (step + 1) % 100 == 0:
            report(step + 1, sum(errors) / len(errors))
            errors.clear()


def _states(states, random):
    """As many near the robot's as anywhere in the range."""
    half = BATCH_SIZE // 2
    near = states[random.choice(len(states), half)] + random.normal(0, NEAR, (half, states.shape[1]))
    anywhere = random.uniform(-1, 1, (half, states.shape[1]))
    return torch.from_numpy(np.concatenate([near, anywhere])).float()


def _entering(model, tokens, mask):
    """What enters each layer [batch, tokens, width] for prompts without pictures."""
    entered = []
    experts = model.paligemma_with_expert
    language_model = experts.paligemma.model.language_model
    handles = [
        layer.register_forward_pre_hook(lambda _, arguments: entered.append(arguments[0]))
        for layer in language_model.layers
    ]
    try:
        embeddings, pad_mask, att_mask = model.embed_prefix([], [], tokens, mask)
        language_model.config._attn_implementation = "eager"
        experts.forward(
            attention_mask=prepare_attention_masks_4d(make_att_2d_masks(pad_mask, att_mask)),
            position_ids=torch.cumsum(pad_mask, dim=1) - 1,
            past_key_values=None,
            inputs_embeds=[embeddings, None],
            use_cache=False,
        )
    finally:
        for handle in handles:
            handle.remove()
    return entered
