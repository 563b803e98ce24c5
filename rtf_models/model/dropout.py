"""Dropout with little randomness: on the CPU, where a decision from torch's generator costs more than the arithmetic
around it (a quarter of a training step), eight decisions come out of one 64-bit number.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEPS = 256  # a decision is a byte: probabilities are multiples of 1 / 256
LOWEST = -(2**63)


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """x with elements zeroed with probability p and the others scaled, so that the mean stays; x where not training.

    On the CPU p is rounded to a 256th (0.3 to 0.3008), and the scale is that of the rounded p. Other devices, and
    probabilities that would round to 0 or 1: torch's own. The generator is torch's global one in either case.
    """
    threshold = round(p * STEPS)
    if not training or p == 0.0:
        return x
    if x.device.type != "cpu" or not 0 < threshold < STEPS:
        return F.dropout(x, p, training)
    words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(LOWEST, None)
    kept = (words.view(torch.uint8)[: x.numel()] >= threshold).view(x.shape)
    return x * kept.to(x.dtype).mul_(STEPS / (STEPS - threshold))


class Dropout(nn.Dropout):
    """`dropout` as a module; no parameters, no entry in a state dict."""

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, self.training)
