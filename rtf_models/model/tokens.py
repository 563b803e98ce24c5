"""The visible positions of a padded batch as one long row, so that linear layers work on them alone."""

from __future__ import annotations

import torch
from torch import Tensor

LEAST_PADDING = 0.1  # of all positions, for packing to pay


class Tokens:
    """Where the T visible of B x N positions are; `visible` (B, N) bool."""

    def __init__(self, visible: Tensor):
        self.shape = visible.shape
        self.index = visible.flatten().nonzero().squeeze(1)
        count = visible.sum(1)
        self.starts = count.cumsum(0) - count

    def packed(self, h: Tensor) -> Tensor:
        """(B, N, d) -> (T, d)."""
        return h.flatten(0, 1).index_select(0, self.index)

    def padded(self, h: Tensor) -> Tensor:
        """(T, d) -> (B, N, d), zeros between."""
        batch, length = self.shape
        empty = h.new_zeros(batch * length, h.shape[-1])
        return empty.index_copy(0, self.index, h).unflatten(0, (batch, length))

    def first(self, h: Tensor) -> Tensor:
        """(T, d) -> (B, 1, d): the first visible position of each row."""
        return h.index_select(0, self.starts).unsqueeze(1)


def worth_packing(visible: Tensor | None) -> bool:
    """On the CPU, with enough padding, and something visible in each row. Elsewhere launching costs more than padding,
    and looking at the mask would wait for the device.
    """
    if visible is None or visible.device.type != "cpu" or torch.jit.is_tracing() or torch.compiler.is_compiling():
        return False
    return bool(visible.float().mean() < 1 - LEAST_PADDING) and bool(visible.any(1).all())
