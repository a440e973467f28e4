"""Weights to start from: those of a policy of the same sizes that is trained already."""

import math

import torch

from pi0_tools.reference.lerobot_checkpoint import load_policy
from pi0_tools.reference.policy_types import PI0, PI05, type_of
from pi0_tools.reference.prompt_tokenizer import read_tokenizer
from pi0_tools.train.small_robot_policy import number_pieces

# Waves along a value's range, of which the shortest tells neighbouring numbers apart.
WAVES = 7
EXPERT = "model.paligemma_with_expert.gemma_expert.model"


def start_from(folder, policy, tokenizer, actions, seed):
    """Gives a policy the weights of a checkpoint: all of its own type's, or what a π0 has learned to a π0.5.

    actions: [samples, horizon, joints], normalised as the checkpoint's are. Raises ValueError for other checkpoints.
    """
    trained, its_tokenizer = load_policy(folder), read_tokenizer(folder)
    its_type, policy_type = type_of(trained.config), type_of(policy.config)
    if (its_type, policy_type) == (PI0, PI05):
        _take_over_pi0(policy, tokenizer, trained, its_tokenizer, actions, seed)
    elif its_type is not policy_type:
        raise ValueError(f"{folder} is of type {its_type.name}, from which no {policy_type.name} can start")
    elif tokenizer.get_vocab() != its_tokenizer.get_vocab():
        raise ValueError(f"{folder} was trained on other prompts: its tokenizer has other pieces")
    else:
        policy.load_state_dict(trained.state_dict())


def _take_over_pi0(policy, tokenizer, pi0, pi0_tokenizer, actions, seed):
    """Gives a π0.5 what a π0 has learned: both experts, the vision tower and the projections of actions.

    Every adaptive norm starts as π0's plain one, whatever the time: its own scale, no shift, and a gate of 1. Noisy
    actions are projected to what is nearest to π0's tokens, which have gone through an MLP with their time. Pieces of
    the prompt keep their embeddings, and those of numbers lie along a curve. What is left is as LeRobot starts it.
    """
    torch.manual_seed(seed)
    pi0 = pi0.to(actions.device)
    learned = pi0.state_dict()
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if name in learned and learned[name].shape == parameter.shape:
                parameter.copy_(learned[name])
        expert = policy.model.paligemma_with_expert.gemma_expert.model
        for name, module in expert.named_modules():
            if name.endswith("norm"):
                _start_as_plain_norm(module, learned[f"{EXPERT}.{name}.weight"])
        _project_as(pi0, policy.model.action_in_proj, actions)
        language_model = policy.model.paligemma_with_expert.paligemma.model.language_model
        embeddings = language_model.embed_tokens.weight
        of_pi0 = pi0.model.paligemma_with_expert.paligemma.model.language_model.embed_tokens.weight
        known = pi0_tokenizer.get_vocab()
        for piece, index in tokenizer.get_vocab().items():
            if piece in known:
                embeddings[index] = of_pi0[known[piece]]
        _lay_numbers_along_curve(embeddings, tokenizer, of_pi0[: len(known)].std())


def start_numbers(policy, tokenizer, seed):
    """Gives the numbers of a π0.5 that starts from nothing embeddings along a curve, as far apart as others are."""
    torch.manual_seed(seed)
    embeddings = policy.model.paligemma_with_expert.paligemma.model.language_model.embed_tokens.weight
    with torch.no_grad():
        _lay_numbers_along_curve(embeddings, tokenizer, embeddings.std())


def _lay_numbers_along_curve(embeddings, tokenizer, spread):
    numbers = number_pieces()
    indices = tokenizer.convert_tokens_to_ids(list(numbers.values()))
    embeddings[indices] = spread * _curve(list(numbers), embeddings.shape[1]).to(embeddings.device)


def _start_as_plain_norm(norm, scale):
    norm.dense.weight.zero_()
    norm.dense.bias.copy_(torch.cat([scale, torch.zeros_like(scale), torch.ones_like(scale)]))


def _project_as(pi0, projection, actions):
    """Least squares over actions that are as noisy as in training."""
    time = pi0.model.sample_time(len(actions), actions.device)
    noisy = torch.lerp(actions, torch.randn_like(actions), time[:, None, None])
    state = torch.zeros(len(actions), pi0.config.max_state_dim, device=actions.device)
    tokens, _, _, _ = pi0.model.embed_suffix(state, noisy, time)
    inputs = torch.cat([noisy, torch.ones_like(noisy[..., :1])], dim=-1).flatten(0, 1)
    solution = torch.linalg.lstsq(inputs, tokens[:, 1:].flatten(0, 1)).solution
    projection.weight.copy_(solution[:-1].T)
    projection.bias.copy_(solution[-1])


def _curve(numbers, width):
    """A vector for each number, near to those of its neighbours, with a standard deviation of about 1."""
    x = (torch.tensor(numbers) / 128 - 1)[:, None]
    waves = math.pi * x * 2.0 ** torch.arange(-1, WAVES - 1)
    features = torch.cat([2 * x, waves.sin(), waves.cos()], dim=1)
    return features @ torch.randn(features.shape[1], width) / features.std(0).norm()
