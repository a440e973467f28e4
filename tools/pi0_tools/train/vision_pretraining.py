"""What stands in for PaliGemma's pretraining: the vision tower learns to say where the cube is.

PaliGemma comes to π0 able to detect objects. A tower that starts from nothing sees the cube late: the flow-matching
loss falls for thousands of steps while the policy still guesses where to reach.
"""

import math

import numpy as np
import torch
from torch import nn

from pi0_tools.train.cube_place import cube_places

BATCH_SIZE = 128
LEARNING_RATE = 2e-3
WARM_UP_STEPS = 50


def pretrain_vision(policy, images, steps, seed, report):
    """Trains tower and projector so that a linear reading of the mean image token is the cube's place.

    report(step, error) is called now and then; error: the mean distance from the place, in halves of a picture.
    """
    device = next(policy.parameters()).device
    places = cube_places(images)
    visible = np.flatnonzero(~np.isnan(places[:, 0]))
    random = np.random.default_rng(seed)
    paligemma = policy.model.paligemma_with_expert
    reading = nn.Linear(policy.model.paligemma_with_expert.paligemma.config.text_config.hidden_size, 2).to(device)
    trained = [
        *paligemma.paligemma.model.vision_tower.parameters(),
        *paligemma.paligemma.model.multi_modal_projector.parameters(),
        *reading.parameters(),
    ]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=1e-4)
    errors = []
    for step in range(steps):
        warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * warm_up * 0.5 * (1 + math.cos(math.pi * step / steps))
        chosen = random.choice(visible, BATCH_SIZE)
        pictures = torch.from_numpy(images[chosen]).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
        wanted = torch.from_numpy(places[chosen]).to(device)
        found = reading(paligemma.embed_image(pictures).mean(1))
        loss = nn.functional.smooth_l1_loss(found, wanted, beta=0.05)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        errors.append((found - wanted).detach().norm(dim=1).mean().item())
        if (step + 1) % 100 == 0:
            report(step + 1, sum(errors) / len(errors))
            errors.clear()
