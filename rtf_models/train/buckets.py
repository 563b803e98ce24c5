"""Batches of sources of similar length, so that little padding is computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

WINDOW = 16  # batches that are sorted by length among themselves


def epoch_batches(
    lengths: Sequence[int], batch_size: int, *, seed: int, epoch: int, window: int = WINDOW
) -> list[list[int]]:
    """Every index once, in batches of `batch_size` (one is smaller), in an order decided by seed and epoch alone.

    Indices are shuffled, then sorted by length within `window` batches, then the batches are shuffled. window 1: a
    plain shuffle.
    """
    random = np.random.default_rng([seed, epoch, 0xB47C])
    lengths = np.asarray(lengths)
    order = random.permutation(len(lengths))
    batches: list[list[int]] = []
    for start in range(0, len(order), window * batch_size):
        part = order[start : start + window * batch_size]
        if window > 1:
            part = part[np.argsort(lengths[part], kind="stable")]
        batches += [part[k : k + batch_size].tolist() for k in range(0, len(part), batch_size)]
    return [batches[k] for k in random.permutation(len(batches))]
