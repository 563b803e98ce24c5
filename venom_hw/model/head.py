"""Tier 2: attention pooling over the window's features, then a small network to (mu, log sigma^2). Runs at the
photon rate.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PoolState(NamedTuple):
    """Streaming softmax: sum of exp(score - maximum) * feature (B, D), sum of weights (B, 1), largest score so
    far (B, 1).
    """

    numerator: Tensor
    denominator: Tensor
    maximum: Tensor


class EnergyHead(nn.Module):
    """Features (B, L, D) -> (mu, log sigma^2), each (B,), in standardised energy units. GELU is the exact one (erf)."""

    def __init__(self, d_model: int = 16, d_head_hidden: int = 32):
        super().__init__()
        self.query = nn.Parameter(torch.randn(d_model) * d_model**-0.5)
        self.fc1 = nn.Linear(d_model, d_head_hidden)
        self.fc2 = nn.Linear(d_head_hidden, d_head_hidden)
        self.fc3 = nn.Linear(d_head_hidden, 2)

    def pool(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Softmax-weighted mean over samples: (B, L, D) -> (B, D). `mask` (B, L), True where a sample belongs
        to the window.
        """
        scores = features @ self.query
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        return torch.einsum("bl,bld->bd", torch.softmax(scores, dim=1), features)

    def initial_pool(self, batch: int) -> PoolState:
        new = self.query.new_zeros
        return PoolState(new(batch, len(self.query)), new(batch, 1), new(batch, 1) - torch.inf)

    def pool_step(self, feature: Tensor, state: PoolState, mask: Tensor | None = None) -> PoolState:
        """Add one sample's feature (B, D); rows where `mask` (B,) is False keep their state."""
        score = (feature @ self.query).unsqueeze(1)
        maximum = torch.maximum(state.maximum, score)
        rescale, weight = torch.exp(state.maximum - maximum), torch.exp(score - maximum)
        following = PoolState(
            state.numerator * rescale + weight * feature, state.denominator * rescale + weight, maximum
        )
        if mask is None:
            return following
        keep = mask.unsqueeze(1)
        return PoolState(*(torch.where(keep, new, old) for new, old in zip(following, state, strict=True)))

    def regress(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled feature (B, D) -> (mu, log sigma^2), each (B,)."""
        out = self.fc3(F.gelu(self.fc2(F.gelu(self.fc1(pooled)))))
        return out[:, 0], out[:, 1]

    def forward(self, features: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.regress(self.pool(features, mask))

    def finish(self, state: PoolState) -> tuple[Tensor, Tensor]:
        """(mu, log sigma^2) from the sums of a finished window."""
        return self.regress(state.numerator / state.denominator)
