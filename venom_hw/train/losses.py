"""Losses of (mu, log sigma^2) against the standardised energy: pure functions, for single models and batched pixels."""

from __future__ import annotations

import torch
from torch import Tensor


def gaussian_nll(mu: Tensor, logvar: Tensor, target: Tensor) -> Tensor:
    """Mean of (log sigma^2 + (mu - target)^2 / sigma^2) / 2."""
    return 0.5 * (logvar + (mu - target).square() * torch.exp(-logvar)).mean()


def mean_square(mu: Tensor, logvar: Tensor, target: Tensor) -> Tensor:
    """Mean of (mu - target)^2; log sigma^2 is not trained."""
    return (mu - target).square().mean()


LOSSES = {"gaussian_nll": gaussian_nll, "mse": mean_square}
