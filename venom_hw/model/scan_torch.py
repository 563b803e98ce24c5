"""Scans in plain PyTorch: a loop over time with a backward of its own, for any device and floating type.

The loop runs over time-major tensors and saves decay and state only; autograd through the same loop would build
a graph of several nodes a sample. Every sample is one multiply-add, in the order in which the recurrence is
written: nothing is lost on long sequences, as in schemes that divide by a cumulative product.
"""

from __future__ import annotations

import torch
from torch import Tensor


def _run(a: Tensor, b: Tensor) -> Tensor:
    """h[t] = a[t] h[t-1] + b[t] over axis 0."""
    h = torch.empty_like(b)
    h[0] = b[0]
    for t in range(1, len(b)):
        torch.addcmul(b[t], a[t], h[t - 1], out=h[t])
    return h


def _run_back(a: Tensor, g: Tensor) -> Tensor:
    """Gradient of b: c[t] = g[t] + a[t+1] c[t+1] over axis 0; overwrites and returns g."""
    for t in range(len(g) - 2, -1, -1):
        g[t].addcmul_(a[t + 1], g[t + 1])
    return g


class LinearScan(torch.autograd.Function):
    """(a, b) -> h with h[t] = a[t] h[t-1] + b[t]; (batch, length, ...) each."""

    @staticmethod
    def forward(ctx, a: Tensor, b: Tensor) -> Tensor:
        a = a.transpose(0, 1).contiguous()
        h = _run(a, b.transpose(0, 1).contiguous())
        ctx.save_for_backward(a, h)
        return h.transpose(0, 1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gh: Tensor) -> tuple[Tensor, Tensor]:
        a, h = ctx.saved_tensors
        gb = _run_back(a, gh.transpose(0, 1).clone(memory_format=torch.contiguous_format))
        ga = torch.zeros_like(a)
        torch.mul(gb[1:], h[:-1], out=ga[1:])
        return ga.transpose(0, 1), gb.transpose(0, 1)


class SelectiveScan(torch.autograd.Function):
    """(x, delta, A, B, C) -> (y, last state); shapes as in `scan.selective_scan`."""

    @staticmethod
    def forward(ctx, x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
        x, delta, B, C = (v.transpose(0, 1).contiguous() for v in (x, delta, B, C))
        a = torch.exp(delta.unsqueeze(-1) * A)  # (L, batch, d_inner, d_state)
        h = _run(a, (delta * x).unsqueeze(-1) * B.unsqueeze(-2))
        ctx.save_for_backward(x, delta, A, B, C, a, h)
        y = torch.matmul(h, C.unsqueeze(-1)).squeeze(-1)
        h_last = h[-1].clone()
        ctx.mark_non_differentiable(h_last)
        return y.transpose(0, 1), h_last

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gy: Tensor, _) -> tuple[Tensor, ...]:
        x, delta, A, B, C, a, h = ctx.saved_tensors
        gy = gy.transpose(0, 1)
        gC = torch.matmul(gy.unsqueeze(-2), h).squeeze(-2)
        g = _run_back(a, gy.unsqueeze(-1) * C.unsqueeze(-2))  # gradient of delta B x
        u = delta * x
        gB = torch.matmul(u.unsqueeze(-2), g).squeeze(-2)
        gu = torch.matmul(g, B.unsqueeze(-1)).squeeze(-1)
        ge = torch.zeros_like(a)  # gradient of delta A
        torch.mul(g[1:], h[:-1], out=ge[1:]).mul_(a[1:])
        gdelta = (ge * A).sum(-1) + gu * x
        gA = (ge * delta.unsqueeze(-1)).sum((0, 1))
        gx = gu * delta
        return (*(v.transpose(0, 1) for v in (gx, gdelta)), gA, *(v.transpose(0, 1) for v in (gB, gC)))
