"""Training-time real-time chunking (arXiv 2512.05964): a policy learns to go on from actions that are being played."""

import json

import torch

from pi0_tools.reference.clean_rows import take_time_by_row
from pi0_tools.reference.lerobot_checkpoint import TRAINING_DELAY_KEY


def draw_clean_rows(samples, horizon, max_delay, device):
    """Which actions are clean, bool [samples, horizon]: of each sample the first 0 to max_delay, all numbers alike."""
    delays = torch.randint(0, max_delay + 1, (samples, 1), device=device)
    return torch.arange(horizon, device=device) < delays


def train_with_clean_prefixes(policy, max_delay):
    """From here on LeRobot's loss of a policy is of chunks that begin with clean actions, and of the others alone."""
    rows = take_time_by_row(policy.model)
    losses_of = policy.model.forward

    def forward(*arguments):
        *inputs, actions, noise, time = arguments
        rows.is_clean = draw_clean_rows(*actions.shape[:2], max_delay, actions.device)
        # What is mixed with itself stays clean at any time.
        noise = torch.where(rows.is_clean[..., None], actions, noise)
        losses = losses_of(*inputs, actions, noise, time)
        is_predicted = ~rows.is_clean
        rows.is_clean = None
        # LeRobot takes the mean over all rows.
        return losses * is_predicted[..., None] * (is_predicted.numel() / is_predicted.sum())

    policy.model.forward = forward


def write_training_delay(folder, max_delay):
    """Says in a checkpoint's configuration that it was trained so, as LeRobot 0.6.2 does."""
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(config | {TRAINING_DELAY_KEY: max_delay}, indent=4) + "\n", encoding="utf-8")
