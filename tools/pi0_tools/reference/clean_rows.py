"""LeRobot's networks with clean actions at time 0 beside noisy ones (training-time RTC, arXiv 2512.05964).

LeRobot 0.6.1 has one time for all actions of a chunk. Here its own modules are run at two times, and each row takes
what it has; LeRobot 0.6.2 does so for π0.5 (`rtc_training_max_delay`).
"""

import torch
from lerobot.policies.pi_gemma import PiGemmaRMSNorm


class CleanRows:
    """Which actions of a chunk are clean, bool [batch, horizon]; None for one time for all."""

    is_clean: torch.Tensor | None = None


def suffix_by_row(embed_suffix, rows: CleanRows):
    """LeRobot's `embed_suffix` of a model with clean rows at time 0. A condition is then [batch, horizon, width]."""

    def embed_by_row(*arguments):
        *inputs, time = arguments
        embeddings, pad_masks, att_masks, condition = embed_suffix(*inputs, time)
        if rows.is_clean is None:
            return embeddings, pad_masks, att_masks, condition
        is_clean = rows.is_clean[..., None]
        of_clean, _, _, clean_condition = embed_suffix(*inputs, torch.zeros_like(time))
        if condition is not None:
            condition = torch.where(is_clean, clean_condition[:, None], condition[:, None])
            return embeddings, pad_masks, att_masks, condition
        # π0's token of the state is before the actions, and has no time.
        state_tokens = embeddings.shape[1] - is_clean.shape[1]
        actions = torch.where(is_clean, of_clean[:, state_tokens:], embeddings[:, state_tokens:])
        return torch.cat([embeddings[:, :state_tokens], actions], dim=1), pad_masks, att_masks, None

    return embed_by_row


def norm_by_row(forward):
    """LeRobot's adaptive norm that takes a condition for each token too: each is then an item of the batch."""

    def forward_by_row(self, x, cond=None):
        if cond is None or cond.ndim == 2:
            return forward(self, x, cond=cond)
        output, gate = forward(self, x.flatten(0, 1)[:, None], cond=cond.flatten(0, 1))
        return output.view(x.shape), gate.view(x.shape)

    return forward_by_row


def take_time_by_row(model) -> CleanRows:
    """From here on the model, and every adaptive norm of LeRobot, take what is set in the result."""
    rows = CleanRows()
    model.embed_suffix = suffix_by_row(model.embed_suffix, rows)
    PiGemmaRMSNorm.forward = norm_by_row(PiGemmaRMSNorm.forward)
    return rows
