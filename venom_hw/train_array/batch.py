"""What one step of many pixels works on."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """counts (pixels, batch, length, 2) int16; mean, std (pixels, 2) in counts; lengths (pixels, batch) int64, valid
    samples (the rest is padding); target (pixels, batch), standardised energy."""

    counts: Tensor
    mean: Tensor
    std: Tensor
    lengths: Tensor
    target: Tensor
