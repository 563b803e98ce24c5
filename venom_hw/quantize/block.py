"""The quantised Mamba block: one sample at a time, or a whole window at once with the same integers.

Names as in :mod:`venom_hw.quantize.network`: D = d_model, E = d_inner, N = d_state, K = d_conv.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .formats import TensorFormat
from .layers import QuantLinear, QuantNorm, QuantParameter
from .quantisers import QuantiserFactory
from .scan import float_scan, quantised_scan
from .shape import NetworkShape


class QuantBlock(nn.Module):
    """One Mamba block.  ``h_format`` None means calibration: the recurrence runs without rounding."""

    def __init__(
        self, shape: NetworkShape, make: QuantiserFactory, name: str, h_format: TensorFormat | None
    ) -> None:
        super().__init__()
        d_model, d_inner, d_state = shape.d_model, shape.d_inner, shape.d_state
        self.h_format = h_format

        def q(tensor: str, scale: tuple[int, ...] = (), signed: bool = True) -> nn.Module:
            return make(f"{name}.q_{tensor}", tensor, scale, signed)

        self.norm = QuantNorm(make, f"{name}.norm")
        self.x_proj = QuantLinear(make, f"{name}.x_proj", "x", d_model, d_inner)
        self.z_proj = QuantLinear(make, f"{name}.z_proj", "z", d_model, d_inner)
        self.q_xi, self.q_z = q("xi"), q("z")
        self.conv_weight = QuantParameter(
            make, f"{name}.conv_weight", "w_conv", (shape.d_conv, d_inner), (1, d_inner)
        )
        self.conv_bias = QuantParameter(make, f"{name}.conv_bias", "bias", (d_inner,))
        self.q_u, self.q_xa = q("u"), q("xa")
        self.b_proj = QuantLinear(make, f"{name}.b_proj", "B", d_inner, d_state, bias=False)
        self.c_proj = QuantLinear(make, f"{name}.c_proj", "C", d_inner, d_state, bias=False)
        self.dt_proj = QuantLinear(make, f"{name}.dt_proj", "dt", d_inner, d_inner)
        self.q_B, self.q_C, self.q_zt, self.q_delta = q("B"), q("C"), q("zt"), q("delta", signed=False)
        self.neg_A = QuantParameter(
            make, f"{name}.neg_A", "w_A", (d_inner, d_state), (d_inner, d_state), signed=False
        )
        self.q_g = q("g", (1, d_inner, d_state), signed=False)
        self.register_buffer("g_minimum", None, persistent=False)
        self.q_dx, self.q_h = q("dx", (1, d_inner)), q("h", (1, d_inner, d_state))
        self.skip = QuantParameter(make, f"{name}.skip", "w_D", (d_inner,))
        self.q_y, self.q_gz, self.q_o = q("y"), q("gz"), q("o")
        self.out_proj = QuantLinear(make, f"{name}.out_proj", "out", d_inner, d_model, bias=False)
        self.q_r = make(f"{name}.q_r", "res", (), True)

    def limit_decay(self, fmt: TensorFormat) -> None:
        """Let no decay fall below the format's ``minimum`` code (nothing to do without one)."""
        if fmt.minimum is not None:
            lowest = torch.as_tensor(fmt.minimum * np.asarray(fmt.lsb), dtype=self.neg_A.value.dtype)
            self.g_minimum = lowest

    def project(self, r: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Residual stream (..., D) -> convolution input xi and gate z (..., E)."""
        n = self.norm(r)
        return self.q_xi(self.x_proj(n)), self.q_z(self.z_proj(n))

    def drive(self, taps: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Taps (..., K, E) -> xa (..., E), C (..., N), decay g (..., E, N), drive dx*B (..., E, N; exact
        product).
        """
        u = self.q_u((taps * self.conv_weight()).sum(-2) + self.conv_bias())
        xa = self.q_xa(F.silu(u))
        b, c = self.q_B(self.b_proj(xa)), self.q_C(self.c_proj(xa))
        zt = self.q_zt(self.dt_proj(xa))
        decay = 1.0 - torch.exp(-(F.softplus(zt).unsqueeze(-1) * self.neg_A()))
        g = self.q_g(decay if self.g_minimum is None else torch.maximum(decay, self.g_minimum))
        dx = self.q_dx(self.q_delta(F.softplus(zt)) * xa)
        return xa, c, g, dx.unsqueeze(-1) * b.unsqueeze(-2)

    def read(
        self, r: torch.Tensor, z: torch.Tensor, xa: torch.Tensor, c: torch.Tensor, h: torch.Tensor
    ) -> torch.Tensor:
        """New state h (..., E, N) and the rest of the sample -> new residual stream (..., D)."""
        y = self.q_y((c.unsqueeze(-2) * h).sum(-1) + self.skip() * xa)
        o = self.q_o(y * self.q_gz(F.silu(z)))
        return self.q_r(r + self.out_proj(o))

    def forward(
        self, r: torch.Tensor, conv: torch.Tensor, h: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """One sample: (residual, conv state, h) -> the new ones."""
        xi, z = self.project(r)
        taps = torch.cat([conv, xi.unsqueeze(1)], dim=1)
        xa, c, g, bx = self.drive(taps)
        h = self.q_h(h - g * h + bx)
        return self.read(r, z, xa, c, h), taps[:, 1:], h

    def window(self, r: torch.Tensor) -> torch.Tensor:
        """A whole window (T, B, D), state cleared at its start: the same integers as T calls of
        :meth:`forward`.
        """
        xi, z = self.project(r)
        steps = self.conv_weight.value.shape[0]
        padded = torch.cat([torch.zeros_like(xi[:1]).expand(steps - 1, -1, -1), xi])
        xa, c, g, bx = self.drive(padded.unfold(0, steps, 1).transpose(-1, -2))
        h = self.q_h(float_scan(g, bx)) if self.h_format is None else quantised_scan(g, bx, self.h_format)
        return self.read(r, z, xa, c, h)
