"""The learning rate over a run."""

from __future__ import annotations

import math


def warm_up_then_cosine(step: int, warmup: int, total: int, peak: float) -> float:
    """Rises linearly to `peak` at step `warmup`, then falls as a cosine to zero at `total`."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
