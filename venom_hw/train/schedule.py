"""The learning rate over a run, and the memory of the averaged weights: pure functions of the step."""

from __future__ import annotations

import math


def warm_up_then_cosine(step: int, warmup: int, total: int, peak: float) -> float:
    """Rises linearly to `peak` at step `warmup`, then falls as a cosine to zero at `total`."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def average_decay(step: int, ema: float) -> float:
    """Share of the old average that is kept after step number `step` (1, 2, ...); 0 for `ema` 0: the last weights.

    The average's memory grows with the run, so that the start is forgotten even in a short one.
    """
    return min(ema, (1 + step) / (10 + step)) if ema else 0.0
