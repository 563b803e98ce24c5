"""The quantised state recurrence over a whole window, with a straight-through gradient.

    h_t = q_h(h_{t-1} - g_t h_{t-1} + b_t),   h_0 = 0

Forward and backward are two time-major loops over plain tensors (one multiply-add and one rounding of h a
sample), the same integers and the same gradient as the Brevitas quantiser called once a sample, at about a
twentieth of its time (``spec/quantization.md`` section 6).  The state is held as code k = h / s (s a power of
two for each (d, n)), so the saturation limits are scalars.
"""

from __future__ import annotations

import torch

from .formats import TensorFormat


class QuantisedScan(torch.autograd.Function):
    """``apply(g, b, s, lo, hi, floor)``: g, b (T, B, D, N) time-major, s (1, D, N) -> h (T, B, D, N)."""

    @staticmethod
    def forward(ctx, g, b, s, lo, hi, floor):  # noqa: ANN001, ANN205 (torch's own signature)
        steps = g.shape[0]
        codes = torch.empty((steps + 1, *g.shape[1:]), dtype=g.dtype, device=g.device)
        codes[0] = 0
        drive = b / s
        inside = torch.empty(g.shape, dtype=torch.bool, device=g.device)
        product = torch.empty_like(codes[0])
        for t in range(steps):  # multiply, subtract, add: no fused operation, float32 must not differ
            new = codes[t + 1]
            torch.mul(g[t], codes[t], out=product)
            torch.sub(codes[t], product, out=new)
            new.add_(drive[t])
            new.floor_() if floor else new.round_()
            torch.logical_and(new >= lo, new <= hi, out=inside[t])
            new.clamp_(lo, hi)
        ctx.save_for_backward(g, codes, inside, s)
        return codes[1:] * s

    @staticmethod
    def backward(ctx, grad):  # noqa: ANN001, ANN205
        g, codes, inside, s = ctx.saved_tensors
        grad_b = torch.empty_like(g)
        carry = torch.zeros_like(g[0])
        for t in range(g.shape[0] - 1, -1, -1):
            carry.add_(grad[t]).mul_(inside[t])
            grad_b[t] = carry
            carry.sub_(g[t] * carry)
        return -grad_b * (codes[:-1] * s), grad_b, None, None, None, None


def quantised_scan(g: torch.Tensor, b: torch.Tensor, fmt: TensorFormat) -> torch.Tensor:
    """States h (T, B, D, N) of format ``fmt`` from decay ``g`` and drive ``b``, both (T, B, D, N); starts
    from zero.
    """
    scale = torch.as_tensor(fmt.lsb, dtype=g.dtype, device=g.device)
    lo, hi = fmt.code_range
    return QuantisedScan.apply(g, b, scale, float(lo), float(hi), fmt.rounding == "floor")


def float_scan(g: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The same recurrence without rounding (calibration)."""
    h = torch.zeros_like(b[0])
    out = torch.empty_like(b)
    for t in range(g.shape[0]):
        h = h - g[t] * h + b[t]
        out[t] = h
    return out
