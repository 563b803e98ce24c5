"""Loss and gradients of many networks by PyTorch's batched operations: any device, any floating type.

Pixels are one more dimension in front: matrix products become batched ones, the recurrence runs over pixels and pulses
at once. Slower than `step_kernel` on a CPU; the engine for CUDA and MPS.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from venom_hw.model import linear_scan
from venom_hw.model.block import NORM_EPS

from .batch import Batch
from .layout import Layout


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (P, R, in), weight (P, out, in), bias (P, out) -> (P, R, out)."""
    if bias is None:
        return torch.bmm(x, weight.transpose(1, 2))
    return torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))


def _norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=NORM_EPS) * weight.unsqueeze(1) + bias.unsqueeze(1)


def _block(r: Tensor, w: dict[str, Tensor], shape: tuple[int, int, int]) -> Tensor:
    """One Mamba block (venom_hw/model/block.py): r (P, pulses * length, D) -> the same shape."""
    pixels, pulses, length = shape
    x, z = _linear(_norm(r, w["norm.weight"], w["norm.bias"]), w["in_proj.weight"]).chunk(2, -1)
    d_inner, taps = w["conv.weight"].shape[1], w["conv.weight"].shape[-1]
    x = x.reshape(pixels, pulses, length, d_inner)
    tap = w["conv.weight"][:, :, 0].transpose(1, 2)[:, :, None, None]  # (P, K, 1, 1, E), oldest first
    y = w["conv.bias"][:, None, None] + x * tap[:, -1]
    for back in range(1, min(taps, length)):
        y = y + F.pad(x[:, :, :-back] * tap[:, -1 - back], (0, 0, back, 0))
    x = F.silu(y).reshape(pixels, pulses * length, d_inner)
    delta = F.softplus(_linear(x, w["dt_proj.weight"], w["dt_proj.bias"]))
    B, C = _linear(x, w["B_proj.weight"]), _linear(x, w["C_proj.weight"])
    decay = torch.exp(delta.unsqueeze(-1) * -torch.exp(w["log_neg_A"]).unsqueeze(1))  # (P, R, E, N)
    drive = (delta * x).unsqueeze(-1) * B.unsqueeze(-2)
    whole = (pixels * pulses, length, d_inner, decay.shape[-1])
    h = linear_scan(decay.reshape(whole), drive.reshape(whole)).reshape(decay.shape)
    y = (h * C.unsqueeze(-2)).sum(-1) + w["D"].unsqueeze(1) * x
    return r + _linear(y * F.silu(z), w["out_proj.weight"])


def forward(weights: dict[str, Tensor], x: Tensor, lengths: Tensor, n_layers: int) -> tuple[Tensor, Tensor]:
    """Stacked weights {name: (P, ...)}, windows (P, B, L, 2), lengths (P, B) -> mu, log sigma^2, each (P, B)."""
    pixels, pulses, length, _ = x.shape
    r = _linear(
        x.reshape(pixels, pulses * length, 2),
        weights["backbone.input_proj.weight"],
        weights["backbone.input_proj.bias"],
    )
    for k in range(n_layers):
        start = f"backbone.layers.{k}."
        own = {name.removeprefix(start): v for name, v in weights.items() if name.startswith(start)}
        r = _block(r, own, (pixels, pulses, length))
    f = _norm(r, weights["backbone.norm.weight"], weights["backbone.norm.bias"])
    scores = torch.bmm(f, weights["head.query"].unsqueeze(-1)).reshape(pixels, pulses, length)
    outside = torch.arange(length, device=x.device) >= lengths.unsqueeze(-1)
    share = torch.softmax(scores.masked_fill(outside, -torch.inf), -1)
    pooled = torch.einsum("pbl,pbld->pbd", share, f.reshape(pixels, pulses, length, -1))
    for name in ("fc1", "fc2"):
        pooled = F.gelu(_linear(pooled, weights[f"head.{name}.weight"], weights[f"head.{name}.bias"]))
    out = _linear(pooled, weights["head.fc3.weight"], weights["head.fc3.bias"])
    return out[..., 0], out[..., 1]


class GroupedEngine:
    """Steps of networks of one layout. Batched sums may differ from those of one pixel alone in the last bits."""

    name = "torch"

    def __init__(self, layout: Layout, loss: str = "gaussian_nll"):
        self.layout, self.loss = layout, loss

    def _forward(self, rows: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        mean, std = (v.to(rows.device, rows.dtype)[:, None, None] for v in (batch.mean, batch.std))
        x = (batch.counts.to(rows.device).to(rows.dtype) - mean) / std
        return forward(
            self.layout.views(rows), x, batch.lengths.to(rows.device), self.layout.sizes["n_layers"]
        )

    def loss_and_gradient(self, rows: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Parameters (pixels, count) -> loss (pixels,), its gradient (pixels, count)."""
        rows = rows.detach().requires_grad_()
        mu, logvar = self._forward(rows, batch)
        error = (mu - batch.target.to(rows.device, rows.dtype)).square()
        each = 0.5 * (logvar + error * torch.exp(-logvar)) if self.loss == "gaussian_nll" else error
        losses = each.mean(1)
        (gradient,) = torch.autograd.grad(losses.sum(), rows)
        return losses.detach(), gradient

    @torch.no_grad()
    def predict(self, rows: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """(mu, log sigma^2), each (pixels, batch), standardised."""
        return self._forward(rows, batch)
