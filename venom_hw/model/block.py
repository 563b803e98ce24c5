"""One Mamba block: layer norm, gated selective state space with a short causal convolution, residual.

Names: D = d_model, E = d_inner = expand * D, N = d_state, K = d_conv, B = batch, L = samples.
Source: Gu and Dao 2023 (arXiv 2312.00752), with delta, B and C projected directly (spec/venom.md).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .scan import selective_scan

NORM_EPS = 2.0**-10  # a power of two: one bit in the fixed-point rendering


class BlockState(NamedTuple):
    """What a block carries from sample to sample: h (B, E, N), conv (B, K-1, E) with the oldest tap first."""

    h: Tensor
    conv: Tensor


class MambaBlock(nn.Module):
    """(B, L, D) -> (B, L, D); the same by `step`, one sample at a time."""

    def __init__(
        self, d_model: int, d_state: int, d_conv: int, expand: int, dt_min: float = 0.005, dt_max: float = 0.2
    ):
        super().__init__()
        self.d_inner = expand * d_model
        self.d_state, self.d_conv = d_state, d_conv
        self.norm = nn.LayerNorm(d_model, eps=NORM_EPS)
        self.in_proj = nn.Linear(d_model, 2 * self.d_inner, bias=False)  # x first, gate z second
        self.conv = nn.Conv1d(self.d_inner, self.d_inner, d_conv, groups=self.d_inner)
        self.B_proj = nn.Linear(self.d_inner, d_state, bias=False)
        self.C_proj = nn.Linear(self.d_inner, d_state, bias=False)
        self.dt_proj = nn.Linear(self.d_inner, self.d_inner)
        self.log_neg_A = nn.Parameter(torch.empty(self.d_inner, d_state))
        self.D = nn.Parameter(torch.empty(self.d_inner))
        self.out_proj = nn.Linear(self.d_inner, d_model, bias=False)
        self._start(dt_min, dt_max)

    @torch.no_grad()
    def _start(self, dt_min: float, dt_max: float) -> None:
        """S4D-real decay rates -(n+1), unit skip, softplus(dt bias) spread evenly over [dt_min, dt_max] in
        logarithm.
        """
        self.log_neg_A.copy_(torch.log(torch.arange(1.0, self.d_state + 1)).expand(self.d_inner, -1))
        self.D.fill_(1.0)
        delta = torch.exp(torch.linspace(math.log(dt_min), math.log(dt_max), self.d_inner))
        self.dt_proj.bias.copy_(delta + torch.log(-torch.expm1(-delta)))  # inverse of softplus
        self.dt_proj.weight.mul_(0.3)

    @property
    def A(self) -> Tensor:
        """Decay rates (E, N), negative."""
        return -torch.exp(self.log_neg_A)

    def initial_state(self, batch: int) -> BlockState:
        zeros = self.log_neg_A.new_zeros
        return BlockState(
            zeros(batch, self.d_inner, self.d_state), zeros(batch, self.d_conv - 1, self.d_inner)
        )

    def _convolve(self, x: Tensor) -> Tensor:
        """Causal depthwise convolution of (B, L, E) along L, zeros before the first sample."""
        weight = self.conv.weight[:, 0].T  # (K, E), oldest tap first
        y = torch.addcmul(self.conv.bias, x, weight[-1])
        for back in range(1, min(self.d_conv, x.shape[1])):
            y = y + F.pad(x[:, :-back] * weight[-1 - back], (0, 0, back, 0))
        return y

    def forward(self, r: Tensor) -> Tensor:
        x, z = self.in_proj(self.norm(r)).chunk(2, dim=-1)
        x = F.silu(self._convolve(x))
        delta = F.softplus(self.dt_proj(x))
        y, _ = selective_scan(x, delta, self.A, self.B_proj(x), self.C_proj(x))
        y = torch.addcmul(y, self.D, x)
        return r + self.out_proj(y * F.silu(z))

    def step(self, r: Tensor, state: BlockState) -> tuple[Tensor, BlockState]:
        """One sample: r (B, D) -> (B, D) and the next state."""
        x, z = self.in_proj(self.norm(r)).chunk(2, dim=-1)
        taps = torch.cat([state.conv, x.unsqueeze(1)], dim=1)  # (B, K, E)
        x = F.silu((taps * self.conv.weight[:, 0].T).sum(1) + self.conv.bias)
        delta = F.softplus(self.dt_proj(x))
        drive = (delta * x).unsqueeze(-1) * self.B_proj(x).unsqueeze(1)  # (B, E, N)
        h = torch.exp(delta.unsqueeze(-1) * self.A) * state.h + drive
        y = (h * self.C_proj(x).unsqueeze(1)).sum(-1) + self.D * x
        return r + self.out_proj(y * F.silu(z)), BlockState(h, taps[:, 1:])
