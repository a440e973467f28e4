"""What stands in for PaliGemma's pretraining: the vision tower learns to say where the objects are.

PaliGemma comes to π0 able to detect objects. A tower that starts from nothing sees them late: the flow-matching
loss falls for thousands of steps while the policy still guesses where to reach.
"""

import math

import numpy as np
import torch
from torch import nn

from pi0_tools.train.object_places import places

BATCH_SIZE = 128
LEARNING_RATE = 2e-3
WARM_UP_STEPS = 50
# What does not move is not to be found to a hair's breadth.
SMALLEST_RANGE_M = 0.01


def vision_labels(demonstrations, colours):
    """What each camera's pictures show where, [pictures, objects, axes], NaN where an object is not seen.

    In the picture, x and y from −1 to 1, of what has a colour. Without colours in space, from about −1 to 1, of all
    objects that the simulation names.
    """
    images = demonstrations.images.values()
    if colours:
        return [places(of_camera, colours) for of_camera in images]
    of_objects = demonstrations.object_places
    # Most of what is normally distributed is within two deviations.
    in_space = (of_objects - of_objects.mean(axis=0)) / np.maximum(2 * of_objects.std(axis=0), SMALLEST_RANGE_M)
    return [in_space.reshape(len(in_space), -1, 3)] * len(images)


def pretrain_vision(policy, images, labels, steps, seed, report):
    """Trains tower and projector so that a linear reading of the mean image token is each object's place.

    images: uint8 [pictures, height, width, 3] of every camera. labels: of `vision_labels`. report(step, error) is
    called now and then; error: the mean distance from a place, in halves of the range of places.
    """
    device = next(policy.parameters()).device
    found_places = np.concatenate(labels)
    pictures_of = _Rows(images)
    visible = np.flatnonzero(~np.isnan(found_places[:, :, 0]).all(axis=1))
    random = np.random.default_rng(seed)
    paligemma = policy.model.paligemma_with_expert
    width = paligemma.paligemma.config.text_config.hidden_size
    reading = nn.Linear(width, found_places[0].size).to(device)
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
        pictures = torch.from_numpy(pictures_of[chosen]).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
        wanted = torch.from_numpy(found_places[chosen]).to(device)
        found = reading(paligemma.embed_image(pictures).mean(1)).view_as(wanted)
        seen = ~wanted.isnan()
        loss = nn.functional.smooth_l1_loss(found[seen], wanted[seen], beta=0.05)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        errors.append((found - wanted).detach().norm(dim=2).nanmean().item())
        if (step + 1) % 100 == 0:
            report(step + 1, sum(errors) / len(errors))
            errors.clear()


class _Rows:
    """Several arrays as one, without a copy of all of them."""

    def __init__(self, arrays):
        self._arrays = arrays
        self._ends = np.cumsum([len(array) for array in arrays])

    def __getitem__(self, indices):
        of_array = np.searchsorted(self._ends, indices, side="right")
        starts = self._ends - [len(array) for array in self._arrays]
        return np.stack(
            [self._arrays[array][index - starts[array]] for array, index in zip(of_array, indices, strict=True)]
        )
