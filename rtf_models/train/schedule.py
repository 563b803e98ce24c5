"""The learning rate and the weight of the KL divergence over a run: pure functions of the epoch or the step."""

from __future__ import annotations

import math

FLOOR = 0.01  # the cosine ends at this share of the largest rate


def learning_rate(step: int, steps_per_epoch: int, epochs: int, peak: float, warmup: float = 0.0) -> float:
    """The rate of step 0, 1, ...: a cosine from `peak` to FLOOR * peak over `epochs`, constant within an epoch (the
    original's schedule); with `warmup` epochs of linear rise by step before it.
    """
    rising = round(warmup * steps_per_epoch)
    if step < rising:
        return peak * (step + 1) / (rising + 1)
    epoch = step // steps_per_epoch
    start = min(math.ceil(warmup), epochs - 1)
    fraction = min(max(epoch - start, 0) / max(1, epochs - start), 1.0)
    return peak * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * fraction)))


def kl_weight(epoch: int, epochs: int, target: float) -> float:
    """beta of epoch 0, 1, ...: rises linearly to `target` over the first fifth of the run."""
    rising = int(0.2 * epochs)
    return target * epoch / rising if epoch < rising else target
