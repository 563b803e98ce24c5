"""Time2Vec (Kazemi et al. 2019, arXiv:1907.05321): a time as one linear and many periodic features."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Time2Vec(nn.Module):
    """t (B, L) -> (B, L, d_model): [w0 t + b0, sin(w t + b)], d_model - 1 sines. t is log1p(days) in this project."""

    def __init__(self, d_model: int):
        super().__init__()
        self.w0 = nn.Parameter(torch.randn(1))
        self.b0 = nn.Parameter(torch.zeros(1))
        self.w = nn.Parameter(torch.randn(d_model - 1))
        self.b = nn.Parameter(torch.zeros(d_model - 1))

    def forward(self, t: Tensor) -> Tensor:
        t = t.unsqueeze(-1)
        linear = self.w0 * t + self.b0
        periodic = torch.sin(self.w * t + self.b)
        return torch.cat([linear, periodic], dim=-1)
